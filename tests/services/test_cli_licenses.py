"""`flask licenses ...` and `flask keys ...`, by their exit statuses and what they print."""

import json
import os
import pwd
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import select

from app.core.permissions import ROLE_PERMISSIONS, Permission, Role
from app.extensions import db
from app.keyformat.license_keys import read_temporary_key
from app.keyformat.signing_keys import public_key_from_bytes
from app.licenses.queries import count_licenses, licenses_of
from app.licenses.rules import LicenseState
from app.licenses.services import inspect_key
from app.models import AuditEvent, SigningKey, TemporaryLicense, User
from tests.conftest import NOW, Cast, Clock, signing_keys

ISSUE = ("licenses", "issue", "--organisation", Cast.acme)
LIST = ("licenses", "list", "--organisation", Cast.acme)
CARRIED = ["starts_at", "for", "reason", "ticket", "sign_ins_left", "machine", "use_by"]
AS_ADA = ("--as", Cast.ada)


@pytest.fixture(autouse=True)
def _stage(cast: Cast, clock: Clock) -> None:
    """Every command finds the cast, and the clock standing at NOW."""


def run(app: Flask, *arguments: str, stdin: str | bytes = "") -> Result:
    with app.app_context():
        return app.test_cli_runner().invoke(args=list(arguments), input=stdin)


def issue(app: Flask, ttl: str = "3h", *options: str) -> dict[str, str]:
    answer = run(app, *ISSUE, "--ttl", ttl, *options, *AS_ADA, "--json")
    assert answer.exit_code == 0, answer.stderr
    row: dict[str, str] = json.loads(answer.stdout)
    return row


class TestIssue:
    def test_prints_the_key_and_nothing_else_on_standard_output(self, app: Flask) -> None:
        answer = run(app, *ISSUE, "--ttl", "3 hrs", *AS_ADA)
        assert answer.exit_code == 0
        assert answer.stdout.startswith("rw1.")
        assert answer.stdout.count("\n") == 1
        with app.app_context():
            found = inspect_key(db.session(), text=answer.stdout, now=NOW)
            assert found.state is LicenseState.ACTIVE
        assert found.key_id in answer.stderr

    def test_as_json_has_what_the_contract_names(self, app: Flask) -> None:
        row = issue(app)
        assert list(row) == [
            "license_key",
            "key_id",
            "organisation_id",
            "issued_at",
            "expires_at",
            *CARRIED,
        ]
        assert row["starts_at"] == row["issued_at"]
        assert [row[name] for name in CARRIED[1:]] == [None] * 6
        assert row["organisation_id"] == Cast.acme
        assert row["issued_at"] == "2026-11-24T15:40:00Z"
        assert row["expires_at"] == "2026-11-24T18:40:00Z"

    def test_is_told_in_the_audit_log_under_the_admins_name(self, app: Flask) -> None:
        row = issue(app)
        with app.app_context():
            event = db.session().scalars(
                select(AuditEvent).where(AuditEvent.tag == "license.issued")
            )
            [(told, data)] = [((one.actor, one.address, one.subject), one.data) for one in event]
        assert told == (Cast.ada, "command line", row["key_id"])
        assert data["system_user"] == pwd.getpwuid(os.getuid()).pw_name
        assert data["on_behalf_of"] == Cast.ada

    @pytest.mark.parametrize("ttl", ["3x", "", "3", "h", "-1h", "0h", "3.5h", "9999999h", "٣h"])
    def test_a_malformed_ttl_is_used_wrongly(self, app: Flask, ttl: str) -> None:
        answer = run(app, *ISSUE, "--ttl", ttl, *AS_ADA)
        assert answer.exit_code == 2
        assert "Write a whole number and a unit" in answer.stderr

    def test_a_ttl_that_is_not_offered_is_refused(self, app: Flask) -> None:
        answer = run(app, *ISSUE, "--ttl", "2h", *AS_ADA)
        assert answer.exit_code == 1
        assert answer.stdout == ""
        assert "1 hr, 3 hrs, 6 hrs, 12 hrs, 1 day, 3 days, 7 days" in answer.stderr

    @pytest.mark.parametrize("who", [Cast.audrey, Cast.pat, Cast.carl, "nobody@example.com"])
    def test_only_a_super_admin_issues(self, app: Flask, who: str) -> None:
        answer = run(app, *ISSUE, "--ttl", "3h", "--as", who)
        assert answer.exit_code == 1
        assert answer.stdout == ""
        with app.app_context():
            assert count_licenses(db.session(), Cast.acme) == 0

    def test_a_disabled_super_admin_does_not(self, app: Flask) -> None:
        with app.app_context():
            ada = db.session().scalars(select(User).where(User.email == Cast.ada)).one()
            ada.disabled_at = NOW
            db.session.commit()
        assert run(app, *ISSUE, "--ttl", "3h", *AS_ADA).exit_code == 1

    def test_a_malformed_e_mail_is_used_wrongly(self, app: Flask) -> None:
        assert run(app, *ISSUE, "--ttl", "3h", "--as", "ada").exit_code == 2

    def test_an_unknown_organisation_is_refused(self, app: Flask) -> None:
        answer = run(app, "licenses", "issue", "--organisation", "X", "--ttl", "3h", *AS_ADA)
        assert answer.exit_code == 1
        assert "There is no organisation 'X'." in answer.stderr

    def test_without_the_private_key_nothing_is_recorded_or_printed(self, app: Flask) -> None:
        with app.app_context():
            kid = db.session().scalar(select(SigningKey.kid))
        file = Path(signing_keys(app)) / f"{kid}.pem"
        away = file.with_suffix(".away")
        file.rename(away)
        try:
            answer = run(app, *ISSUE, "--ttl", "3h", *AS_ADA)
        finally:
            away.rename(file)
        assert answer.exit_code == 1
        assert answer.stdout == ""
        assert "must put it back" in answer.stderr
        with app.app_context():
            assert count_licenses(db.session(), Cast.acme) == 0


