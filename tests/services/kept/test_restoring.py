"""What was withdrawn never comes back with a copy: with the journal, without it, or by hand."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import func, select

from app.access.request_rules import RequestState
from app.access.requests import get_request, state_of
from app.accounts.links import make_link, user_of_link
from app.accounts.users import disable_user, lock_by_email
from app.accounts.web_sessions import find_web_session, sign_in_to_portal, sign_out_of_portal
from app.agents.heartbeats import LiveSession, heartbeat
from app.agents.live_sessions import end_session
from app.agents.machines import detach
from app.agents.people import set_password_by_link
from app.agents.retiring import retire_signing_key
from app.agents.settling import JournalState
from app.agents.sign_in import SignedIn
from app.agents.sign_in_rules import Refusal
from app.audit.journal import append_lines
from app.audit.tags import AuditTag
from app.cli.restoring import settle_if_put_back
from app.core.actor import COMMAND_LINE
from app.core.errors import Gone
from app.extensions import db
from app.licenses.keyring import current_kid, ensure_signing_key, rotate_signing_key
from app.licenses.option_rules import KeyOptions
from app.licenses.queries import has_ended
from app.licenses.services import revoke_license
from app.models import SigningKey, TemporaryLicense, User
from tests.agents.stage import (
    LIMITS,
    events,
    issue,
    machine_of,
    signed_in,
    text_of,
    try_to_sign_in,
)
from tests.conftest import Cast, Clock, authenticated
from tests.security.stage import asked_for
from tests.services.kept.stage import Installation, new_installation

MACS = [f"00:1A:2B:3C:4D:{number:02X}" for number in range(1, 9)]


class People(NamedTuple):
    """Who and what was there when the copy was made. Of each, some are withdrawn, one stays."""

    keys: dict[str, str]
    """Each key's text by its Key ID."""
    tokens: dict[str, str]
    """Each agent session's token by a name."""
    cookies: dict[str, str]
    kid: str
    machine: int


def before(here: Installation, cast: Cast, clock: Clock) -> People:
    """Two keys, sessions under each and of a client, two browsers, a machine; then a copy."""
    with here.context():
        session = db.session()
        revoked, kept, _retired = (issue(session, cast, now=clock.now()) for _ in range(3))
        tokens = {
            "revoked": signed_in(session, cast.pat, revoked, mac_id=MACS[0]).token,
            "kept": signed_in(session, cast.pat, kept, mac_id=MACS[1]).token,
            "ended": signed_in(session, cast.dev, kept, mac_id=MACS[2]).token,
        }
        client = signed_in(session, cast.carl, mac_id=MACS[3])
        tokens["detached"] = client.token
        cookies = {}
        for email in (cast.ada, cast.grace, cast.audrey):
            who = authenticated(session, email, now=clock.now())
            cookies[email] = sign_in_to_portal(session, who=who, now=clock.now()) or ""
            session.commit()
        people = People(
            {key.key_id: text_of(key) for key in (revoked, kept)},
            tokens,
            cookies,
            current_kid(session),
            machine_of(client).id,
        )
    here.prove()
    clock.advance(seconds=30)
    here.back_up()
    clock.advance(hours=0, minutes=11)
    return people


def withdraw(here: Installation, cast: Cast, people: People, clock: Clock) -> None:
    """A key revoked, a session ended, a sign-out, a user disabled, a machine detached."""
    with here.context():
        session, now, ada = db.session(), clock.now(), cast.actor(cast.ada)
        given = {"actor": ada, "now": now}
        revoke_license(session, key_id=next(iter(people.keys)), **given)
        end_session(session, session_id=3, limits=LIMITS, **given)
        signed_out = find_web_session(
            session, token=people.cookies[cast.ada], now=now, idle_seconds=1800, max_seconds=43200
        )
        sign_out_of_portal(session, session_id=signed_out.id, **given)
        disable_user(session, email=cast.grace, **given)
        detach(session, agent_id=people.machine, limits=LIMITS, **given)
        session.commit()
    clock.advance(seconds=10)
    here.prove()
    clock.advance(seconds=30)


class Alive(NamedTuple):
    keys: int
    sessions: int
    sign_ins: int
    users: int
    machine: bool


def alive(here: Installation, cast: Cast, people: People, clock: Clock) -> Alive:
    """How many of those that were there are still good, each tried as its owner would."""
    with here.context():
        session, now = db.session(), clock.now()
        heard = [
            heartbeat(session, token=token, now=now, limits=LIMITS)
            for token in people.tokens.values()
        ]
        found = [
            find_web_session(session, token=cookie, now=now, idle_seconds=1800, max_seconds=43200)
            for cookie in people.cookies.values()
        ]
        users = session.scalar(select(func.count(User.id)).where(User.disabled_at.is_(None)))
        session.commit()
        tried = [
            try_to_sign_in(session, cast.pat, key, now=now, mac_id=mac)
            for key, mac in zip(people.keys.values(), MACS[5:], strict=False)
        ]
        machine = try_to_sign_in(session, cast.carl, now=now, mac_id=MACS[3])
        return Alive(
            sum(isinstance(answer, SignedIn) for answer in tried),
            sum(isinstance(answer, LiveSession) for answer in heard),
            sum(one is not None for one in found),
            users,
            isinstance(machine, SignedIn),
        )


