"""Fill an installation's database with the rows of a benchmark.

    PORTAL_INSTANCE=... python bench/fill.py BASE_DB PARAMS_IN PARAMS_OUT [SESSIONS]

Run in the checkout, on an instance that was started once (one super admin, no sample data).
BASE_DB is an SQLite file with the tables `organisation` and `license_key` (see rows.py). Each
organisation gets one project, whose id is that of its row, and each key an audit event; SESSIONS
(2,000) agent sessions are live, with the tokens "bench-token-NNNNNN-" and 24 x; there is a partner
who signs in. PARAMS_OUT is
PARAMS_IN and, in its "lists", `key_id`, `own_key` (project and Key ID), `key_organisation`,
`key_text` (of 1,000 active keys) and `token`.
"""

import json
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from sqlalchemy import Connection, func, insert, select, text
from sqlalchemy.orm import Session

from app import create_app
from app.accounts.passwords import hash_password
from app.accounts.users import create_user
from app.audit.tree import note_events
from app.config import Config, current_config, load_config
from app.core.actor import SYSTEM
from app.core.permissions import Role
from app.core.tokens import hash_token
from app.extensions import db
from app.licenses.keyring import current_kid
from app.licenses.queries import find_license
from app.licenses.services import key_text
from app.models import (
    AgentSession,
    AuditEvent,
    Organisation,
    Project,
    TemporaryLicense,
    User,
)
from app.models.engine import writing
from app.projects.rules import organisation_search_text, project_search_text
from app.settings.sources import real_environment
from bench.operations import PARTNER, PASSWORD

AT_ONCE = 20_000
KEY_ID_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
KEY_TEXTS = 1000

Row = dict[str, Any]


def fill(base: Path, params: dict[str, Any], sessions: int, now: datetime) -> dict[str, Any]:
    """Write the rows of `base` into the current app's database; returns the params with ours."""
    source = sqlite3.connect(base)
    with writing(), db.engine.connect() as connection:
        admin = connection.scalar(select(User.id)) or 0
        kid = current_kid(Session(connection))
        organisations = dict(source.execute("SELECT id, organisation_id FROM organisation"))
        _insert(connection, Organisation, _organisations(source, now))
        _insert(connection, Project, _projects(source, now))
        _insert(connection, TemporaryLicense, _licenses(source, organisations, kid, admin))
        _insert(connection, AuditEvent, _events(source, organisations, admin))
        active = _active(connection, now, sessions)
        _insert(connection, AgentSession, _sessions(active, admin, now))
        connection.commit()
        _add_partner(now)
    _finish(current_config())
    return _with_keys(params, active, current_config())


def _add_partner(now: datetime) -> None:
    hashed, session = hash_password(PASSWORD), db.session()
    create_user(
        session, email=PARTNER, role=Role.PARTNER, password_hash=hashed, actor=SYSTEM, now=now
    )
    session.commit()


def _insert(connection: Connection, model: type, rows: Iterator[Row]) -> None:
    while batch := list(islice(rows, AT_ONCE)):
        connection.execute(insert(model.__table__), batch)  # type: ignore[attr-defined]


def _organisations(source: sqlite3.Connection, now: datetime) -> Iterator[Row]:
    for organisation_id, name in source.execute("SELECT organisation_id, name FROM organisation"):
        yield {
            "id": organisation_id,
            "name": name,
            "search_text": organisation_search_text(name, organisation_id),
            "created_at": now,
        }


def _projects(source: sqlite3.Connection, now: datetime) -> Iterator[Row]:
    for number, organisation_id, name, email, plan, expiry in source.execute(
        "SELECT id, organisation_id, name, contact_email, plan, plan_expires_on FROM organisation"
    ):
        yield {
            "id": number,
            "organisation_id": organisation_id,
            "name": name,
            "contact_email": email,
            "plan": plan.title(),
            "plan_expires_on": date.fromisoformat(expiry) if expiry else None,
            "status": "Active",
            "search_text": project_search_text(name, email),
            "created_at": now,
            "updated_at": now,
        }


def _keys(source: sqlite3.Connection, order: str) -> Iterable[tuple[Any, ...]]:
    columns = "id, organisation_id, ttl_seconds, issued_at, revoked_at"
    return source.execute(f"SELECT {columns} FROM license_key ORDER BY {order}")  # noqa: S608


def _licenses(
    source: sqlite3.Connection, organisations: dict[int, str], kid: str, admin: int
) -> Iterator[Row]:
    for number, organisation, ttl, issued, revoked in _keys(source, "id"):
        issued_at = _moment(issued)
        yield {
            "id": number,
            "key_id": key_id(number),
            "organisation_id": organisations[organisation],
            "kid": kid,
            "payload_version": 1,
            "ttl_seconds": ttl,
            "issued_at": issued_at,
            "starts_at": issued_at,
            "expires_at": issued_at + timedelta(seconds=ttl),
            "ends_at": issued_at + timedelta(seconds=ttl),
            "issued_by_id": admin,
            "revoked_at": _moment(revoked) if revoked else None,
            "revoked_by_id": admin if revoked else None,
        }


