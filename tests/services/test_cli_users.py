"""`flask users ...`."""

import json
import os
import pwd

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import insert, select

from app.accounts.passwords import password_matches
from app.accounts.users import find_user
from app.cli.users import group
from app.extensions import db
from app.models import AuditEvent, Authenticator, User
from tests.conftest import Cast, Clock, Visitor


def run(app: Flask, *arguments: str, password: str | bytes | None = None) -> Result:
    with app.app_context():
        return app.test_cli_runner().invoke(group, arguments, input=password)


def create(
    app: Flask, email: str, role: str, *more: str, password: str = "long enough 1"
) -> Result:
    given = ("--email", email, "--role", role, "--password-stdin", *more)
    return run(app, "create", *given, password=f"{password}\n")


def user(app: Flask, email: str) -> User | None:
    with app.app_context():
        found = find_user(db.session(), email)
        db.session.remove()
    return found


def test_create_makes_a_user_who_can_sign_in(app: Flask, cast: Cast, visitor: Visitor) -> None:
    done = create(app, "New@Example.com", "auditor")
    assert (done.exit_code, done.output) == (0, "Created new@example.com (auditor).\n")
    assert visitor.sign_in("new@example.com", "long enough 1").status_code == 303


@pytest.mark.parametrize("role", ["super_admin", "auditor", "partner", "developer"])
def test_create_takes_every_role(app: Flask, cast: Cast, role: str) -> None:
    assert create(app, "new@example.com", role).exit_code == 0
    assert user(app, "new@example.com").role == role


def test_create_puts_a_client_user_into_an_organisation(app: Flask, cast: Cast) -> None:
    assert create(app, "new@example.com", "client", "--organisation", cast.acme).exit_code == 0
    assert user(app, "new@example.com").organisation_id == cast.acme


def test_create_asks_for_the_password_twice(app: Flask, cast: Cast) -> None:
    options = ("create", "--email", "new@example.com", "--role", "partner")
    done = run(app, *options, password="long enough 1\nlong enough 1\n")
    assert done.exit_code == 0
    assert "long enough 1" not in done.output
    assert password_matches(user(app, "new@example.com").password_hash, "long enough 1")


def test_create_asks_again_when_the_two_differ(app: Flask, cast: Cast) -> None:
    options = ("create", "--email", "new@example.com", "--role", "partner")
    done = run(app, *options, password="long enough 1\nlong enouhg 1\nmy next try\nmy next try\n")
    assert done.exit_code == 0
    assert password_matches(user(app, "new@example.com").password_hash, "my next try")


def test_a_password_from_standard_input_is_its_first_line_without_the_end(
    app: Flask, cast: Cast
) -> None:
    for number, given in enumerate(("päss wörd 1", "päss wörd 1\n", "päss wörd 1\r\nmore\n")):
        email = f"new{number}@example.com"
        options = ("create", "--email", email, "--role", "partner", "--password-stdin")
        assert run(app, *options, password=given.encode()).exit_code == 0
        assert password_matches(user(app, email).password_hash, "päss wörd 1")


@pytest.mark.parametrize("password", ["", "123456789", "x" * 1001])
def test_a_password_that_is_too_short_or_too_long_is_refused(
    app: Flask, cast: Cast, password: str
) -> None:
    done = create(app, "new@example.com", "partner", password=password)
    assert done.exit_code == 1
    assert done.stderr == "A password has 10 to 1,000 characters.\n"
    assert user(app, "new@example.com") is None


def test_a_password_that_is_no_utf_8_is_used_wrongly(app: Flask, cast: Cast) -> None:
    options = ("create", "--email", "new@example.com", "--role", "partner", "--password-stdin")
    done = run(app, *options, password=b"\xff\xfe\xff\xfe\xff\xfe\xff\xfe")
    assert done.exit_code == 2
    assert "not UTF-8" in done.stderr


@pytest.mark.parametrize("email", ["", "ada", "a@b@c", "a b@c.d", "x" * 250 + "@example.com"])
def test_a_malformed_e_mail_is_used_wrongly(app: Flask, cast: Cast, email: str) -> None:
    for done in (
        create(app, email, "partner"),
        run(app, "disable", email),
        run(app, "reset-password", email, "--password-stdin", password="long enough 1"),
    ):
        assert done.exit_code == 2
        assert "is not an e-mail address" in done.stderr


@pytest.mark.parametrize("role", ["admin", "SUPER_ADMIN", "", "clients"])
def test_an_unknown_role_is_used_wrongly(app: Flask, cast: Cast, role: str) -> None:
    done = create(app, "new@example.com", role)
    assert done.exit_code == 2
    assert "'super_admin', 'auditor', 'partner', 'developer', 'client'" in done.stderr


