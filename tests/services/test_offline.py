"""What is published for checking off-line, read as a stranger would: with `cryptography` alone."""

import base64
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from click.testing import Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app import create_app
from app.core.actor import COMMAND_LINE
from app.core.errors import SigningKeyMissing
from app.extensions import db
from app.keyformat.signing_keys import jwk, kid_of, new_private_key, private_key_to_pem
from app.licenses.keyring import (
    current_kid,
    ensure_signing_key,
    list_signing_keys,
    private_key,
    rotate_signing_key,
)
from app.licenses.offline import published_keys, revocation_list, revocations
from app.licenses.services import key_text, revoke_license
from app.models import AuditEvent, SigningKey
from tests.agents.api_stage import OTHER_MAC, RealAgent, revoke_permanent, to_the_app
from tests.agents.stage import HOUR, issue, text_of
from tests.conftest import NOW, Cast, Clock, signing_keys

pytestmark = pytest.mark.databases("sqlite", "postgres")

KEYS = "/.well-known/license-keys.json"
REVOKED = "/.well-known/revoked-licenses"
SECOND = timedelta(seconds=1)


@pytest.fixture
def other(app: Flask) -> Iterator[Flask]:
    """Another worker of the same portal."""
    other = create_app(app.extensions["config"])
    yield other
    with other.app_context():
        db.engine.dispose()


def decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def stranger_reads(jws: str, jwks: dict[str, Any]) -> dict[str, Any]:
    """The claims of a compact JWS, its signature verified with the key that its header names."""
    header, claims, signature = jws.split(".")
    protected = json.loads(decode(header))
    assert (protected["alg"], protected["typ"]) == ("EdDSA", "revoked-licenses+jwt")
    [x] = [entry["x"] for entry in jwks["keys"] if entry["kid"] == protected["kid"]]
    key = Ed25519PublicKey.from_public_bytes(decode(x))
    key.verify(decode(signature), f"{header}.{claims}".encode())
    said: dict[str, Any] = json.loads(decode(claims))
    return said


def kids(session: Session, now: datetime = NOW) -> list[str]:
    return [kid_of(key) for key in published_keys(session, now)]


def rotate(session: Session, app: Flask, now: datetime = NOW) -> str:
    kid = rotate_signing_key(session, signing_keys=signing_keys(app), actor=COMMAND_LINE, now=now)
    session.commit()
    return kid


def run(app: Flask, *arguments: str) -> Result:
    with app.app_context():
        return app.test_cli_runner().invoke(args=list(arguments))


def listed(client: FlaskClient) -> list[str]:
    claims = stranger_reads(client.get(REVOKED).text, client.get(KEYS).json)
    return [entry["jti"] for entry in claims["revoked"]]


class TestRotation:
    def test_the_new_key_signs_at_once(self, app: Flask, session: Session, cast: Cast) -> None:
        old = issue(session, cast)
        new_kid = rotate(session, app)
        assert current_kid(session) == new_kid
        assert issue(session, cast).kid == new_kid
        assert old.kid != new_kid
        assert text_of(old).startswith("rw1.")

    @pytest.mark.parametrize("later", [timedelta(0), SECOND, timedelta(days=-400)])
    def test_whatever_the_clock_says(self, app: Flask, session: Session, later: timedelta) -> None:
        kids_made = [rotate(session, app, NOW + later * number) for number in range(1, 4)]
        assert [key.kid for key in list_signing_keys(session)][:3] == kids_made[::-1]
        assert current_kid(session) == kids_made[-1]

    def test_other_workers_sign_with_it_without_a_restart(
        self, app: Flask, other: Flask, cast: Cast, clock: Clock
    ) -> None:
        """Two workers, that have both signed with the old key; a person at the server rotates."""
        ids = [self._issue(one, cast) for one in (app, other)]
        assert ids[0] == ids[1]
        command = run(app, "keys", "rotate")
        assert command.exit_code == 0, command.output
        new_kid = command.stdout.split()[0]
        for one in (other, app):
            assert self._issue(one, cast) == new_kid
            assert [key["kid"] for key in one.test_client().get(KEYS).json["keys"]] == [
                new_kid,
                ids[0],
            ]
            header = one.test_client().get(REVOKED).text.split(".")[0]
            assert json.loads(decode(header))["kid"] == new_kid

    @staticmethod
    def _issue(app: Flask, cast: Cast) -> str:
        with app.app_context():
            license = issue(db.session(), cast)
            assert key_text(license, signing_keys(app))
            return license.kid

    def test_is_recorded(self, app: Flask, session: Session) -> None:
        kid = rotate(session, app)
        event = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc())).first()
        assert event is not None
        assert (event.tag, event.subject, event.actor) == (
            "signing_key.created",
            kid,
            "command line",
        )

    def test_a_private_key_that_is_lost_is_rotated_away(
        self, app: Flask, session: Session, cast: Cast
    ) -> None:
        session.execute(delete(SigningKey))
        lost = new_private_key()
        ensure_signing_key(session, signing_keys=private_key_to_pem(lost).decode(), now=NOW)
        with pytest.raises(SigningKeyMissing):
            revocation_list(session, signing_keys=signing_keys(app), now=NOW)
        rotate(session, app)
        text_of(issue(session, cast))