def _events(source: sqlite3.Connection, organisations: dict[int, str], admin: int) -> Iterator[Row]:
    for number, organisation, ttl, issued, _ in _keys(source, "issued_at"):
        issued_at = _moment(issued)
        yield {
            "happened_at": issued_at,
            "tag": "license_issued",
            "actor_id": admin,
            "actor": "admin@example.com",
            "address": "127.0.0.1",
            "organisation_id": organisations[organisation],
            "subject": key_id(number),
            "data": {
                "ttl": ttl,
                "expires_at": (issued_at + timedelta(seconds=ttl)).isoformat(),
            },
        }


def _active(connection: Connection, now: datetime, limit: int) -> list[Any]:
    """The active keys that end last: (id, Key ID, Organisation ID)."""
    columns = (TemporaryLicense.id, TemporaryLicense.key_id, TemporaryLicense.organisation_id)
    query = select(*columns).where(TemporaryLicense.is_active(now))
    in_order = query.order_by(TemporaryLicense.ends_at.desc()).limit(limit)
    return list(connection.execute(in_order))


def _sessions(active: list[Any], admin: int, now: datetime) -> Iterator[Row]:
    for number, (license_id, _, organisation_id) in enumerate(active):
        yield {
            "token_hash": hash_token(session_token(number)),
            "user_id": admin,
            "organisation_id": organisation_id,
            "temporary_license_id": license_id,
            "mac_id": f"02:00:00:00:{number >> 8:02X}:{number & 255:02X}",
            "hostname": "bench",
            "agent_version": "1",
            "address": "127.0.0.1",
            "started_at": now,
            # later than any heartbeat of a benchmark
            "last_heard_at": now + timedelta(hours=3),
        }


def _finish(config: Config) -> None:
    """Let the database know what it holds, and the audit log prove it, as where a portal runs."""
    note_events(db.session(), writing=_transaction, now=datetime.now(UTC))
    db.session.remove()
    if config.database_file:
        with closing(sqlite3.connect(config.database_file)) as connection:
            connection.executescript("ANALYZE; PRAGMA wal_checkpoint(TRUNCATE);")
        return
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for model in (Project, TemporaryLicense, AuditEvent):
            highest = connection.scalar(select(func.max(model.id)))
            sequence = func.pg_get_serial_sequence(model.__tablename__, "id")
            connection.execute(select(func.setval(sequence, highest)))
        connection.execute(text("VACUUM ANALYZE"))


@contextmanager
def _transaction() -> Iterator[Session]:
    with writing(), Session(db.engine) as session, session.begin():
        yield session


def _with_keys(params: dict[str, Any], active: list[Any], config: Config) -> dict[str, Any]:
    session = db.session()
    texts = []
    for _, found_id, _ in active[:KEY_TEXTS]:
        license = find_license(session, found_id)
        if license:
            texts.append(key_text(license, config.signing_keys))
    of_organisation = dict(session.execute(select(Project.organisation_id, Project.id)).all())
    ours = {
        "key_id": [row[1] for row in active],
        "key_text": texts,
        "key_organisation": [row[2] for row in active],
        "own_key": [[of_organisation[row[2]], row[1]] for row in active],
        "token": [session_token(number) for number in range(len(active))],
    }
    return params | {"lists": params.get("lists", {}) | ours}


def session_token(number: int) -> str:
    return f"bench-token-{number:06d}-" + "x" * 24


def key_id(number: int) -> str:
    """A Key ID for each number, far from those of its neighbours."""
    rest = (number * 7_368_787 + 12_345) % (len(KEY_ID_ALPHABET) ** 8)
    letters = ""
    for _ in range(8):
        rest, letter = divmod(rest, len(KEY_ID_ALPHABET))
        letters = KEY_ID_ALPHABET[letter] + letters
    return f"{letters[:4]}-{letters[4:]}"


def _moment(stored: str) -> datetime:
    return datetime.fromisoformat(stored[:19]).replace(tzinfo=UTC)


def main(arguments: list[str], say: Callable[[str], object] = print) -> None:
    base, params_in, params_out = map(Path, arguments[:3])
    sessions = int(arguments[3]) if len(arguments) > 3 else 2000
    with create_app(load_config(real_environment())).app_context():
        params = fill(base, json.loads(params_in.read_text()), sessions, datetime.now(UTC))
    params_out.write_text(json.dumps(params))
    say(f"{len(params['lists']['token'])} sessions, {len(params['lists']['key_text'])} keys")


if __name__ == "__main__":
    main(sys.argv[1:])
