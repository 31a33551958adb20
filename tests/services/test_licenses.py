"""Temporary licenses: issued, listed, revoked and inspected, to the second."""

import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Flask
from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from app.config import current_config
from app.core.durations import KeyLimits
from app.core.errors import Conflict, InvalidInput, NotAllowed, NotFound, SigningKeyMissing
from app.core.paging import Total
from app.extensions import db
from app.keyformat.license_keys import sign_temporary_key
from app.keyformat.signing_keys import private_key_to_pem
from app.licenses import key_records, queries, services
from app.licenses.key_records import list_keys
from app.licenses.keyring import current_kid, private_key, rotate_signing_key
from app.licenses.option_rules import KeyOptions
from app.licenses.queries import (
    count_active,
    count_all_active,
    count_licenses,
    ending_soonest,
    find_license,
    licenses_of,
    part_of_licenses,
    state_of,
)
from app.licenses.rules import INVALID, LicenseState
from app.licenses.services import (
    inspect_key,
    issue_license,
    key_text,
    read_presented_key,
    revoke_license,
)
from app.models import AuditEvent, Base, Organisation, SigningKey, TemporaryLicense
from app.models.engine import writing
from app.models.kept import KEPT
from tests.conftest import NOW, Cast, signing_keys

pytestmark = pytest.mark.databases("sqlite", "postgres")

HOUR = 3600
CHOICES = (HOUR, 3 * HOUR)
SECOND = timedelta(seconds=1)


def issue(
    session: Session,
    cast: Cast,
    *,
    organisation_id: str = Cast.acme,
    ttl: int = HOUR,
    ago: float = 0,
    who: str = Cast.ada,
    form_token: str | None = None,
    **carried: Any,
) -> TemporaryLicense:
    record, _ = issue_license(
        session,
        actor=cast.actor(who),
        organisation_id=organisation_id,
        options=KeyOptions(ttl, **carried),
        limits=KeyLimits(CHOICES, 7 * 24 * HOUR),
        signing_keys=current_config().signing_keys,
        now=NOW - timedelta(seconds=ago),
        form_token=form_token,
    )
    return session.get_one(TemporaryLicense, record.id)


def revoke(
    session: Session, cast: Cast, license: TemporaryLicense, ago: float = 0
) -> TemporaryLicense:
    return revoke_license(
        session,
        actor=cast.actor(cast.ada),
        key_id=license.key_id,
        now=NOW - timedelta(seconds=ago),
    )


def events(session: Session) -> list[AuditEvent]:
    return list(
        session.scalars(
            select(AuditEvent).where(AuditEvent.tag.like("license.%")).order_by(AuditEvent.id)
        )
    )


def test_a_license_is_issued_at_the_whole_second_and_ends_one_ttl_later(
    session: Session, cast: Cast
) -> None:
    license = issue(session, cast, ttl=3 * HOUR, ago=-0.9)
    session.commit()
    session.expire_all()
    assert license.issued_at == NOW
    assert license.expires_at == NOW + timedelta(hours=3)
    assert license.organisation_id == cast.acme
    assert license.issued_by.email == cast.ada
    assert license.payload_version == 1


def test_issuing_is_told_in_the_audit_log_without_the_key(
    app: Flask, session: Session, cast: Cast
) -> None:
    license = issue(session, cast)
    session.flush()
    [event] = events(session)
    assert (event.tag, event.subject) == ("license.issued", license.key_id)
    assert (event.actor, event.organisation_id) == (cast.ada, cast.acme)
    assert event.data == {"ttl": HOUR, "expires_at": "2026-11-24T16:40:00+00:00"}
    text = key_text(license, signing_keys(app))
    assert not any(part in str(event.data) for part in text.split("."))


@pytest.mark.parametrize("ttl", [0, -1, 2 * HOUR, 8 * 86400, 10**9])
def test_a_ttl_that_is_not_offered_is_refused_by_naming_those_that_are(
    session: Session, cast: Cast, ttl: int
) -> None:
    with pytest.raises(InvalidInput) as refused:
        issue(session, cast, ttl=ttl)
    assert refused.value.field == "ttl"
    assert "1 hr, 3 hrs" in refused.value.detail
    assert licenses_of(session, cast.acme, NOW) == []


