"""The configuration of the production server: gunicorn's processes, waitress's connections.

gunicorn executes this file by its path, at the start and at each reload. The leading process has
the portal loaded, and its workers begin as copies of it; before a reload it forgets the portal, so
that they load the new code.

gunicorn starts, watches, replaces and reloads the processes. In each of them waitress reads what
is sent without a thread for it: a request gets one of the threads when all of it has arrived. So
senders that are slow or silent keep nobody waiting, and no proxy is needed for that.
"""

import gc
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import create_server
from waitress.task import ThreadedTaskDispatcher
from waitress.utilities import RequestEntityTooLarge

LONGEST_REQUEST_SECONDS = 30
"""Within so long a whole request has arrived, or its connection is closed; idle ones are too."""
LARGEST_BODY = 64 * 1024 * 1024
"""More than any page takes: what is larger is not even received."""
LARGEST_HEADERS = 32 * 1024
QUICK = ("/static/", "/healthz")
"""What asks nothing of the database."""
PROGRAM = "import sys; sys.path.insert(0, sys.argv.pop(1)); from app.__main__ import main; main()"
"""A command of the portal in the folder that is its first argument, wherever it was started."""
START_AFTER_SECONDS = 3
RESTART_SECONDS = 5
"""A background process that cannot start is tried again so often."""
MOST_CONNECTIONS = 1000
"""In each worker: below the 1024 files that many systems allow a process."""


