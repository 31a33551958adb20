"""`flask jobs`: the background process, which does what nobody waits for."""

import fcntl
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache, partial
from threading import Event
from time import monotonic
from typing import Any, NamedTuple

import click
from flask.cli import with_appcontext
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from app.access.requests import lapse_requests
from app.accounts.known_browsers import purge_known_browsers
from app.accounts.web_sessions import purge_web_sessions
from app.agents.purging import purge_agent_sessions
from app.agents.visiting import store_visits_ends
from app.audit.checkpoints import publish_checkpoints
from app.audit.cutting import cut_oldest_tile
from app.audit.journal import note_checkpoint
from app.audit.log import log_event
from app.audit.log_key import public_log_key, read_private_log_key
from app.audit.tags import AuditTag
from app.audit.tree import note_events, sign_tree
from app.cli.common import refuse
from app.cli.copies import back_up_if_due
from app.cli.setup import say_running
from app.config import Config, current_config
from app.core.actor import SYSTEM
from app.core.clock import utcnow
from app.core.errors import PortalError
from app.extensions import db
from app.models.database_errors import explain_database_error
from app.models.engine import reading_only, writing
from app.notices.courier import Courier
from app.notices.deliveries import purge_deliveries
from app.throttle import forget_old
from app.web.logs import set_up_logs

log = logging.getLogger("app.jobs")
ROUND_SECONDS = 10
STEPS_A_ROUND = 40
"""More that is due for deletion goes in the next rounds."""
WATCH_SECONDS = 1
"""How often it looks whether the process that started it is still there."""
JOBS_LOCK = 0x526F6C6D  # any number that only this portal uses on its database


class Job(NamedTuple):
    """Something that is done in every round; what fails is said, and tried in the next."""

    name: str
    run: Callable[[Config], object]


def prove_record(settings: Config) -> None:
    """Add committed events to the audit log's tree, sign its head, append the checkpoint."""
    private_key = read_private_log_key(settings.instance)
    with reading_only():
        note_events(db.session(), writing=_transaction, now=utcnow())
    with _transaction() as session:
        now = utcnow()
        note = sign_tree(session, private_key=private_key, now=now)
        if note is not None:
            note_checkpoint(settings.checkpoints, note=note, now=now)
    with reading_only():
        publish_checkpoints(db.session(), settings.checkpoints, public_log_key(private_key))
        db.session.rollback()


def purge(settings: Config) -> None:
    """Delete what is kept no longer, in transactions so small that nobody waits for them."""
    keep = timedelta(seconds=settings.keep_sessions)
    with _transaction() as session:
        forget_old(
            session,
            now=utcnow(),
            failures=settings.signin_failures,
            inspections=settings.inspect_limit,
        )
    for some in (
        partial(purge_agent_sessions, keep=keep, limits=settings.agent_limits),
        partial(purge_web_sessions, keep=keep, max_seconds=settings.session_max_seconds),
        purge_known_browsers,
        purge_deliveries,
    ):
        for _ in range(STEPS_A_ROUND):
            with _transaction() as session:
                if not some(session, now=utcnow()):
                    break
    if settings.keep_audit:
        cut_audit_log(timedelta(seconds=settings.keep_audit))


def cut_audit_log(keep: timedelta) -> None:
    """Cut off what the audit log need keep no longer."""
    for _ in range(STEPS_A_ROUND):
        with _transaction() as session:
            now = utcnow()
            if not cut_oldest_tile(session, before=now - keep, now=now):
                break


def back_up(settings: Config) -> None:
    """Make the copy that is due."""
    file = back_up_if_due(settings, utcnow())
    if file is not None:
        with _transaction() as session:
            log_event(session, AuditTag.BACKED_UP, actor=SYSTEM, now=utcnow(), subject=file.name)


def lapse(_settings: Config) -> None:
    """Let requests lapse that nobody has decided in time."""
    with _transaction() as session:
        lapse_requests(session, now=utcnow())


