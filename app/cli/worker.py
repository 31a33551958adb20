"""gunicorn's configuration of its workers."""

import signal


def post_worker_init(_worker: object) -> None:
    """Let workers ignore Ctrl+C, which a terminal sends to every process: the master stops them.

    A worker that got it twice, from the terminal and from the master, could deadlock.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