def test_an_organisation_goes_with_a_client_user_and_only_with_one(app: Flask, cast: Cast) -> None:
    for done in (
        create(app, "new@example.com", "client"),
        create(app, "new@example.com", "partner", "--organisation", cast.acme),
    ):
        assert done.exit_code == 2
        assert done.stderr == "--organisation goes with the role client, and only with it.\n"


def test_an_unknown_organisation_is_refused(app: Flask, cast: Cast) -> None:
    done = create(app, "new@example.com", "client", "--organisation", "ORG-9")
    assert (done.exit_code, done.stderr) == (1, "There is no organisation 'ORG-9'.\n")


def test_a_taken_e_mail_is_refused(app: Flask, cast: Cast) -> None:
    done = create(app, "ADA@example.com", "partner")
    assert (done.exit_code, done.stderr) == (1, "There is already a user ada@example.com.\n")
    assert user(app, cast.ada).role == "super_admin"


def test_what_is_missing_is_used_wrongly(app: Flask, cast: Cast) -> None:
    for arguments in (("create",), ("disable",), ("reset-password",), ("unknown",)):
        assert run(app, *arguments).exit_code == 2


def test_list_prints_a_table(app: Flask, cast: Cast, clock: Clock) -> None:
    run(app, "disable", cast.pat)
    done = run(app, "list")
    assert done.exit_code == 0
    lines = [line.split() for line in done.output.splitlines()]
    assert lines[0] == ["E-mail", "Name", "Role", "State", "Organisation", "Last", "sign-in"]
    assert ["ada@example.com", "-", "super_admin", "active", "-", "-"] in lines
    assert ["carl@example.com", "-", "client", "active", cast.acme, "-"] in lines
    assert [cast.pat, "-", "partner", "disabled", "-", "-"] in lines


def test_list_prints_json(app: Flask, cast: Cast) -> None:
    rows = json.loads(run(app, "list", "--json").output)
    assert [row["email"] for row in rows] == sorted(row["email"] for row in rows)
    assert rows[0] == {
        "email": "ada@example.com",
        "name": "",
        "role": "super_admin",
        "state": "active",
        "organisation_id": None,
        "last_sign_in_at": None,
        "created_at": "2026-11-24T15:40:00Z",
        "disabled_at": None,
    }


def test_list_of_nobody(app: Flask) -> None:
    assert run(app, "list").output == ""
    assert json.loads(run(app, "list", "--json").output) == []


def test_disable_keeps_a_user_out(app: Flask, cast: Cast, ada: Visitor) -> None:
    done = run(app, "disable", "ADA@Example.com")
    assert (done.exit_code, done.output) == (0, "Disabled ada@example.com.\n")
    assert ada.get("/audit").status_code == 303
    assert run(app, "disable", cast.ada).exit_code == 0


def test_reset_password_gives_a_new_one_and_ends_the_sessions(
    app: Flask, cast: Cast, ada: Visitor
) -> None:
    done = run(app, "reset-password", cast.ada, "--password-stdin", password="brand new thing\n")
    assert done.exit_code == 0
    assert done.output == "ada@example.com has a new password, and is signed out everywhere.\n"
    assert ada.get("/audit").status_code == 303
    assert ada.sign_in(cast.ada).status_code == 401
    assert ada.sign_in(cast.ada, "brand new thing").status_code == 303


def test_an_unknown_user_is_refused(app: Flask, cast: Cast) -> None:
    for done in (
        run(app, "disable", "nobody@example.com"),
        run(
            app,
            "reset-password",
            "nobody@example.com",
            "--password-stdin",
            password="long enough 1",
        ),
    ):
        assert done.exit_code == 1
        assert done.stderr == "There is no user nobody@example.com.\n"


def test_the_audit_log_says_that_it_was_the_command_line(app: Flask, cast: Cast) -> None:
    create(app, "new@example.com", "partner")
    run(app, "reset-password", "new@example.com", "--password-stdin", password="brand new thing\n")
    run(app, "disable", "new@example.com")
    with app.app_context():
        events = list(db.session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc())))[:3]
        db.session.remove()
    tags = ["user.disabled", "user.password_reset", "user.created"]
    assert [event.tag for event in events] == tags
    for event in events:
        assert (event.actor, event.address) == ("command line", "command line")
        assert event.data["system_user"] == pwd.getpwuid(os.getuid()).pw_name
        assert "on_behalf_of" not in event.data
        assert event.subject == "new@example.com"
        assert "brand new thing" not in str(vars(event))


def test_every_command_explains_itself(app: Flask) -> None:
    for arguments in ((), ("create",), ("list",), ("disable",), ("reset-password",)):
        done = run(app, *arguments, "--help")
        assert done.exit_code == 0
        assert "Usage:" in done.output