def end_visits(settings: Config) -> None:
    """Store the ends of visits that came by themselves."""
    for _ in range(STEPS_A_ROUND):
        with _transaction() as session:
            if not store_visits_ends(session, now=utcnow(), limits=settings.agent_limits):
                break


def send_notices(settings: Config) -> None:
    """Send what is due by mail and to webhooks, waiting for nobody who is slow to answer."""
    _courier(settings).work()


@cache
def _courier(settings: Config) -> Courier:
    """What is on its way from one round to the next."""
    return Courier(settings, transaction=_transaction, session=db.session, clock=utcnow)


OFTEN = (Job("notices", send_notices),)
"""What is done each second too: the first try is to follow at once, and the next after five."""
JOBS = (
    *OFTEN,
    Job("audit log", prove_record),
    Job("requests", lapse),
    Job("visits", end_visits),
    Job("purge", purge),
    Job("backups", back_up),
)


@contextmanager
def _transaction() -> Iterator[Any]:
    with writing():
        try:
            yield db.session()
            db.session.commit()
        finally:
            db.session.rollback()


@click.command("jobs")
@click.option("--of", "parent", type=int, hidden=True, help="End when that process has ended.")
@with_appcontext
def command(parent: int | None) -> None:
    """Run the background process alone; `serve` starts one by itself.

    One works at a time, over all portals on the database; the others wait for their turn.
    """
    settings, stop = current_config(), Event()
    set_up_logs(settings.log)
    try:
        say_running(settings)
    except PortalError as error:
        refuse(error.detail)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    # Ctrl+C reaches every process of the terminal; the one that leads tells this one.
    signal.signal(signal.SIGINT, (lambda *_: stop.set()) if parent is None else signal.SIG_IGN)
    if parent is None:
        click.echo("The background process runs; Ctrl+C ends it.")
    while not stop.is_set():
        with suppress(DBAPIError, OSError), _turn(settings) as is_ours:
            while is_ours() and not stop.is_set():
                work(settings)
                _wait(stop, parent, lambda: work(settings, OFTEN))
        _wait(stop, parent)


def work(settings: Config, jobs: tuple[Job, ...] = JOBS) -> bool:
    """One round: every job, each by itself; whether all went well."""
    done = 0
    for job in jobs:
        try:
            job.run(settings)
            done += 1
        except PortalError as error:
            _say(job, error.detail)
        except DBAPIError as error:
            _say(job, explain_database_error(error) or "the database refused it")
        except OSError as error:
            _say(job, f"{error.filename or 'a file'}: {error.strerror}")
        finally:
            db.session.remove()
    return done == len(jobs)


def _say(job: Job, sentence: str) -> None:
    log.error("%s: %s", job.name, sentence)


def _wait(stop: Event, parent: int | None, meanwhile: Callable[[], bool] | None = None) -> None:
    """Until the next round, the end, or the end of the process that started this one.

    What is to be done `meanwhile` waits for the next round once it has failed.
    """
    until = monotonic() + ROUND_SECONDS
    while monotonic() < until:
        if parent is not None and os.getppid() != parent:
            stop.set()
        if stop.wait(WATCH_SECONDS):
            return
        if meanwhile is not None and not meanwhile():
            meanwhile = None


@contextmanager
def _turn(settings: Config) -> Iterator[Callable[[], bool]]:
    """Whether it is this process's turn to work: a lock that is lost when its holder dies."""
    if settings.database_file:
        lock = settings.database_file.with_name(f".{settings.database_file.name}-jobs")
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield lambda: False
            else:
                yield lambda: True
        return
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        taken = connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": JOBS_LOCK})
        try:
            yield lambda: bool(taken) and _is_alive(connection)
        finally:
            connection.invalidate()  # which gives the lock back


def _is_alive(connection: Connection) -> bool:
    """Whether the connection that holds the lock still does: the server may have been started
    anew, and another portal's process be at work."""
    try:
        connection.execute(text("SELECT 1"))
    except DBAPIError:
        return False
    return True