@pytest.mark.parametrize("who", [Cast.audrey, Cast.pat, Cast.dev, Cast.carl])
def test_only_a_super_admin_issues_and_revokes(session: Session, cast: Cast, who: str) -> None:
    license = issue(session, cast)
    with pytest.raises(NotAllowed):
        issue(session, cast, who=who)
    with pytest.raises(NotAllowed):
        revoke_license(session, actor=cast.actor(who), key_id=license.key_id, now=NOW)
    assert state_of(license, NOW) is LicenseState.ACTIVE


def test_nothing_is_issued_for_an_organisation_that_is_not_there(
    session: Session, cast: Cast
) -> None:
    with pytest.raises(NotFound):
        issue(session, cast, organisation_id="ORG-999999")


def test_without_a_signing_key_nothing_is_recorded(session: Session, cast: Cast) -> None:
    session.execute(SigningKey.__table__.delete())
    with pytest.raises(SigningKeyMissing):
        issue(session, cast)
    assert count_licenses(session, cast.acme) == 0
    assert events(session) == []


def test_a_taken_key_id_is_not_given_twice(
    session: Session, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = iter(["K7QF-3MXP", "K7QF-3MXP", "K7QF-3MXP", "W222-2222"])
    monkeypatch.setattr(services, "new_key_id", lambda: next(ids))
    assert issue(session, cast).key_id == "K7QF-3MXP"
    assert issue(session, cast).key_id == "W222-2222"


class TestTheSameForm:
    def test_sent_twice_issues_one_license(self, session: Session, cast: Cast) -> None:
        first = issue(session, cast, form_token="form")
        assert issue(session, cast, form_token="form", ago=-5) is first
        assert count_licenses(session, cast.acme) == 1
        assert len(events(session)) == 1

    def test_with_another_ttl_issues_nothing_and_says_what_it_had_issued(
        self, session: Session, cast: Cast
    ) -> None:
        first = issue(session, cast, form_token="form")
        with pytest.raises(InvalidInput, match=first.key_id):
            issue(session, cast, form_token="form", ttl=3 * HOUR)

    @pytest.mark.parametrize(
        "changed", [{"starts_at": NOW + timedelta(hours=2)}, {"use_within": 900}]
    )
    def test_with_another_start_or_use_within_is_not_the_same(
        self, session: Session, cast: Cast, changed: dict[str, Any]
    ) -> None:
        """Ada goes back in her browser, chooses a start, and would be given the key of before."""
        first = issue(session, cast, form_token="form")
        with pytest.raises(InvalidInput, match=first.key_id):
            issue(session, cast, form_token="form", **changed)
        again = issue(session, cast, form_token="other", **changed)
        assert issue(session, cast, form_token="other", **changed) is again

    @pytest.mark.parametrize(
        "other", [{"organisation_id": Cast.bolt}, {"who": Cast.grace}], ids=["place", "person"]
    )
    def test_of_somebody_else_or_for_another_organisation_is_refused(
        self, session: Session, cast: Cast, other: dict[str, str]
    ) -> None:
        issue(session, cast, form_token="form")
        with pytest.raises(Conflict):
            issue(session, cast, form_token="form", **other)

    def test_sent_twice_at_once_issues_one_license(self, app: Flask, cast: Cast) -> None:
        """Both requests look, find nothing and go on: only one of them may record."""
        start = threading.Barrier(4)
        answers: list[str] = []
        problems: list[BaseException] = []

        def send() -> None:
            with app.app_context(), writing():
                start.wait()
                try:
                    license = issue(db.session(), cast, form_token="form")
                    db.session.commit()
                    answers.append(license.key_id)
                except BaseException as problem:
                    problems.append(problem)
                    db.session.rollback()

        threads = [threading.Thread(target=send) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []
        assert len(answers) == 4
        assert len(set(answers)) == 1
        with app.app_context():
            assert count_licenses(db.session(), cast.acme) == 1
            assert len(events(db.session())) == 1


class TestState:
    @pytest.mark.parametrize(
        ("at", "state"),
        [
            (-1, LicenseState.INVALID),
            (0, LicenseState.ACTIVE),
            (1, LicenseState.ACTIVE),
            (HOUR - 1, LicenseState.ACTIVE),
            (HOUR, LicenseState.EXPIRED),
            (HOUR + 1, LicenseState.EXPIRED),
        ],
    )
    def test_to_the_second(
        self, app: Flask, session: Session, cast: Cast, at: int, state: LicenseState
    ) -> None:
        license = issue(session, cast)
        session.commit()
        session.expire_all()
        now = NOW + at * SECOND
        assert state_of(license, now) is state
        text = key_text(license, signing_keys(app))
        assert inspect_key(session, text=text, now=now).state is state
        active = 1 if state is LicenseState.ACTIVE else 0
        assert count_all_active(session, now).number == active
        assert count_active(session, now) == ({cast.acme: 1} if active else {})
        assert len(ending_soonest(session, now)) == active

    def test_a_fraction_of_a_second_before_the_end_it_is_still_active(
        self, session: Session, cast: Cast
    ) -> None:
        license = issue(session, cast)
        end = license.expires_at
        assert state_of(license, end - timedelta(microseconds=1)) is LicenseState.ACTIVE
        assert count_all_active(session, end - timedelta(microseconds=1)).number == 1
        assert count_all_active(session, end).number == 0


def rank(license: TemporaryLicense) -> tuple[bool, datetime, datetime, int]:
    """The domain's order, as a sort key: the highest stands on top."""
    active = state_of(license, NOW) is LicenseState.ACTIVE
    ended_at = min(license.revoked_at or license.expires_at, license.expires_at)
    return active, license.issued_at if active else ended_at, license.issued_at, license.id


def listed(session: Session, organisation_id: str, now: datetime) -> list[str]:
    """The Key IDs in the dropdown's order."""
    active, _, ended = list_keys(session, organisation_id, now)
    return [record.key_id for record in (*active, *ended)]


class TestOrder:
    def test_active_ones_newest_first_then_the_latest_ended(
        self, session: Session, cast: Cast
    ) -> None:
        old = issue(session, cast, ago=9 * HOUR)
        older = issue(session, cast, ago=10 * HOUR)
        long = issue(session, cast, ttl=3 * HOUR, ago=HOUR)
        new = issue(session, cast, ago=60)
        same_second = issue(session, cast, ago=60)
        revoked = issue(session, cast, ago=120)
        revoke(session, cast, revoked, ago=30)
        expired_last = issue(session, cast, ago=HOUR + 10)
        expected = [same_second, new, long, expired_last, revoked, old, older]
        assert licenses_of(session, cast.acme, NOW) == expected
        assert part_of_licenses(session, cast.acme, NOW, offset=0, limit=99) == expected
        assert part_of_licenses(session, cast.acme, NOW, offset=2, limit=3) == expected[2:5]

    def test_within_one_second_of_ending_the_one_issued_later_comes_first(
        self, session: Session, cast: Cast
    ) -> None:
        early = issue(session, cast, ttl=3 * HOUR, ago=3 * HOUR)
        late = issue(session, cast, ago=HOUR)
        revoked = issue(session, cast, ago=10)
        revoke(session, cast, revoked, ago=-0.7)
        assert licenses_of(session, cast.acme, NOW + SECOND) == [revoked, late, early]

    def test_it_is_the_order_of_the_domain(self, session: Session, cast: Cast) -> None:
        for number in range(40):
            license = issue(
                session,
                cast,
                ttl=CHOICES[number % 2],
                ago=(number * 1234) % (4 * HOUR) + (number % 3) / 3,
            )
            if number % 5 == 0:
                revoke(session, cast, license, ago=number % 7 + 0.4)
        session.commit()
        everything = session.scalars(
            select(TemporaryLicense).where(TemporaryLicense.organisation_id == cast.acme)
        )
        expected = sorted(everything, key=rank, reverse=True)
        assert licenses_of(session, cast.acme, NOW) == expected
        assert listed(session, cast.acme, NOW) == [license.key_id for license in expected]
        for moment in (NOW - 2 * HOUR * SECOND, NOW + HOUR * SECOND, NOW + 4 * HOUR * SECOND):
            order = [license.key_id for license in licenses_of(session, cast.acme, moment)]
            assert listed(session, cast.acme, moment) == order

    def test_a_key_moves_among_the_ended_ones_at_its_expiry_to_the_second(
        self, session: Session, cast: Cast
    ) -> None:
        long = issue(session, cast, ttl=3 * HOUR, ago=10)
        short = issue(session, cast)
        end = short.expires_at
        assert licenses_of(session, cast.acme, end - SECOND) == [short, long]
        assert licenses_of(session, cast.acme, end) == [long, short]

    def test_a_key_from_the_future_is_not_among_the_active_ones(
        self, session: Session, cast: Cast
    ) -> None:
        future = issue(session, cast, ago=-1)
        active = issue(session, cast, ago=60)
        assert licenses_of(session, cast.acme, NOW) == [active, future]

    def test_every_active_one_and_the_last_fifty_that_ended(
        self, session: Session, cast: Cast
    ) -> None:
        for number in range(55):
            issue(session, cast, ago=number)
        for number in range(60):
            issue(session, cast, ago=HOUR + number)
        active, _, ended = list_keys(session, cast.acme, NOW)
        assert (len(active), len(ended)) == (55, 50)
        assert {state_of(license, NOW) for license in active} == {LicenseState.ACTIVE}
        assert ended[-1].expires_at == NOW - 49 * SECOND
        assert count_licenses(session, cast.acme) == 115

    def test_another_organisation_sees_none_of_it(self, session: Session, cast: Cast) -> None:
        issue(session, cast)
        assert licenses_of(session, cast.bolt, NOW) == []
        assert list_keys(session, cast.bolt, NOW) == ([], [], [])
        assert count_licenses(session, cast.bolt) == 0


@pytest.mark.parametrize(
    ("revoked_after", "ended_after"), [(None, HOUR), (10, 10), (HOUR, HOUR), (2 * HOUR, HOUR)]
)
def test_a_key_ends_at_its_revocation_or_else_at_its_expiry(
    session: Session, cast: Cast, revoked_after: int | None, ended_after: int
) -> None:
    license = issue(session, cast)
    if revoked_after is not None:
        license.revoked_at = NOW + revoked_after * SECOND
    session.flush()
    assert license.ended_at == NOW + ended_after * SECOND
    queried = select(TemporaryLicense.id).where(TemporaryLicense.ended_at == license.ended_at)
    assert session.scalars(queried).all() == [license.id]


def test_active_keys_are_counted_by_organisation(session: Session, cast: Cast) -> None:
    issue(session, cast)
    issue(session, cast)
    issue(session, cast, organisation_id=cast.bolt)
    issue(session, cast, organisation_id=cast.bolt, ago=2 * HOUR)
    assert count_active(session, NOW) == {cast.acme: 2, cast.bolt: 1}
    assert count_active(session, NOW, [cast.bolt]) == {cast.bolt: 1}
    assert count_active(session, NOW, []) == {}
    assert count_all_active(session, NOW).number == 3


def test_many_active_keys_are_counted_twice_a_minute(
    session: Session, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "CHEAP", 1)
    issue(session, cast)
    assert count_all_active(session, NOW) == Total(1)
    issue(session, cast)
    assert count_all_active(session, NOW) == Total(2, about=True)
    issue(session, cast)
    assert count_all_active(session, NOW + KEPT - SECOND) == Total(2, about=True)
    assert count_all_active(session, NOW + KEPT) == Total(3, about=True)


def test_the_ones_that_end_soonest_come_first_and_are_active(session: Session, cast: Cast) -> None:
    late = issue(session, cast, ttl=3 * HOUR)
    soon = issue(session, cast, ago=3000)
    issue(session, cast, ago=HOUR)
    revoke(session, cast, issue(session, cast, ago=3500))
    assert ending_soonest(session, NOW) == [soon, late]
    assert ending_soonest(session, NOW, limit=1) == [soon]


@pytest.mark.parametrize("spelling", ["k7qf3mxp", " K7QF 3MXP ", "K7QF–3MXP", "K7QF-3MXP\n"])
def test_a_key_id_is_found_however_it_is_read_out(
    session: Session, cast: Cast, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    monkeypatch.setattr(services, "new_key_id", lambda: "K7QF-3MXP")
    license = issue(session, cast)
    assert find_license(session, spelling) is license


@pytest.mark.parametrize("text", ["", "K7QF", "K7QF-3MXP-", "%", "\x00", "O0O0-1111", "é" * 8])
def test_what_is_no_key_id_finds_nothing(session: Session, cast: Cast, text: str) -> None:
    issue(session, cast)
    assert find_license(session, text) is None


class TestRevoking:
    def test_ends_it_at_once_and_is_told_in_the_audit_log(
        self, app: Flask, session: Session, cast: Cast
    ) -> None:
        license = issue(session, cast)
        revoke(session, cast, license, ago=-60.5)
        session.commit()
        session.expire_all()
        assert license.revoked_at == license.ended_at == NOW + 60 * SECOND
        assert license.revoked_by.email == cast.ada
        text = key_text(license, signing_keys(app))
        assert inspect_key(session, text=text, now=NOW).state is LicenseState.REVOKED
        event = events(session)[-1]
        assert (event.tag, event.subject) == ("license.revoked", license.key_id)

    def test_twice_changes_nothing_the_second_time(self, session: Session, cast: Cast) -> None:
        license = issue(session, cast)
        revoke(session, cast, license)
        revoke(session, cast, license, ago=-60)
        assert license.revoked_at == NOW
        assert len(events(session)) == 2

    @pytest.mark.parametrize("late", [0, 1, HOUR])
    def test_an_expired_one_changes_nothing(self, session: Session, cast: Cast, late: int) -> None:
        license = issue(session, cast, ago=HOUR + late)
        revoke(session, cast, license)
        assert license.revoked_at is None
        assert state_of(license, NOW) is LicenseState.EXPIRED
        assert len(events(session)) == 1

    def test_one_second_before_its_end_still_revokes(self, session: Session, cast: Cast) -> None:
        license = issue(session, cast, ago=HOUR - 1)
        revoke(session, cast, license)
        assert state_of(license, NOW + HOUR * SECOND) is LicenseState.REVOKED

    @pytest.mark.parametrize("key_id", ["K7QF-3MXP", "", "nonsense", "\x00"])
    def test_what_is_not_there_is_not_found(
        self, session: Session, cast: Cast, key_id: str
    ) -> None:
        with pytest.raises(NotFound):
            revoke_license(session, actor=cast.actor(cast.ada), key_id=key_id, now=NOW)


class TestAClockThatWasSetBack:
    """The server's clock is an hour late: a key that was issued is now issued in the future."""

    def test_the_key_is_invalid_and_listed_among_those_that_do_not_work(
        self, app: Flask, session: Session, cast: Cast
    ) -> None:
        license = issue(session, cast, ttl=3 * HOUR)
        earlier = NOW - timedelta(hours=1)
        assert state_of(license, earlier) is LicenseState.INVALID
        text = key_text(license, signing_keys(app))
        assert read_presented_key(session, text).inspect(earlier) == (INVALID, None)
        assert inspect_key(session, text=text, now=earlier) == INVALID
        assert licenses_of(session, cast.acme, earlier) == [license]
        assert count_all_active(session, earlier).number == 0
        assert ending_soonest(session, earlier) == []

    def test_it_can_be_revoked_before_it_begins(self, session: Session, cast: Cast) -> None:
        license = issue(session, cast, ttl=3 * HOUR)
        revoke(session, cast, license, ago=HOUR)
        assert state_of(license, NOW) is LicenseState.REVOKED


class TestKeyText:
    def test_is_the_same_each_time_and_tells_what_is_recorded(
        self, app: Flask, session: Session, cast: Cast
    ) -> None:
        license = issue(session, cast)
        session.commit()
        text = key_text(license, signing_keys(app))
        session.expire_all()
        assert key_text(license, signing_keys(app)) == text
        found, record = read_presented_key(session, text).inspect(NOW)
        assert found.state is LicenseState.ACTIVE
        assert (found.key_id, found.organisation_id) == (license.key_id, cast.acme)
        assert found.expires_at == license.expires_at
        assert record is license

    def test_cannot_be_made_without_the_private_key(
        self, session: Session, cast: Cast, tmp_path: object
    ) -> None:
        with pytest.raises(SigningKeyMissing):
            key_text(issue(session, cast), str(tmp_path))

    def test_no_table_holds_it_or_a_part_of_it(
        self, app: Flask, session: Session, cast: Cast
    ) -> None:
        """Whoever steals the database gets no key that works: neither a text nor a signature."""
        licenses = [issue(session, cast, form_token=f"form {number}") for number in range(3)]
        revoke(session, cast, licenses[0])
        session.commit()
        everything = dump(session)
        assert licenses[0].key_id in everything
        for license in licenses:
            _, payload, _, signature = key_text(license, signing_keys(app)).split(".")
            assert signature not in everything
            assert payload not in everything
        private = private_key_of(app, session)
        assert private_key_to_pem(private).decode().splitlines()[1] not in everything
        assert private.private_bytes_raw().hex() not in everything


def dump(session: Session) -> str:
    """Every column of every table, as text."""
    bind = session.get_bind()
    assert set(inspect(bind).get_table_names()) >= set(Base.metadata.tables)
    rows = (
        repr([value.hex() if isinstance(value, bytes) else value for value in row])
        for table in Base.metadata.sorted_tables
        for row in session.execute(select(table))
    )
    return "\n".join(rows)


def private_key_of(app: Flask, session: Session) -> Ed25519PrivateKey:
    return private_key(signing_keys(app), current_kid(session))


class TestInspecting:
    """A signature is not enough: the record must say the same in every field."""

    @pytest.mark.parametrize(
        "change",
        [
            {"jti": "W222-2222"},
            {"organisation_id": Cast.bolt},
            {"ttl": 7 * 86400},
            {"issued_at": NOW - SECOND},
            {"issued_at": NOW + SECOND},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_a_well_signed_key_that_is_not_as_recorded_is_invalid(
        self, app: Flask, session: Session, cast: Cast, change: dict[str, object]
    ) -> None:
        license = issue(session, cast)
        says = {
            "jti": license.key_id,
            "organisation_id": cast.acme,
            "ttl": HOUR,
            "issued_at": license.issued_at,
        }
        private = private_key_of(app, session)
        honest = sign_temporary_key(private, **says)
        assert inspect_key(session, text=honest, now=NOW).state is LicenseState.ACTIVE
        forged = sign_temporary_key(private, **(says | change))
        for now in (NOW, NOW + SECOND):
            assert inspect_key(session, text=forged, now=now).state is LicenseState.INVALID

    def test_a_key_signed_with_a_retired_key_of_ours_is_invalid(
        self, app: Flask, session: Session, cast: Cast
    ) -> None:
        """Whoever has the old private key signs with it what is recorded under the new one."""
        retired = private_key_of(app, session)
        rotate_signing_key(
            session, signing_keys=signing_keys(app), actor=cast.actor(cast.ada), now=NOW
        )
        license = issue(session, cast)
        says = {
            "jti": license.key_id,
            "organisation_id": cast.acme,
            "ttl": HOUR,
            "issued_at": license.issued_at,
        }
        forged = sign_temporary_key(retired, **says)
        assert inspect_key(session, text=forged, now=NOW).state is LicenseState.INVALID
        honest = sign_temporary_key(private_key_of(app, session), **says)
        assert inspect_key(session, text=honest, now=NOW).state is LicenseState.ACTIVE

    @pytest.mark.parametrize("text", ["", " \n", "\x00", "rw1.", "x" * 1_000_000, "💥", "null"])
    def test_what_is_no_key_is_invalid(self, session: Session, cast: Cast, text: str) -> None:
        found = inspect_key(session, text=text, now=NOW)
        assert found.state is LicenseState.INVALID
        assert (found.key_id, found.organisation_id, found.expires_at) == (None, None, None)

    @pytest.mark.parametrize("blank", ["", " \n", "\u200b", "“”"])
    def test_what_is_left_blank_is_no_key_at_all(
        self, session: Session, cast: Cast, blank: str
    ) -> None:
        assert read_presented_key(session, blank) is None

    def test_what_chat_and_e_mail_do_to_a_key_is_forgiven(
        self, app: Flask, session: Session, cast: Cast
    ) -> None:
        text = key_text(issue(session, cast), signing_keys(app))
        for pasted in (f"  “{text[:40]}\r\n {text[40:]}”\n", f"`{text}`", "\u200b".join(text)):
            assert inspect_key(session, text=pasted, now=NOW).state is LicenseState.ACTIVE

    def test_doubled_or_cut_it_is_invalid(self, app: Flask, session: Session, cast: Cast) -> None:
        text = key_text(issue(session, cast), signing_keys(app))
        for pasted in (text + text, f"{text} {text}", text[:-1], text[1:]):
            assert inspect_key(session, text=pasted, now=NOW).state is LicenseState.INVALID


def test_an_organisation_may_have_any_unicode_in_its_id(
    app: Flask, session: Session, cast: Cast
) -> None:
    session.add(Organisation(id="Ünï-💥-ك", name="?", search_text="", created_at=NOW))
    license = issue(session, cast, organisation_id="Ünï-💥-ك")
    text = key_text(license, signing_keys(app))
    assert inspect_key(session, text=text, now=NOW).organisation_id == "Ünï-💥-ك"


@pytest.mark.databases("sqlite")
def test_the_dropdowns_keys_are_found_by_indexes_alone(session: Session, cast: Cast) -> None:
    """However many keys others have: no table of licenses is read as a whole."""
    listed = str(key_records._LISTED.compile(session.connection()))
    parameters = [None] * listed.count("?")
    plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {listed}", tuple(parameters))
    steps = [row[3] for row in plan]
    assert not [step for step in steps if step.startswith("SCAN temporary_licenses")], steps
    for index in ("organisation_id_ends_at", "temporary_licenses_revoked"):
        assert any(index in step for step in steps), steps


def test_a_form_that_is_sent_twice_at_once_generates_one_key(app: Flask, cast: Cast) -> None:
    """Somebody presses twice: the second one waits for the first, and is given its key."""
    given: list[str] = []

    def send() -> None:
        with app.app_context(), writing(), Session(db.engine) as own, own.begin():
            given.append(issued_by_form(own, cast, app))

    second = threading.Thread(target=send)
    with app.app_context(), writing(), Session(db.engine) as first, first.begin():
        key_id = issued_by_form(first, cast, app)
        second.start()
        second.join(0.5)
        assert second.is_alive()
    second.join(60)
    assert given == [key_id]


def issued_by_form(session: Session, cast: Cast, app: Flask) -> str:
    record, _ = issue_license(
        session,
        actor=cast.actor(cast.ada),
        organisation_id=cast.acme,
        options=KeyOptions(HOUR),
        limits=KeyLimits((HOUR,), HOUR),
        signing_keys=signing_keys(app),
        now=NOW,
        form_token="the same",
    )
    return record.key_id