def test_all_of_it_is_alive_before(here: Installation, clock: Clock) -> None:
    """What the other tests count is there to be withdrawn."""
    cast = here.start()
    people = before(here, cast, clock)
    assert alive(here, cast, people, clock) == Alive(2, 4, 3, 6, True)


def test_with_the_journal_just_what_was_withdrawn_is_withdrawn_again(
    here: Installation, clock: Clock
) -> None:
    cast = here.start()
    people = before(here, cast, clock)
    withdraw(here, cast, people, clock)
    then = alive(here, cast, people, clock)
    done = here.restore()
    assert done.journal is JournalState.COMPLETE
    assert alive(here, cast, people, clock) == then == Alive(1, 1, 1, 5, False)
    with here.context():
        [event] = events(db.session(), AuditTag.RESTORED)
        assert event.data["rest"] == "left"
        assert (event.data["keys"], event.data["users"], event.data["machines"]) == (1, 1, 1)


def test_a_key_for_one_sign_in_is_not_good_for_a_second_one(
    here: Installation, clock: Clock
) -> None:
    """Mallory has used the key, and waits for a copy of before to be put back."""
    cast = here.start()
    with here.context():
        session = db.session()
        once = issue(session, cast, now=clock.now(), options=KeyOptions(3600, sign_ins=1))
        key = text_of(once)
        session.commit()
    here.prove()
    here.back_up()
    clock.advance(minutes=1)

    def sign_in(mac_id: str) -> object:
        with here.context():
            return try_to_sign_in(db.session(), cast.pat, key, now=clock.now(), mac_id=mac_id)

    assert isinstance(sign_in(MACS[5]), SignedIn)
    here.prove()
    clock.advance(minutes=1)
    here.restore()
    refused = sign_in(MACS[6])
    assert isinstance(refused, Refusal)
    assert refused.code == "key_used_up"


def test_a_request_of_the_copy_is_not_approved_a_second_time(
    here: Installation, clock: Clock
) -> None:
    """It was approved after the copy was made: approved once more it would be a second key."""
    cast = here.start()
    with here.context():
        asked = asked_for(db.session(), cast)
        db.session.commit()
    here.prove()
    here.back_up()
    clock.advance(minutes=1)
    here.prove()
    here.restore()
    with here.context():
        request = get_request(db.session(), asked)
        assert state_of(request, clock.now()) is RequestState.LAPSED
        # Nor is it known which keys have signed records of visits since: all stay published.
        assert set(db.session.scalars(select(SigningKey.signed_visits))) == {True}


def test_without_the_journal_no_session_and_no_key_is_good(
    here: Installation, clock: Clock
) -> None:
    cast = here.start()
    people = before(here, cast, clock)
    withdraw(here, cast, people, clock)
    here.journal.unlink()
    done = here.restore()
    # The copy has a journal of its own, which ends with the copy.
    assert done.journal is JournalState.STOPS_EARLY
    now = alive(here, cast, people, clock)
    assert (now.keys, now.sessions, now.sign_ins) == (0, 0, 0)


def test_a_journal_that_was_cut_at_the_copy_stops_early(here: Installation, clock: Clock) -> None:
    """Somebody who wants a revoked key back cuts the journal, and leaves the checkpoints."""
    cast = here.start()
    people = before(here, cast, clock)
    length = here.journal.stat().st_size
    withdraw(here, cast, people, clock)
    with here.journal.open("r+b") as file:
        file.truncate(length)
    assert here.restore().journal is JournalState.STOPS_EARLY
    now = alive(here, cast, people, clock)
    assert (now.keys, now.sessions, now.sign_ins) == (0, 0, 0)


def test_a_journal_cut_after_a_line_of_later_is_told_by_the_checkpoints(
    here: Installation, clock: Clock
) -> None:
    """The line of the revocation is cut off, one of after the copy is left."""
    cast = here.start()
    people = before(here, cast, clock)
    here.prove()
    with here.context():
        append_lines(here.journal, ['{"at":"2026-11-24T15:45:00Z","kind":"checkpoint","id":"x"}\n'])
    length = here.journal.stat().st_size
    withdraw(here, cast, people, clock)
    with here.journal.open("r+b") as file:
        file.truncate(length)
    assert here.restore().journal is JournalState.STOPS_EARLY


def test_a_damaged_journal_counts_as_none(here: Installation, clock: Clock) -> None:
    cast = here.start()
    people = before(here, cast, clock)
    withdraw(here, cast, people, clock)
    here.journal.write_bytes(here.journal.read_bytes().replace(b"key_revoked", b"key_revoled"))
    assert here.restore().journal is JournalState.DAMAGED
    now = alive(here, cast, people, clock)
    assert (now.keys, now.sessions, now.sign_ins) == (0, 0, 0)