class TestList:
    def test_has_the_rows_of_the_contract_in_the_domains_order(
        self, app: Flask, clock: Clock
    ) -> None:
        first = issue(app, "1h")
        revoked = issue(app, "6h")
        run(app, "licenses", "revoke", revoked["key_id"], *AS_ADA)
        clock.advance(hours=2)
        active = issue(app, "3h")
        answer = run(app, "licenses", "list", "--organisation", Cast.acme, "--json")
        assert answer.exit_code == 0
        rows = json.loads(answer.stdout)
        assert [(row["key_id"], row["state"]) for row in rows] == [
            (active["key_id"], "active"),
            (first["key_id"], "expired"),
            (revoked["key_id"], "revoked"),
        ]
        assert rows[0] == {
            "key_id": active["key_id"],
            "kind": "temporary",
            "state": "active",
            "issued_at": "2026-11-24T17:40:00Z",
            "expires_at": "2026-11-24T20:40:00Z",
            "ended_at": None,
            **dict.fromkeys(CARRIED),
            "starts_at": "2026-11-24T17:40:00Z",
        }
        assert "rw1." not in answer.stdout

    def test_as_a_table(self, app: Flask) -> None:
        row = issue(app)
        answer = run(app, "licenses", "list", "--organisation", Cast.acme)
        assert answer.exit_code == 0
        headings, line = answer.stdout.splitlines()
        assert headings.split()[-5:] == ["State", "Issued", "Expires", "Starts", "For"]
        assert line.split()[:3] == [row["key_id"], "temporary", "active"]

    def test_of_an_organisation_without_keys_is_empty(self, app: Flask) -> None:
        answer = run(app, "licenses", "list", "--organisation", Cast.bolt, "--json")
        assert (answer.exit_code, json.loads(answer.stdout)) == (0, [])

    def test_of_an_unknown_organisation_is_refused(self, app: Flask) -> None:
        assert run(app, "licenses", "list", "--organisation", "X").exit_code == 1


ALL = (
    *("--reason", "Printer down", "--ticket", "T-7", "--for", "PAT@example.com"),
    *("--starts", "2026-11-26T10:00:00+01:00", "--ends", "2026-11-26T12:00:00Z"),
    *("--sign-ins", "2", "--first-machine", "--use-within", "1h"),
)