def test_enable_lets_a_user_in_again_but_brings_no_session_back(
    app: Flask, cast: Cast, ada: Visitor
) -> None:
    run(app, "disable", cast.ada)
    done = run(app, "enable", "ADA@Example.com")
    assert (done.exit_code, done.output) == (0, "Enabled ada@example.com.\n")
    assert ada.get("/audit").status_code == 303
    assert ada.sign_in(cast.ada).status_code == 303
    assert run(app, "enable", cast.ada).exit_code == 0
    unknown = run(app, "enable", "nobody@example.com")
    assert unknown.exit_code == 1
    assert "nobody@example.com" in unknown.output


def test_the_last_super_admin_stays_enabled(app: Flask, cast: Cast) -> None:
    assert run(app, "disable", cast.ada).exit_code == 0
    refused = run(app, "disable", cast.grace)
    assert refused.exit_code == 1
    assert "grace@example.com is the last super admin who can sign in" in refused.output
    assert user(app, cast.grace).disabled_at is None


def link_in(done: Result) -> str:
    """The path of the one-time link that a command printed as its last line."""
    assert (done.exit_code, done.stderr) == (0, "")
    return done.output.splitlines()[-1].removeprefix("http://127.0.0.1:8000")


def test_invite_prints_a_link_by_which_a_password_is_chosen(
    app: Flask, cast: Cast, visitor: Visitor
) -> None:
    done = run(app, "invite", "--email", "New@Example.com", "--role", "auditor")
    assert done.output.startswith("Invited new@example.com (auditor).\n")
    assert user(app, "new@example.com").state == "invited"
    path = link_in(done)
    visitor.get(path)
    assert visitor.post(path, {"new_password": "brand new thing"}).status_code == 303
    assert visitor.sign_in("new@example.com", "brand new thing").status_code == 303
    assert user(app, "new@example.com").state == "active"


def test_invite_puts_a_client_user_into_an_organisation(app: Flask, cast: Cast) -> None:
    options = ("invite", "--email", "new@example.com", "--role", "client")
    assert run(app, *options).exit_code == 2
    assert run(app, *options, "--organisation", "ORG-9").exit_code == 1
    assert run(app, *options, "--organisation", cast.acme).exit_code == 0
    assert run(app, *options, "--organisation", cast.acme).exit_code == 1
    assert user(app, "new@example.com").organisation_id == cast.acme


def test_set_role_gives_another_role_at_once(app: Flask, cast: Cast, ada: Visitor) -> None:
    done = run(app, "set-role", "ADA@example.com", "auditor")
    assert (done.exit_code, done.output) == (0, "ada@example.com is now auditor.\n")
    assert ada.get("/audit").status_code == 200
    assert ada.get("/projects/new").status_code == 403
    assert run(app, "set-role", cast.pat, "client", "--organisation", cast.acme).exit_code == 0
    assert user(app, cast.pat).organisation_id == cast.acme
    assert run(app, "set-role", cast.pat, "developer").exit_code == 0
    assert user(app, cast.pat).organisation_id is None


def test_set_role_refuses_what_it_must(app: Flask, cast: Cast) -> None:
    run(app, "set-role", cast.ada, "partner")
    for arguments, status, said in (
        ((cast.grace, "partner"), 1, "grace@example.com is the last super admin"),
        (("nobody@example.com", "partner"), 1, "There is no user nobody@example.com."),
        ((cast.pat, "client"), 2, "--organisation goes with the role client"),
        ((cast.pat, "boss"), 2, "'boss' is not one of"),
        (("pat", "partner"), 2, "is not an e-mail address"),
    ):
        done = run(app, "set-role", *arguments)
        assert done.exit_code == status
        assert said in done.stderr


def test_reset_password_by_a_link_changes_nothing_until_it_is_used(
    app: Flask, cast: Cast, ada: Visitor, visitor: Visitor
) -> None:
    path = link_in(run(app, "reset-password", cast.ada, "--link"))
    assert ada.get("/audit").status_code == 200
    visitor.get(path)
    assert visitor.post(path, {"new_password": "brand new thing"}).status_code == 303
    assert ada.get("/audit").status_code == 303
    assert run(app, "reset-password", cast.ada, "--link", "--password-stdin").exit_code == 2
    run(app, "disable", cast.ada)
    assert run(app, "reset-password", cast.ada, "--link").exit_code == 1


def test_a_second_factor_that_was_lost_is_reset(app: Flask, cast: Cast) -> None:
    """Also the last super admin's: nobody else could let them in again."""
    with app.app_context():
        user = find_user(db.session(), cast.ada)
        assert user is not None
        row = {"user_id": user.id, "sealed_secret": b"x", "set_up_at": user.created_at}
        db.session.execute(insert(Authenticator), row)
        db.session.commit()
    done = run(app, "reset-second-factor", cast.ada)
    assert (done.exit_code, cast.ada in done.output) == (0, True)
    with app.app_context():
        assert db.session.scalars(select(Authenticator.user_id)).all() == []
    assert run(app, "reset-second-factor", "nobody@example.com").exit_code == 1