def test_a_copy_that_is_trusted_is_left_as_it_is_and_says_so(
    here: Installation, clock: Clock
) -> None:
    cast = here.start()
    people = before(here, cast, clock)
    here.journal.unlink()
    done = here.restore(trust=True)
    assert done.rest == "trusted"
    assert alive(here, cast, people, clock) == Alive(2, 4, 3, 6, True)
    with here.context():
        [event] = events(db.session(), AuditTag.RESTORED)
        assert event.data["rest"] == "trusted"


def test_a_one_time_link_of_the_copy_is_dead(here: Installation, clock: Clock) -> None:
    """The attacker finds a link in an old mail, which has been used, but since the copy."""
    cast = here.start()
    with here.context():
        session = db.session()
        user = lock_by_email(session, cast.pat)
        token = make_link(session, user=user, actor=cast.actor(cast.ada), now=clock.now())
        session.commit()
    here.prove()
    here.back_up()
    clock.advance(seconds=30)
    with here.context():
        set_password_by_link(
            db.session(), token=token, password_hash="new", address="", now=clock.now()
        )
        db.session.commit()
    here.prove()
    assert here.restore().journal is JournalState.COMPLETE
    with here.context(), pytest.raises(Gone):
        user_of_link(db.session(), token=token, now=clock.now())


def test_a_journal_from_elsewhere(here: Installation, clock: Clock, tmp_path: Path) -> None:
    """The machine is lost; its journal was kept on another, and the copy goes into a new one."""
    cast = here.start()
    people = before(here, cast, clock)
    withdraw(here, cast, people, clock)
    journal, checkpoints = tmp_path / "journal", tmp_path / "proofs"
    shutil.move(here.journal, journal)
    shutil.move(here.config.checkpoints, checkpoints)
    assert here.restore(journal=journal, checkpoints=checkpoints).rest == "left"
    assert alive(here, cast, people, clock) == Alive(1, 1, 1, 5, False)
    assert here.journal.exists()


def test_a_signing_key_that_was_retired_since_stays_so(here: Installation, clock: Clock) -> None:
    """It signs in the copy: the next start makes another."""
    cast = here.start()
    people = before(here, cast, clock)
    with here.context():
        session = db.session()
        keys = here.config.signing_keys
        rotate_signing_key(session, signing_keys=keys, actor=COMMAND_LINE, now=clock.now())
        session.commit()
        retire_signing_key(
            session, actor=COMMAND_LINE, kid=people.kid, now=clock.now(), limits=LIMITS
        )
        session.commit()
    clock.advance(seconds=10)
    here.prove()
    done = here.restore()
    assert (done.rest, done.signing_keys) == ("left", 1)
    with here.context():  # as the start does
        made = ensure_signing_key(db.session(), signing_keys=keys, now=clock.now())
        db.session.commit()
        assert made != people.kid
    assert alive(here, cast, people, clock).keys == 0


def test_a_database_put_back_by_hand_is_noticed(here: Installation, clock: Clock) -> None:
    if here.config.database_file is None:
        pytest.skip("files are put back on SQLite")
    cast = here.start()
    people = before(here, cast, clock)
    old = here.config.instance / "old.db"
    here.close()
    with (
        closing(sqlite3.connect(here.config.database_file)) as source,
        closing(sqlite3.connect(old)) as target,
    ):
        source.backup(target)
    withdraw(here, cast, people, clock)
    here.close()
    for name in ("portal.db-wal", "portal.db-shm"):
        (here.config.instance / name).unlink(missing_ok=True)
    shutil.copy(old, here.config.database_file)
    with here.context():
        done = settle_if_put_back(here.config)
        assert done is not None
        assert done.rest == "left"
        assert settle_if_put_back(here.config) is None
    assert alive(here, cast, people, clock) == Alive(1, 1, 1, 5, False)
    here.prove()  # and the record goes on
    assert len(list(here.config.instance.glob("checkpoints-before-restore-*"))) == 1


def test_nothing_is_settled_at_an_ordinary_start(here: Installation, clock: Clock) -> None:
    cast = here.start()
    people = before(here, cast, clock)
    with here.context():
        assert settle_if_put_back(here.config) is None
    assert alive(here, cast, people, clock) == Alive(2, 4, 3, 6, True)


def test_into_an_empty_instance_everything_comes_back(
    here: Installation, clock: Clock, tmp_path: Path
) -> None:
    """Secrets too: a key that was issued shows the same text."""
    cast = here.start()
    people = before(here, cast, clock)
    kept = here.config.instance
    if here.config.database_file is None:
        pytest.skip("there is one database")
    other = new_installation(tmp_path / "other", None)
    done = other.restore(here.copy, replace=False, journal=here.journal)
    for name in ("audit-log-key.pem", f"signing-keys/{people.kid}.pem"):
        assert (other.config.instance / name).read_bytes() == (kept / name).read_bytes()
        assert (other.config.instance / name).stat().st_mode & 0o777 == 0o600
    assert (other.config.instance / "secret-key").read_text() == here.config.secret_key
    assert done.journal is JournalState.STOPS_EARLY
    with other.context():
        key = db.session.scalars(select(TemporaryLicense)).first()
        assert text_of(key, other.app) in people.keys.values()
        assert has_ended(key, clock.now())
    other.close()