class TestWhatAKeyCarries:
    def test_is_told_as_json_where_it_is_issued_and_listed(self, app: Flask) -> None:
        answer = run(app, *ISSUE, *ALL, *AS_ADA, "--json")
        assert answer.exit_code == 0, answer.stderr
        row = json.loads(answer.stdout)
        assert row["issued_at"] == "2026-11-24T15:40:00Z"
        assert row["expires_at"] == "2026-11-26T12:00:00Z"
        carried = {name: row[name] for name in CARRIED}
        assert carried == {
            "starts_at": "2026-11-26T09:00:00Z",
            "for": Cast.pat,
            "reason": "Printer down",
            "ticket": "T-7",
            "sign_ins_left": 2,
            "machine": None,
            "use_by": "2026-11-26T10:00:00Z",
        }
        [listed] = json.loads(run(app, *LIST, "--json").stdout)
        assert listed == carried | {
            "key_id": row["key_id"],
            "kind": "temporary",
            "state": "scheduled",
            "issued_at": row["issued_at"],
            "expires_at": row["expires_at"],
            "ended_at": None,
        }
        checked = run(app, "licenses", "check", "--json", stdin=row["license_key"])
        assert checked.exit_code == 1
        assert json.loads(checked.stdout)["state"] == "scheduled"

    def test_one_that_expired_unused_ended_then(self, app: Flask, clock: Clock) -> None:
        issue(app, "3h", "--use-within", "15m")
        clock.advance(minutes=15)
        [row] = json.loads(run(app, *LIST, "--json").stdout)
        assert (row["state"], row["ended_at"]) == ("expired", "2026-11-24T15:55:00Z")
        assert (row["use_by"], row["expires_at"]) == (row["ended_at"], "2026-11-24T18:40:00Z")

    @pytest.mark.parametrize(
        "option",
        [("--starts", "tomorrow"), ("--starts", "2026-11-26T09:00:00"), ("--sign-ins", "0"),
         ("--starts", "2026-11-26T09:00:00.5Z"), ("--starts", "2026-02-30T09:00:00Z"),
         ("--ends", "2026-11-26 09:00:00Z"), ("--sign-ins", "101"), ("--sign-ins", "x"),
         ("--use-within", "2h"), ("--use-within", ""), ("--for", "pat")],
    )  # fmt: skip
    def test_what_cannot_be_read_is_used_wrongly(self, app: Flask, option: tuple[str, str]) -> None:
        assert run(app, *ISSUE, "--ttl", "3h", *option, *AS_ADA).exit_code == 2

    @pytest.mark.parametrize(
        ("option", "said"),
        [(("--for", "nobody@example.com"), "nobody with the e-mail"),
         (("--for", Cast.carl), "no partner or developer"),
         (("--for", Cast.grace), "no partner or developer"),
         (("--starts", "2026-11-24T15:38:59Z"), "is over"),
         (("--starts", "2026-12-24T15:40:01Z"), "30 days ahead"),
         (("--ends", "2026-12-01T15:40:01Z"), "at most 7 days"),
         (("--ends", "2026-11-24T15:40:00Z"), "after it starts"),
         (("--reason", "x" * 501), "501 characters"), (("--ticket", "x" * 65), "65 characters"),
         (("--reason", "\u202egnirts"), "direction of writing")],
    )  # fmt: skip
    def test_what_may_not_be_is_refused(
        self, app: Flask, option: tuple[str, str], said: str
    ) -> None:
        answer = run(app, *ISSUE, "--ttl", "3h", *option, *AS_ADA)
        assert (answer.exit_code, answer.stdout) == (1, "")
        assert said in answer.stderr
        with app.app_context():
            assert count_licenses(db.session(), Cast.acme) == 0

    def test_a_length_must_be_given(self, app: Flask) -> None:
        answer = run(app, *ISSUE, *AS_ADA)
        assert answer.exit_code == 2
        assert "--ends" in answer.stderr


class TestExtend:
    def test_gives_a_key_a_later_end(self, app: Flask) -> None:
        row = issue(app)
        later = ("--ends", "2026-11-24T20:00:00Z", "--reason", "Not done", *AS_ADA)
        answer = run(app, "licenses", "extend", row["key_id"].lower(), *later)
        assert answer.exit_code == 0, answer.stderr
        [listed] = json.loads(run(app, *LIST, "--json").stdout)
        assert listed["expires_at"] == "2026-11-24T20:00:00Z"
        assert run(app, "licenses", "check", stdin=row["license_key"]).exit_code == 0
        with app.app_context():
            tag = AuditEvent.tag == "license.extended"
            [event] = db.session().scalars(select(AuditEvent).where(tag))
            assert (event.actor, event.subject) == (Cast.ada, row["key_id"])
            assert event.data["reason"] == "Not done"

    @pytest.mark.parametrize(
        ("ends", "status"),
        [("2026-11-24T18:39:59Z", 1), ("2026-12-01T15:40:01Z", 1), ("later", 2)],
    )
    def test_refuses_what_is_earlier_or_above_the_ceiling(
        self, app: Flask, ends: str, status: int
    ) -> None:
        row = issue(app)
        answer = run(app, "licenses", "extend", row["key_id"], "--ends", ends, *AS_ADA)
        assert answer.exit_code == status

    def test_brings_no_ended_key_back(self, app: Flask, clock: Clock) -> None:
        row = issue(app, "1h")
        clock.advance(hours=1)
        later = ("--ends", "2026-11-24T20:00:00Z", *AS_ADA)
        answer = run(app, "licenses", "extend", row["key_id"], *later)
        assert answer.exit_code == 1
        assert "has ended" in answer.stderr


