"""Who may open what: every address says so, and what says nothing is closed."""

from collections.abc import Iterator

import pytest
from flask import Flask
from werkzeug.routing import Rule

from app import create_app
from app.accounts.users import find_user
from app.core.permissions import ROLE_PERMISSIONS, Permission, Role, allows
from app.extensions import db
from tests.conftest import Cast, Visitor

PUBLIC = {
    "agent_api.close_session",
    "agent_api.inspect",
    "agent_api.open_session",
    "agent_api.put_configuration",
    "agent_api.show_configuration",
    "agent_api.show_session",
    "docs.openapi",
    "docs.page",
    "published.license_keys",
    "published.audit_checkpoint",
    "published.audit_log_key",
    "published.revoked_licenses",
    "accounts.sign_in",
    "accounts.sign_in_page",
    "accounts.sign_out",
    "accounts.stay",
    *("second_factor.ask", "second_factor.answer", "second_factor.sign_in_by_passkey"),
    *("second_factor.prove_page", "second_factor.prove", "passkeys.options"),
    *("second_factor.set_up_page", "second_factor.set_up"),
    *("oidc.begin", "oidc.take_answer", "oidc.log_out"),
    "new_password.choose",
    "new_password.set_chosen",
    "assets.asset",
    "health.healthz",
    "inspecting.pasted_key",
    "ready.readyz",
}
"""Open to everybody, besides the OP Agent's window, which asks for its own session, as the JSON
interface asks for a token.
"""


def rules(app: Flask) -> list[Rule]:
    return list(app.url_map.iter_rules())


def permission_of(app: Flask, rule: Rule) -> Permission | None:
    return app.view_functions[rule.endpoint].permission


def closed(app: Flask, method: str) -> list[str]:
    """An address of every view that needs a permission and answers to `method`."""
    return [
        address(app, rule)
        for rule in rules(app)
        if permission_of(app, rule) is not None and method in rule.methods
    ]


def address(app: Flask, rule: Rule) -> str:
    values = dict.fromkeys(rule.arguments, 1 if "<id:" in rule.rule else "x")
    with app.test_request_context():
        return rule.build(values)[1]


def test_every_address_says_who_may_use_it(app: Flask) -> None:
    unstamped = [
        rule.rule
        for rule in rules(app)
        if not hasattr(app.view_functions[rule.endpoint], "permission")
    ]
    assert unstamped == []


def test_only_these_addresses_are_public(app: Flask) -> None:
    found = {rule.endpoint for rule in rules(app) if permission_of(app, rule) is None}
    assert {name for name in found if not name.startswith("console.")} == PUBLIC


PREFERENCES = {"/projects/shown-as"}
"""How a page looks for oneself, which whoever sees it may choose."""


def test_whoever_changes_something_needs_more_than_to_look(app: Flask) -> None:
    for rule in rules(app):
        changes = "POST" in rule.methods and rule.rule not in PREFERENCES
        if changes and permission_of(app, rule) is not None:
            assert permission_of(app, rule) is not Permission.VIEW_PORTAL, rule.rule


def test_an_anonymous_visitor_is_sent_to_sign_in_and_back(app: Flask, visitor: Visitor) -> None:
    for path in closed(app, "GET"):
        answer = visitor.get(path)
        assert answer.status_code == 303, path
        assert answer.location == f"/login?next={path.replace('/', '%2F')}"


def test_an_anonymous_visitors_form_is_401(app: Flask, visitor: Visitor) -> None:
    for path in closed(app, "POST"):
        answer = visitor.post(path)
        assert answer.status_code == 401, path
        assert "Please sign in" in answer.text


def test_an_anonymous_visitors_htmx_is_401_and_led_to_sign_in(app: Flask, visitor: Visitor) -> None:
    here = {"HX-Current-URL": "http://localhost/audit?page=2"}
    for path in closed(app, "GET"):
        headers = {"HX-Request": "true", "HX-Request-Type": "partial", **here}
        answer = visitor.client.get(path, headers=headers)
        assert answer.status_code == 401, path
        assert answer.headers["HX-Redirect"] == "/login?next=%2Faudit%3Fpage%3D2"
    for path in closed(app, "POST"):
        assert visitor.post(path, htmx=True).headers["HX-Redirect"] == "/login?next=%2F", path