class Threads:
    """Threads of three kinds, so that nobody waits for what is slower than their own request.

    A request that may write can wait for the database's write lock; one that only reads waits for
    no writer; a static file, or the question whether the process lives, waits for no database.
    """

    def __init__(self, writing: int) -> None:
        self.writing = self._start(writing)
        self.reading = self._start(max(2, writing // 2))
        self.quick = self._start(1)

    @staticmethod
    def _start(count: int) -> ThreadedTaskDispatcher:
        threads = ThreadedTaskDispatcher()
        threads.set_thread_count(count)
        return threads

    def add_task(self, connection: HTTPChannel) -> None:
        request = connection.requests[0]
        if request.path.startswith(QUICK):
            self.quick.add_task(connection)
        elif request.command in ("GET", "HEAD"):
            self.reading.add_task(connection)
        else:
            self.writing.add_task(connection)

    def shutdown(self) -> None:
        for threads in (self.writing, self.reading, self.quick):
            threads.shutdown()


class Request(HTTPRequestParser):  # type: ignore[misc]
    """A request whose body, if it is far too large, is left out: the portal's own page says so."""

    def received(self, data: bytes) -> int:
        consumed: int = super().received(data)
        if isinstance(self.error, RequestEntityTooLarge):  # type: ignore[has-type]
            self.error = None
            self.body_rcv = None
            self.headers["CONTENT_LENGTH"] = str(max(self.content_length, LARGEST_BODY))
            self.headers["CONNECTION"] = "close"
        return consumed


class Connection(HTTPChannel):  # type: ignore[misc]
    """A connection that knows since when a request is on its way."""

    parser_class = Request
    unfinished_since: float | None = None
    has_sent = False

    def received(self, data: bytes) -> bool:
        self.has_sent = True
        going_on: bool = super().received(data)
        if self.request is None:
            self.unfinished_since = None
        elif self.unfinished_since is None:
            self.unfinished_since = time.monotonic()
        return going_on


class BufferingWorker(Worker):  # type: ignore[misc]
    """A process of the server."""

    def init_signals(self) -> None:
        super().init_signals()
        # Ctrl+C reaches every process of the terminal; the one that leads tells the workers.
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def run(self) -> None:
        # It would tell of every request that waits for a thread.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        channels: dict[int, Any] = {}
        server = create_server(
            self.wsgi,
            map=channels,
            sockets=[listener.sock for listener in self.sockets],
            _dispatcher=Threads(self.cfg.threads),
            ident=None,
            # Whom to believe about proxies is said by PORTAL_TRUSTED_PROXIES alone.
            clear_untrusted_proxy_headers=False,
            asyncore_use_poll=True,
            channel_timeout=LONGEST_REQUEST_SECONDS,
            cleanup_interval=1,
            connection_limit=MOST_CONNECTIONS,
            max_request_header_size=LARGEST_HEADERS,
            max_request_body_size=LARGEST_BODY,
        )
        listeners = [channel for channel in channels.values() if hasattr(channel, "maintenance")]
        for listener in listeners:
            listener.channel_class = Connection
        self._tell_metrics(listeners)
        while self.alive and self.ppid == os.getppid():
            self._serve(channels)
        for listener in listeners:
            listener.del_channel()
        self._finish(channels)
        server.task_dispatcher.shutdown()

    def _tell_metrics(self, listeners: list[Any]) -> None:
        """Let the second address, if there is one, tell the metrics, and nothing else."""
        for sock in [listener.sock for listener in self.sockets[1:]]:
            from app.cli import metrics  # noqa: PLC0415 (loaded only where it is asked for)

            [second] = [listener for listener in listeners if listener.socket is sock]
            second.application = metrics.count_for(self.wsgi)

    def _serve(self, channels: dict[int, Any]) -> None:
        """One round: read, accept, write; answering is done by waitress's threads."""
        self.notify()
        wasyncore.loop(timeout=1, map=channels, use_poll=True, count=1)
        too_long_ago = time.monotonic() - LONGEST_REQUEST_SECONDS
        for channel in [*channels.values()]:
            since = getattr(channel, "unfinished_since", None)
            if since is not None and since < too_long_ago:
                channel.will_close = True

    def _finish(self, channels: dict[int, Any]) -> None:
        """Answer what has arrived or is arriving, for as long as the settings of gunicorn allow.

        Whoever has just connected has a second to send something.
        """
        began = time.monotonic()
        while (waited := time.monotonic() - began) < self.cfg.graceful_timeout and any(
            channel.requests
            or channel.request
            or channel.total_outbufs_len
            or (not channel.has_sent and waited < 1)
            for channel in channels.values()
            if isinstance(channel, Connection)
        ):
            self._serve(channels)


class Background:
    """The background process, started anew whenever it has ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        # It loads the portal: the workers, whom people wait for, go first.
        self._last_start = time.monotonic() - RESTART_SECONDS + START_AFTER_SECONDS

    def keep_running(self) -> None:
        ended = self._process is None or self._process.poll() is not None
        if ended and time.monotonic() - self._last_start > RESTART_SECONDS:
            self._last_start = time.monotonic()
            program = [sys.executable, "-c", PROGRAM, str(Path(__file__).parents[2])]
            self._process = subprocess.Popen([*program, "jobs", "--of", str(os.getpid())])  # noqa: S603

    def stop(self) -> None:
        """Tell it to end; a new one is started at once if the server goes on."""
        self._last_start = 0.0
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()


background = Background()


def on_starting(server: Any) -> None:
    """Look after the background process, and let a reload look first whether it will work."""
    manage_workers = server.manage_workers

    def manage_all() -> None:
        manage_workers()
        background.keep_running()

    server.manage_workers = manage_all
    _reload_only_if_sound(server)


def _reload_only_if_sound(server: Any) -> None:
    """Let a reload (SIGHUP) look first at whether the new code and settings work at all."""
    reload, libraries = server.handle_hup, _libraries()

    def reload_if_sound() -> None:
        if libraries != _libraries():
            server.log.error(
                "reload: other versions of the libraries were installed, which only a start takes; "
                "nothing was changed. Stop the portal and start it again."
            )
            return
        check = [sys.executable, "-c", "from app.cli.server import check_reload; check_reload()"]
        done = subprocess.run(check, capture_output=True, text=True, check=False)  # noqa: S603
        for line in (done.stdout + done.stderr).splitlines()[-5:]:
            server.log.warning("reload: %s", line)
        if done.returncode:
            server.log.error("reload: nothing was changed; the server goes on as it was")
        else:
            _forget_portal()
            reload()
            background.stop()

    server.handle_hup = reload_if_sound


def _libraries() -> set[str]:
    """What is installed, as the names of its folders, which have the versions in them."""
    places = (Path(place) for place in sys.path if place.endswith("-packages"))
    return {folder.name for place in places for folder in place.glob("*.dist-info")}


def _forget_portal() -> None:
    for name in [*sys.modules]:
        if name.partition(".")[0] in ("app", "wsgi"):
            del sys.modules[name]


def pre_fork(_server: Any, _worker: Any) -> None:
    """What is loaded stays: to look through it again and again would keep requests waiting."""
    gc.collect()
    gc.freeze()


def post_worker_init(_worker: Any) -> None:
    """As `pre_fork`, for what a worker loaded itself after a reload."""
    gc.collect()
    gc.freeze()


def on_exit(_server: Any) -> None:
    """The background process ends with the server; what the workers have counted goes with them."""
    background.stop()
    if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        shutil.rmtree(folder, ignore_errors=True)


class PortalsLogger(Logger):  # type: ignore[misc]
    """gunicorn's own lines, written as the portal's are (app/web/logs.py)."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers = []
        self.error_log.propagate = True


worker_class = BufferingWorker
logger_class = PortalsLogger