class TestRevoke:
    def test_ends_a_key_however_its_id_is_spelt(self, app: Flask) -> None:
        row = issue(app)
        spelling = row["key_id"].replace("-", " ").lower()
        answer = run(app, "licenses", "revoke", spelling, *AS_ADA)
        assert (answer.exit_code, answer.stdout) == (0, f"{row['key_id']} was revoked.\n")
        assert run(app, "licenses", "check", stdin=row["license_key"]).exit_code == 1

    def test_a_reason_stands_in_the_audit_log(self, app: Flask) -> None:
        """It was taken, and forgotten."""
        why = ("--reason", "Laptop stolen", *AS_ADA)
        assert run(app, "licenses", "revoke", issue(app)["key_id"], *why).exit_code == 0
        with app.app_context():
            tag = AuditEvent.tag == "license.revoked"
            event = db.session().scalars(select(AuditEvent).where(tag)).one()
            assert event.data["reason"] == "Laptop stolen"
        answer = run(
            app, "licenses", "revoke", issue(app)["key_id"], "--reason", "x" * 501, *AS_ADA
        )
        assert (answer.exit_code, "501 characters" in answer.stderr) == (1, True)

    def test_again_changes_nothing_and_says_so(self, app: Flask) -> None:
        row = issue(app)
        run(app, "licenses", "revoke", row["key_id"], *AS_ADA)
        answer = run(app, "licenses", "revoke", row["key_id"], *AS_ADA)
        assert answer.exit_code == 0
        assert "had ended already. Nothing was changed." in answer.stdout
        with app.app_context():
            told = db.session().scalars(
                select(AuditEvent).where(AuditEvent.tag == "license.revoked")
            )
            assert len(told.all()) == 1

    @pytest.mark.parametrize("key_id", ["K7QF-3MXP", "nonsense", "%"])
    def test_an_unknown_one_is_refused(self, app: Flask, key_id: str) -> None:
        answer = run(app, "licenses", "revoke", key_id, *AS_ADA)
        assert answer.exit_code == 1
        assert f"There is no key {key_id!r}." in answer.stderr

    def test_only_a_super_admin_revokes(self, app: Flask) -> None:
        row = issue(app)
        answer = run(app, "licenses", "revoke", row["key_id"], "--as", Cast.audrey)
        assert answer.exit_code == 1
        assert run(app, "licenses", "check", stdin=row["license_key"]).exit_code == 0

    def test_what_a_role_may_do_is_asked_of_the_table_of_roles(
        self, app: Flask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row = issue(app)
        monkeypatch.setitem(ROLE_PERMISSIONS, Role.AUDITOR, {Permission.REVOKE_LICENSES})
        as_audrey = ("--as", Cast.audrey)
        assert run(app, *ISSUE, "--ttl", "3h", *as_audrey).exit_code == 1
        assert run(app, "licenses", "revoke", row["key_id"], *as_audrey).exit_code == 0


class TestCheck:
    def test_an_active_key_is_0_with_all_that_is_known(self, app: Flask) -> None:
        row = issue(app)
        answer = run(app, "licenses", "check", "--json", stdin=row["license_key"])
        assert answer.exit_code == 0
        assert json.loads(answer.stdout) == {
            "state": "active",
            "key_id": row["key_id"],
            "organisation_id": Cast.acme,
            "starts_at": row["starts_at"],
            "expires_at": row["expires_at"],
        }

    def test_in_words(self, app: Flask) -> None:
        row = issue(app)
        answer = run(app, "licenses", "check", stdin=f" “{row['license_key']}”\n\n")
        assert answer.exit_code == 0
        assert answer.stdout.split() == [
            *("State:", "active", "Key", "ID:", row["key_id"]),
            *("Organisation:", Cast.acme, "Starts:", row["starts_at"]),
            *("Expires:", row["expires_at"]),
        ]

    def test_an_expired_and_a_revoked_one_are_1(self, app: Flask, clock: Clock) -> None:
        expired, revoked = issue(app, "1h"), issue(app, "3h")
        run(app, "licenses", "revoke", revoked["key_id"], *AS_ADA)
        clock.advance(hours=1)
        for row, state in ((expired, "expired"), (revoked, "revoked")):
            answer = run(app, "licenses", "check", "--json", stdin=row["license_key"])
            assert answer.exit_code == 1
            assert json.loads(answer.stdout)["state"] == state
            assert json.loads(answer.stdout)["key_id"] == row["key_id"]

    @pytest.mark.parametrize(
        "given",
        ["", "\n", "rw1.a.b.c", "x" * 1_000_000, b"\xff\xfe\x00", b"\x00" * 1000, "💥"],
        ids=["empty", "blank", "forged", "a megabyte", "not UTF-8", "zeros", "emoji"],
    )
    def test_what_is_no_key_is_invalid_and_1(self, app: Flask, given: str | bytes) -> None:
        answer = run(app, "licenses", "check", "--json", stdin=given)
        assert answer.exit_code == 1
        assert json.loads(answer.stdout) == {
            "state": "invalid",
            "key_id": None,
            "organisation_id": None,
            "starts_at": None,
            "expires_at": None,
        }

    def test_one_from_the_future_and_two_at_once_are_told_apart_from_others(
        self, app: Flask, clock: Clock
    ) -> None:
        row = issue(app)
        two = run(app, "licenses", "check", stdin=f"{row['license_key']}\n{row['license_key']}")
        assert two.exit_code == 1
        assert two.stderr.startswith("There are two keys here")
        clock.advance(seconds=-1)
        early = run(app, "licenses", "check", "--json", stdin=row["license_key"])
        assert early.exit_code == 1
        assert json.loads(early.stdout)["state"] == "invalid"
        assert early.stderr.startswith("This key is not valid yet by this portal's clock.")

    def test_never_repeats_what_it_was_given(self, app: Flask) -> None:
        row = issue(app)
        answer = run(app, "licenses", "check", stdin=row["license_key"][:-1])
        assert answer.exit_code == 1
        assert row["license_key"][:20] not in answer.output

    def test_writes_nothing(self, app: Flask) -> None:
        row = issue(app)
        run(app, "licenses", "check", stdin=row["license_key"])
        with app.app_context():
            [license] = licenses_of(db.session(), Cast.acme, NOW)
            assert license.last_used_at is None


class TestKeys:
    def test_list_says_which_key_signs(self, app: Flask) -> None:
        answer = run(app, "keys", "list", "--json")
        assert answer.exit_code == 0
        [row] = json.loads(answer.stdout)
        assert row == {
            "kid": row["kid"],
            "created_at": "2026-11-24T15:40:00Z",
            "signs": True,
            "private_key_found": True,
            "retired_at": None,
        }
        assert len(row["kid"]) == 8
        assert "PRIVATE" not in answer.stdout
        table = run(app, "keys", "list").stdout
        assert table.split()[-5:] == [row["kid"], row["created_at"], "yes", "found", "-"]

    def test_public_is_a_jwk_set_that_checks_a_key(self, app: Flask) -> None:
        row = issue(app)
        answer = run(app, "keys", "public")
        assert answer.exit_code == 0
        [jwk] = json.loads(answer.stdout)["keys"]
        assert (jwk["kty"], jwk["crv"], jwk["alg"], jwk["use"]) == (
            "OKP",
            "Ed25519",
            "EdDSA",
            "sig",
        )
        assert "d" not in jwk
        with app.app_context():
            key = db.session().scalars(select(SigningKey)).one()
            assert jwk["kid"] == key.kid
            public = public_key_from_bytes(key.public_key)
        signed = read_temporary_key(row["license_key"], {jwk["kid"]: public}.get)
        assert signed.jti == row["key_id"]


def test_the_key_is_in_no_table_after_all_this(app: Flask) -> None:
    row = issue(app)
    with app.app_context():
        stored = db.session().scalars(select(TemporaryLicense)).one()
        text = repr({column.name: getattr(stored, column.name) for column in stored.__table__.c})
    assert row["license_key"].split(".")[3] not in text