class TestAKeyThatIsGivenAsText:
    def test_signs_also_when_it_is_an_older_one(self, app: Flask, session: Session) -> None:
        """The operator goes back to the key of before: it signs, not the one that came later."""
        pem = private_key_to_pem(new_private_key()).decode()
        first = ensure_signing_key(session, signing_keys=pem, now=NOW)
        later = rotate(session, app, NOW + SECOND)
        assert current_kid(session) == later
        assert ensure_signing_key(session, signing_keys=pem, now=NOW + 2 * SECOND) == first
        assert current_kid(session) == first
        assert private_key(pem, current_kid(session))
        tags = session.scalars(select(AuditEvent.tag).order_by(AuditEvent.id)).all()
        assert tags[-1] == "signing_key.chosen"

    def test_is_chosen_once_however_often_the_portal_starts(self, session: Session) -> None:
        pem = private_key_to_pem(new_private_key()).decode()
        for _ in range(3):
            ensure_signing_key(session, signing_keys=pem, now=NOW)
        assert len(session.scalars(select(AuditEvent)).all()) == 2
        assert len(list_signing_keys(session)) == 2


class TestTheKeySet:
    def test_has_the_key_that_signs_first(self, app: Flask, session: Session, cast: Cast) -> None:
        issue(session, cast)
        old = current_kid(session)
        assert kids(session) == [old]
        new = rotate(session, app)
        assert kids(session) == [new, old]

    def test_has_an_old_key_until_the_last_temporary_license_has_expired(
        self, app: Flask, session: Session, cast: Cast
    ) -> None:
        issue(session, cast)
        last = issue(session, cast, now=NOW + timedelta(minutes=30))
        old, new = current_kid(session), rotate(session, app)
        assert kids(session, last.expires_at - SECOND) == [new, old]
        assert kids(session, last.expires_at) == [new]

    def test_has_an_old_key_while_a_permanent_license_is_under_it(
        self, app: Flask, session: Session, cast: Cast, clock: Clock
    ) -> None:
        RealAgent(to_the_app(app.test_client())).sign_in(cast.carl)
        old, new = current_kid(session), rotate(session, app)
        assert kids(session, NOW + timedelta(days=4000)) == [new, old]
        revoke_permanent(session, cast)
        assert kids(session, NOW + timedelta(days=4000)) == [new]

    def test_leaves_out_an_old_key_that_signed_nothing(self, app: Flask, session: Session) -> None:
        new = rotate(session, app)
        assert kids(session) == [new]

    def test_is_what_keys_public_prints(self, app: Flask, cast: Cast, clock: Clock) -> None:
        with app.app_context():
            issue(db.session(), cast)
            rotate(db.session(), app)
        printed = json.loads(run(app, "keys", "public").stdout)
        assert printed == app.test_client().get(KEYS).json
        assert len(printed["keys"]) == 2
        with app.app_context():
            assert printed["keys"] == [jwk(key) for key in published_keys(db.session(), NOW)]