def test_the_page_to_come_back_to_is_one_of_this_site(visitor: Visitor) -> None:
    for here in ("https://evil.example/audit", "http://[", "//evil.example", "/audit", ""):
        headers = {"HX-Request": "true", "HX-Current-URL": here}
        answer = visitor.client.get("/audit", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["HX-Redirect"] == "/login?next=%2F"


def test_a_program_gets_a_problem_and_no_redirect(visitor: Visitor) -> None:
    answer = visitor.client.get("/audit", headers={"Accept": "application/json"})
    assert answer.status_code == 401
    assert answer.content_type == "application/problem+json"
    assert answer.json["code"] == "not_signed_in"


def test_an_auditor_may_change_nothing(app: Flask, audrey: Visitor) -> None:
    own = [path for path in closed(app, "POST") if path.startswith("/account/")]
    assert own
    visits = ("1/record", "export.csv", "export.json")
    exports = {"/audit/export.csv", "/audit/export.jsonl"}
    exports |= {f"/projects/1/visits/{path}" for path in visits}
    assert exports < set(closed(app, "POST"))
    for path in set(closed(app, "POST")) - set(own) - exports - PREFERENCES:
        answer = audrey.post(path)
        assert answer.status_code == 403, path
        assert "Your role does not allow this." in answer.text


def test_an_auditor_opens_what_is_there_to_be_read_and_nothing_else(
    app: Flask, audrey: Visitor
) -> None:
    for rule in rules(app):
        permission = permission_of(app, rule)
        if permission is None or "GET" not in rule.methods:
            continue
        status = audrey.get(address(app, rule)).status_code
        if permission in ROLE_PERMISSIONS[Role.AUDITOR]:
            assert status in (200, 404), rule.rule
        else:
            assert status == 403, rule.rule


def test_a_session_of_a_client_would_open_nothing(app: Flask, cast: Cast, ada: Visitor) -> None:
    """A super admin who is made a client has the cookie still: it opens nothing any more."""
    with app.app_context():
        find_user(db.session(), cast.ada).role = Role.CLIENT
        db.session.commit()
    for path in closed(app, "GET"):
        assert ada.get(path).status_code == 403, path
    for path in closed(app, "POST"):
        assert ada.post(path).status_code == 403, path


def test_the_table_of_roles() -> None:
    assert set(ROLE_PERMISSIONS) == set(Role)
    assert ROLE_PERMISSIONS[Role.SUPER_ADMIN] == set(Permission) - {Permission.OWN_ACCESS}
    assert ROLE_PERMISSIONS[Role.AUDITOR] == {
        Permission.VIEW_PORTAL,
        Permission.EXPORT_AUDIT,
        Permission.VIEW_USERS,
        Permission.VIEW_POLICY,
        Permission.VIEW_REQUESTS,
        Permission.VIEW_WEBHOOKS,
        Permission.OWN_ACCOUNT,
    }
    for role in (Role.PARTNER, Role.DEVELOPER):
        assert ROLE_PERMISSIONS[role] == {Permission.OWN_ACCESS, Permission.OWN_ACCOUNT}
    assert not any(allows(Role.CLIENT, permission) for permission in Permission)


def test_an_unknown_address_is_404_for_everybody(visitor: Visitor, ada: Visitor) -> None:
    for person in (visitor, ada):
        assert person.get("/nothing/here").status_code == 404
        assert person.post("/nothing/here").status_code == 404


def test_a_wrong_method_is_405_and_says_which_are_right(visitor: Visitor, ada: Visitor) -> None:
    for person in (visitor, ada):
        answer = person.client.delete("/login")
        assert answer.status_code == 405
        assert {"GET", "POST"} <= {name.strip() for name in answer.headers["Allow"].split(",")}


@pytest.fixture
def forgetful(app: Flask) -> Iterator[Flask]:
    """The portal with a view that its author forgot to stamp."""
    portal = create_app(app.extensions["config"])
    portal.add_url_rule("/forgotten", "forgotten", lambda: "secret", methods=["GET", "POST"])
    yield portal
    with portal.app_context():
        db.engine.dispose()


def test_a_view_that_says_nothing_is_closed_even_to_a_super_admin(
    forgetful: Flask, cast: Cast
) -> None:
    ada = Visitor(forgetful.test_client())
    ada.sign_in(cast.ada)
    for answer in (ada.get("/forgotten"), ada.post("/forgotten")):
        assert answer.status_code == 403
        assert "secret" not in answer.text
