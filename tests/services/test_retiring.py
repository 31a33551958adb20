"""`keys retire`: nothing under the signing key is good any more, on-line and off-line."""

import json
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.agents.heartbeats import heartbeat
from app.agents.machines import detach
from app.agents.retiring import Retired, retire_signing_key
from app.agents.session_rules import SessionEnd
from app.agents.sign_in import SignedIn
from app.agents.sign_in_rules import Refusal
from app.audit.tags import AuditTag
from app.cli.server import set_up
from app.core.actor import COMMAND_LINE
from app.core.errors import ConfigError, Conflict, NotFound
from app.extensions import db
from app.keyformat.signing_keys import kid_of, new_private_key, private_key_to_pem
from app.licenses.keyring import current_kid, ensure_signing_key, rotate_signing_key
from app.licenses.offline import published_keys, revocation_list
from app.licenses.services import inspect_key
from app.models import SigningKey
from tests.agents.stage import (
    LIMITS,
    events,
    issue,
    machine_of,
    signed_in,
    text_of,
    try_to_sign_in,
)
from tests.conftest import NOW, Cast, Clock, signing_keys
from tests.services.test_offline import decode, run

pytestmark = pytest.mark.databases("sqlite", "postgres")

LATER = NOW + timedelta(minutes=1)


def rotate(session: Session, app: Flask) -> str:
    """Make a new key that signs; returns the old one's `kid`."""
    old = current_kid(session)
    rotate_signing_key(session, signing_keys=signing_keys(app), actor=COMMAND_LINE, now=NOW)
    session.commit()
    return old


def retire(session: Session, kid: str) -> Retired:
    done = retire_signing_key(session, actor=COMMAND_LINE, kid=kid, now=LATER, limits=LIMITS)
    session.commit()
    return done


def claims_of(session: Session, app: Flask) -> dict[str, object]:
    text = revocation_list(session, signing_keys=signing_keys(app), now=LATER)
    claims: dict[str, object] = json.loads(decode(text.split(".")[1]))
    return claims


def test_everything_under_it_ends_and_nothing_else(
    app: Flask, session: Session, cast: Cast
) -> None:
    old_key = issue(session, cast)
    under_old = signed_in(session, cast.pat, old_key, mac_id="00:1A:2B:3C:4D:01")
    client = signed_in(session, cast.carl)
    old = rotate(session, app)
    new_key = issue(session, cast)
    under_new = signed_in(session, cast.dev, new_key, mac_id="00:1A:2B:3C:4D:02")
    assert retire(session, old) == Retired(keys=1, machines=1)
    for gone in (under_old, client):
        answer = heartbeat(session, token=gone.token, now=LATER, limits=LIMITS)
        assert isinstance(answer, SessionEnd)
    assert not isinstance(
        heartbeat(session, token=under_new.token, now=LATER, limits=LIMITS), SessionEnd
    )
    assert inspect_key(session, text=text_of(old_key), now=LATER).state == "revoked"
    refused = try_to_sign_in(session, cast.pat, text_of(old_key), now=LATER)
    assert isinstance(refused, Refusal)
    assert refused.code == "key_revoked"
    assert isinstance(try_to_sign_in(session, cast.pat, text_of(new_key), now=LATER), SignedIn)


def test_off_line_it_is_out_of_the_set_and_in_the_list(
    app: Flask, session: Session, cast: Cast
) -> None:
    """The license under it would keep its public key in the set for as long as it is good."""
    issue(session, cast)
    signed_in(session, cast.carl)
    old = rotate(session, app)
    assert old in [kid_of(key) for key in published_keys(session, LATER)]
    assert "retired" not in claims_of(session, app)
    retire(session, old)
    assert [kid_of(key) for key in published_keys(session, LATER)] == [current_kid(session)]
    claims = claims_of(session, app)
    assert claims["retired"] == [old]
    assert claims["iat"] == int(LATER.timestamp())


def test_its_machine_registers_anew(app: Flask, session: Session, cast: Cast) -> None:
    signed_in(session, cast.carl)
    old = rotate(session, app)
    retire(session, old)
    again = signed_in(session, cast.carl, now=LATER)
    assert again.license_key is not None
    assert machine_of(again).license.kid == current_kid(session)


def test_a_blocked_machine_stays_blocked(app: Flask, session: Session, cast: Cast) -> None:
    """To dissociate it would let whoever works on it register it again."""
    agent = machine_of(signed_in(session, cast.carl))
    detach(session, actor=COMMAND_LINE, agent_id=agent.id, now=NOW, limits=LIMITS)
    retire(session, rotate(session, app))
    refused = try_to_sign_in(session, cast.carl, now=LATER)
    assert isinstance(refused, Refusal)
    assert refused.code == "agent_blocked"
    assert agent.license.revoked_at is not None


def test_it_is_in_the_record(app: Flask, session: Session, cast: Cast) -> None:
    key = issue(session, cast)
    old = rotate(session, app)
    retire(session, old)
    [event] = events(session, AuditTag.SIGNING_KEY_RETIRED)
    assert (event.subject, event.actor, event.data) == (
        old,
        "command line",
        {"keys": 1, "machines": 0, "system_user": COMMAND_LINE.system_user},
    )
    assert [event.subject for event in events(session, AuditTag.LICENSE_REVOKED)] == [key.key_id]


def test_the_key_that_signs_is_refused(session: Session) -> None:
    with pytest.raises(Conflict, match="Rotate first"):
        retire(session, current_kid(session))


def test_twice_and_unknown(app: Flask, session: Session) -> None:
    old = rotate(session, app)
    retire(session, old)
    with pytest.raises(Conflict, match="was retired at"):
        retire(session, old)
    with pytest.raises(NotFound, match="no signing key 'nothing'"):
        retire(session, "nothing")


def test_a_retired_key_given_as_the_setting_never_signs_again(session: Session) -> None:
    """Somebody starts the portal once more with the setting of before."""
    pems = [private_key_to_pem(new_private_key()).decode() for _ in range(2)]
    stolen, _ = [ensure_signing_key(session, signing_keys=pem, now=NOW) for pem in pems]
    retire(session, stolen)
    with pytest.raises(ConfigError, match=r"PORTAL_SIGNING_KEYS: the signing key .* was retired"):
        ensure_signing_key(session, signing_keys=pems[0], now=LATER)


def test_without_a_key_that_signs_the_start_makes_one(app: Flask, session: Session) -> None:
    """A copy from before the rotation is put back, and its only key has been retired since."""
    old = session.scalars(select(SigningKey)).one()
    old.retired_at = NOW
    session.commit()
    with app.app_context():
        set_up(app.extensions["config"])
    assert current_kid(session) != old.kid


def test_the_command(app: Flask, cast: Cast, clock: Clock) -> None:
    with app.app_context():
        issue(db.session(), cast)
        old = current_kid(db.session())
        db.session.commit()
    refused = run(app, "keys", "retire", old)
    assert (refused.exit_code, "Rotate first" in refused.stderr) == (1, True)
    run(app, "keys", "rotate")
    done = run(app, "keys", "retire", old)
    assert done.exit_code == 0
    assert done.stdout == (f"{old} was retired. Keys revoked: 1; machines that register anew: 0.\n")
    again = run(app, "keys", "retire", old)
    assert (again.exit_code, "Nothing was changed" in again.stderr) == (1, True)
    listed = json.loads(run(app, "keys", "list", "--json").stdout)
    assert [(row["signs"], row["retired_at"]) for row in listed] == [
        (True, None),
        (False, "2026-11-24T15:40:00Z"),
    ]