class TestTheRevocationList:
    def test_has_what_was_revoked_before_its_expiry_until_it_expires(
        self, session: Session, cast: Cast
    ) -> None:
        kept, revoked, late = (issue(session, cast) for _ in range(3))
        actor = cast.actor(cast.ada)
        at = NOW + timedelta(minutes=10)
        revoke_license(session, actor=actor, key_id=revoked.key_id, now=at)
        revoke_license(session, actor=actor, key_id=late.key_id, now=late.expires_at)
        found = revocations(session, at)
        assert [(one.jti, one.revoked_at, one.expires_at) for one in found] == [
            (revoked.key_id, at, revoked.expires_at)
        ]
        assert kept.key_id not in {one.jti for one in found}
        assert len(revocations(session, revoked.expires_at - SECOND)) == 1
        assert revocations(session, revoked.expires_at) == []

    def test_has_a_permanent_license_for_good(
        self, app: Flask, session: Session, cast: Cast, clock: Clock
    ) -> None:
        agent = RealAgent(to_the_app(app.test_client()), OTHER_MAC)
        key_id = agent.sign_in(cast.carl).json["license"]["key_id"]
        revoke_permanent(session, cast, OTHER_MAC)
        [found] = revocations(session, NOW + timedelta(days=4000))
        assert (found.jti, found.revoked_at, found.expires_at) == (key_id, NOW, None)

    def test_has_a_revocation_at_once_and_no_cache_keeps_it_back_for_ten_seconds(
        self, app: Flask, cast: Cast, clock: Clock
    ) -> None:
        client = app.test_client()
        with app.app_context():
            license = issue(db.session(), cast)
            assert listed(client) == []
            clock.advance(seconds=20)
            revoke_license(
                db.session(),
                actor=cast.actor(cast.ada),
                key_id=license.key_id,
                now=clock.now(),
            )
            db.session.commit()
            assert listed(client) == [license.key_id]
        answer = client.get(REVOKED)
        assert answer.headers["Cache-Control"] == "public, max-age=5"

    def test_is_dated_from_the_minute_or_the_last_revocation(
        self, app: Flask, session: Session, cast: Cast
    ) -> None:
        def claims(now: datetime) -> dict[str, Any]:
            text = revocation_list(session, signing_keys=signing_keys(app), now=now)
            return stranger_reads(
                text, {"keys": [jwk(key) for key in published_keys(session, now)]}
            )

        start = int(NOW.timestamp())
        assert claims(NOW + timedelta(seconds=59.9))["iat"] == start
        assert claims(NOW + timedelta(seconds=60))["iat"] == start + 60
        license = issue(session, cast)
        at = NOW + timedelta(seconds=30)
        revoke_license(session, actor=cast.actor(cast.ada), key_id=license.key_id, now=at)
        said = claims(NOW + timedelta(seconds=45))
        assert (said["iat"], said["next_update"]) == (start + 30, start + 30 + 3600)
        assert said["revoked"] == [
            {"jti": license.key_id, "revoked_at": start + 30, "expires_at": start + HOUR}
        ]
        back = claims(NOW - timedelta(days=1, seconds=7))
        assert back["iat"] == start - 86_400 - 7, "the clock was set back"


class TestTheAnswers:
    @pytest.mark.parametrize(
        ("path", "media_type"), [(KEYS, "application/json"), (REVOKED, "application/jose")]
    )
    def test_may_be_cached_by_anybody_for_five_seconds(
        self, app: Flask, cast: Cast, clock: Clock, path: str, media_type: str
    ) -> None:
        client = app.test_client()
        first = client.get(path)
        assert first.status_code == 200
        assert first.headers["Content-Type"] == media_type
        assert first.headers["Cache-Control"] == "public, max-age=5"
        assert "Vary" not in first.headers
        assert "Set-Cookie" not in first.headers
        again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")
        assert again.headers["ETag"] == first.headers["ETag"]
        assert again.headers["Cache-Control"] == "public, max-age=5"
        head = client.head(path)
        assert (head.status_code, head.data) == (200, b"")
        assert head.headers["ETag"] == first.headers["ETag"]
        assert head.headers["Content-Length"] == str(len(first.data))

    def test_have_another_tag_when_something_has_changed(
        self, app: Flask, cast: Cast, clock: Clock
    ) -> None:
        client = app.test_client()
        tags = {path: client.get(path).headers["ETag"] for path in (KEYS, REVOKED)}
        with app.app_context():
            rotate(db.session(), app)
        for path, tag in tags.items():
            assert client.get(path, headers={"If-None-Match": tag}).status_code == 200

    def test_without_a_private_key_the_list_is_503_and_the_keys_are_there(
        self, app: Flask, clock: Clock
    ) -> None:
        with app.app_context():
            db.session.execute(delete(SigningKey))
            pem = private_key_to_pem(new_private_key()).decode()
            ensure_signing_key(db.session(), signing_keys=pem, now=NOW)
            db.session.commit()
        client = app.test_client()
        answer = client.get(REVOKED)
        assert answer.status_code == 503
        assert answer.json["code"] == "signing_key_missing"
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert client.get(KEYS).status_code == 200

    def test_hold_nothing_private(self, app: Flask, cast: Cast) -> None:
        for key in app.test_client().get(KEYS).json["keys"]:
            assert set(key) == {"kty", "crv", "x", "kid", "use", "alg"}
