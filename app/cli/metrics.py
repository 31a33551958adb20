"""What Prometheus is told, over all workers; on the address of PORTAL_METRICS_BIND alone.

No person, key or organisation is a label. Counted is what was answered, after its transaction.
Imported only where it is asked for: a server without metrics does not even load the library.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flask import Flask, Response, g
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, TimeoutError
from sqlalchemy.orm import Session

from app.agents.live_sessions import count_live
from app.audit.tags import AuditTag
from app.audit.tree import count_pending
from app.config import current_config
from app.core.clock import utcnow
from app.extensions import db
from app.licenses.queries import count_all_active
from app.models.engine import reading_only
from app.notices.deliveries import count_overdue
from app.web.proxies import Wsgi
from app.web.request_log import route

_own = CollectorRegistry()
"""Not the library's: a reload loads this module once more in the same process."""
REQUESTS = Counter("portal_requests", "Requests", ["route", "status"], registry=_own)
SECONDS = Histogram("portal_request_seconds", "How long requests took", registry=_own)
SIGN_INS = Counter(
    "portal_sign_ins", "Sign-ins, at the portal and on OP Agents", ["outcome"], registry=_own
)
GENERATED = Counter("portal_keys_generated", "Temporary keys generated", registry=_own)
REFUSALS = Counter("portal_refusals", "Refusals", ["code"], registry=_own)
LOCK_WAIT = Histogram(
    "portal_write_lock_wait_seconds", "How long requests waited to write", registry=_own
)
GAUGES: list[tuple[str, str, Callable[[Session], int]]] = [
    (
        "portal_keys_active",
        "Temporary keys that are active",
        lambda session: count_all_active(session, utcnow()).number,
    ),
    (
        "portal_audit_events_pending",
        "Events that are not in the audit log's tree yet",
        lambda session: count_pending(session, utcnow()),
    ),
    (
        "portal_jobs_waiting",
        "Jobs that the background process has not done yet",
        lambda session: (
            (count_pending(session, utcnow()) > 0) + (count_overdue(session, before=utcnow()) > 0)
        ),
    ),
    (
        "portal_sessions_live",
        "Sessions on OP Agents that are live",
        lambda session: count_live(session, utcnow(), current_config().agent_limits),
    ),
]
"""Name, help, and how it is counted when it is asked for."""
SIGNED_IN = {AuditTag.SIGNED_IN, AuditTag.AGENT_SIGNED_IN}
NOT_SIGNED_IN = {AuditTag.SIGN_IN_REFUSED: "reason", AuditTag.AGENT_SIGN_IN_REFUSED: "code"}


def count_for(app: Flask) -> Wsgi:
    """Count from now on what `app` answers; returns the WSGI application that tells it."""
    app.after_request(_count_request)
    with app.app_context():
        event.listen(db.session, "after_commit", _count_events)
        event.listen(db.session, "after_rollback", _forget_events)

    def tell(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with app.app_context():
            return _tell(environ, start_response)

    return tell


def _tell(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    if environ["PATH_INFO"] != "/metrics":
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"There is /metrics here, and nothing else.\n"]
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    registry.register(_Gauges())
    start_response("200 OK", [("Content-Type", CONTENT_TYPE_PLAIN_0_0_4)])
    return [generate_latest(registry)]


class _Gauges(Collector):
    """What is counted in the database; while that fails, nothing."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            with reading_only(), Session(db.engine) as session:
                for name, what, count in GAUGES:
                    yield GaugeMetricFamily(name, what, value=count(session))
        except (DBAPIError, TimeoutError):
            return


def _count_request(response: Response) -> Response:
    REQUESTS.labels(route(), str(response.status_code)).inc()
    if "began" in g:
        SECONDS.observe(time.perf_counter() - g.began)
    if "lock_wait" in g:
        LOCK_WAIT.observe(g.lock_wait)
    if "refused" in g:
        REFUSALS.labels(g.refused).inc()
    return response


def _forget_events(session: Session) -> None:
    """After a rollback: it has none of what was written."""
    session.info.pop("events", None)


def _count_events(session: Session) -> None:
    """After a commit: count what the audit log has of it."""
    for tag, data in session.info.pop("events", ()):
        if tag in SIGNED_IN:
            SIGN_INS.labels("signed_in").inc()
        elif tag in NOT_SIGNED_IN:
            SIGN_INS.labels(str(data[NOT_SIGNED_IN[tag]])).inc()
        elif tag is AuditTag.LICENSE_ISSUED:
            GENERATED.inc()
