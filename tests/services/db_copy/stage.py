"""What tests of `flask db copy` share: a portal on SQLite with rows in every table."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

from click.testing import Result
from flask import Flask
from sqlalchemy import Connection, Engine, func, insert, select

from app import create_app
from app.config import load_config
from app.core.permissions import Role
from app.extensions import db
from app.models import (
    Agent,
    AgentSession,
    AuditCheckpoint,
    AuditLeaf,
    AuditTile,
    Authenticator,
    Base,
    Configuration,
    Delivery,
    FeedEvent,
    FurtherMacId,
    Identity,
    ImportDraft,
    KeyInspection,
    KeyWatch,
    KnownBrowser,
    Notice,
    OneTimeLink,
    Organisation,
    Passkey,
    PermanentLicense,
    RecoveryCode,
    Request,
    SignInFailure,
    SigningKey,
    StoredPolicy,
    TemporaryLicense,
    UsedChallenge,
    UsedCode,
    User,
    Visit,
    Webhook,
    WebSession,
)
from app.models.copying import ROWS_AT_ONCE, is_unfinished
from tests.conftest import NOW, SECRET

MANY = 2 * ROWS_AT_ONCE + 500
"""So many key inspections make three blocks."""
NEXT = """\
What to do next:
1. Leave the portal on SQLite stopped: what it writes from now on is not in the copy.
2. Set PORTAL_DATABASE_URL to the address that you gave as TO.
3. Keep the same instance folder (signing keys, secret key) and all other settings.
4. Start the portal.
"""


def environment(folder: Path, **settings: str) -> dict[str, str]:
    return {
        "PORTAL_INSTANCE": str(folder),
        "PORTAL_SECRET_KEY": SECRET,
        "PORTAL_SECOND_FACTOR": "off",
        **settings,
    }


@contextmanager
def portal_on(folder: Path, **settings: str) -> Iterator[Flask]:
    """A portal with its instance in `folder`; its database is closed at the end."""
    portal = create_app(load_config(environment(folder, **settings)))
    with portal.app_context():
        try:
            yield portal
        finally:
            db.session.remove()
            db.engine.dispose()


def add_the_other_tables(connection: Connection) -> None:
    user, kid = connection.scalar(select(User.id)), connection.scalar(select(SigningKey.kid))
    of_acme = {"organisation_id": "ORG-000001"}
    # SQLite and Python order texts by code points, and a PostgreSQL server may order by a language.
    for name in ("ab", "B", "Ä", "a-c", "京", "_"):
        row = {"id": name, "name": name, "search_text": name, "created_at": NOW}
        connection.execute(insert(Organisation).values(row))
    machine = {"registered_at": NOW, "registered_by_id": user, "last_seen_at": NOW}
    connection.execute(insert(Agent).values(id=7, mac_id="02:00:00:00:00:07", **machine, **of_acme))
    for mac in ("02:00:00:00:00:0A", "02:00:00:00:00:0B"):
        connection.execute(insert(FurtherMacId).values(agent_id=7, mac_id=mac))
    issued = {"kid": kid, "issued_at": NOW, "issued_by_id": user}
    connection.execute(
        insert(PermanentLicense).values(key_id="PPPP-PPPP", agent_id=7, **issued, **of_acme)
    )
    saved = {"data": {"a": [1, None, "ü"], "b": {}}, "saved_at": NOW, "saved_by_id": user}
    connection.execute(insert(Configuration).values(**saved, **of_acme))
    rules = {"ceiling": 14_400, "ticket_pattern": "[A-Z]+-[0-9]+", "reason_required": False}
    connection.execute(insert(StoredPolicy).values(id=0, rules=rules, changed_at=NOW))
    connection.execute(insert(StoredPolicy).values(rules={}, changed_at=NOW, **of_acme))
    asked = {"asked_by_id": user, "asked_at": NOW, "state": "waiting"}
    connection.execute(insert(Request).values(options={"ttl": 3600}, **asked, **of_acme))
    _add_notices(connection, user)
    draft = {"token": "t", "file_name": "f.csv", "content": bytes(range(256)), "uploaded_at": NOW}
    connection.execute(insert(ImportDraft).values(user_id=user, **draft))
    connection.execute(insert(ImportDraft).values(user_id=2, result={"added": 1}, **draft))
    told = {"happened_at": NOW, "kind": "k", "actor": "", "subject": "s", "search_text": "s"}
    connection.execute(insert(FeedEvent).values(**told, **of_acme))
    seen = {"started_at": NOW, "last_active_at": NOW + timedelta(microseconds=1)}
    seen["proven_at"] = NOW
    connection.execute(insert(WebSession).values(token_hash="w" * 64, user_id=user, **seen))
    heard = {"mac_id": "02:00:00:00:00:07", "address": "::1", "last_heard_at": NOW}
    ours = {"token_hash": "a" * 64, "user_id": user, "started_at": NOW, "agent_id": 7}
    connection.execute(insert(AgentSession).values(**ours, **heard, **of_acme))
    add_a_visit(connection, ours | heard | of_acme)
    lapses = {"made_at": NOW, "expires_at": NOW}
    link = {"token_hash": "l" * 64, "user_id": user, **lapses}
    connection.execute(insert(OneTimeLink).values(link))
    failure = {"account_hash": "f" * 64, "address": "::1", "failed_at": NOW}
    connection.execute(insert(SignInFailure).values(failure))
    partner = connection.scalar(select(User.id).where(User.role == Role.PARTNER))
    app = {"sealed_secret": b"s" * 50, "set_up_at": NOW}
    connection.execute(insert(Authenticator).values(user_id=partner, **app))
    connection.execute(insert(UsedCode).values(user_id=partner, step=59_000_000))
    connection.execute(insert(RecoveryCode).values(user_id=partner, code_hash="r" * 64))
    passkey = {"credential_id": b"c" * 16, "public_key": b"k" * 77, "sign_count": 2**32 - 1}
    connection.execute(insert(Passkey).values(user_id=partner, name="k", added_at=NOW, **passkey))
    there = {"issuer": "https://login.example", "subject": "s", "tied_at": NOW}
    connection.execute(insert(Identity).values(user_id=partner, **there))
    connection.execute(insert(UsedChallenge).values(challenge_hash="h" * 64, expires_at=NOW))
    connection.execute(insert(AuditLeaf).values(place=0, event_id=1, hash=b"l" * 32))
    connection.execute(insert(AuditTile).values(place=0, hash=b"t" * 32))
    connection.execute(insert(AuditCheckpoint).values(size=1, signed_at=NOW, note="n"))
    asked = [{"address": f"::{n:x}", "inspected_at": NOW} for n in range(MANY)]
    connection.execute(insert(KeyInspection), asked)


def add_a_visit(connection: Connection, values: dict[str, object]) -> None:
    key = connection.scalar(select(TemporaryLicense.id))
    under = values | {"token_hash": "v" * 64, "temporary_license_id": key}
    connection.execute(insert(AgentSession).values(id=9, **under))
    people = {"email": "pat@example.com", "name": "Pat", "issued_by": "ada@example.com"}
    as_it_was = {"record_id": "r" * 43, "role": "partner", "search_text": "pat"}
    connection.execute(insert(Visit).values(session_id=9, **people, **as_it_was))


def _add_notices(connection: Connection, user: int | None) -> None:
    told = {"kind": "key.revoked", "happened_at": NOW}
    connection.execute(insert(Notice).values(event_id=1, sealed=b"s" * 80, **told))
    connection.execute(insert(KeyWatch).values(key_id="WWWW-WWWW", look_at=NOW))
    hook = {"address": "https://hooks.example/", "events": ["key.revoked"], "created_at": NOW}
    connection.execute(insert(Webhook).values(sealed_secret=b"s" * 70, **hook))
    sent = {"message_id": "msg_1", "data": {"key_id": "ü"}, "address": "a@b.example"}
    connection.execute(insert(Delivery).values(created_at=NOW, next_try_at=NOW, **sent, **told))
    connection.execute(
        insert(KnownBrowser).values(user_id=user, token_hash="b" * 64, last_seen_at=NOW)
    )


def copy(portal: Flask, *to: str) -> Result:
    result = portal.test_cli_runner().invoke(args=["db", "copy", *to])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    assert "hidden" not in result.output
    return result


def copied_to(portal: Flask, to: str) -> str:
    """What a copy that ends well says; the numbers of its rows are those that there are."""
    result = copy(portal, to)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    with db.engine.connect() as connection:
        rows = sum(
            connection.scalar(select(func.count()).select_from(table)) or 0
            for table in Base.metadata.sorted_tables
        )
    tables = len(Base.metadata.tables)
    assert result.stdout.endswith(f"\n{rows:,} rows of {tables} tables, all equal.\n{NEXT}")
    return result.stdout


def refused(portal: Flask, to: str) -> str:
    """What a copy that is refused says on standard error."""
    result = copy(portal, to)
    assert result.exit_code == 1
    assert "all equal" not in result.stdout
    return result.stderr


def everything(connection: Connection) -> dict[str, list[object]]:
    """Every row of every table, in no order that a database could choose."""
    return {
        table.name: sorted(map(repr, connection.execute(select(table))))
        for table in Base.metadata.sorted_tables
    }


def assert_equal(target: Engine) -> None:
    with db.engine.connect() as ours, target.connect() as theirs:
        source, copy = everything(ours), everything(theirs)
        assert not is_unfinished(theirs)
    assert [name for name, rows in source.items() if not rows] == [], "a table without a test"
    assert copy == source
    assert len(copy["project_search"]) == len(copy["projects"]) > 50


def write_to(folder: Path, statement: str) -> None:
    """As a portal that still runs does it."""
    with closing(sqlite3.connect(folder / "portal.db")) as connection:
        connection.execute(statement)
        connection.commit()
