"""Attacks on the OP Agent's window, each told as a story."""

import base64
import json
import logging
import random
import re
from io import BytesIO

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.tokens import hash_token, new_token
from app.extensions import db
from app.models import Agent, AgentSession, AuditEvent, Base, Project, Visit
from tests.agents.console.stage import beside, cookie_of, log_in
from tests.agents.stage import (
    BEA,
    add_bea,
    issue,
    machine_of,
    signed_in,
    text_of,
    try_to_sign_in,
)
from tests.conftest import NOW, PASSWORD, Cast, Clock, Visitor


@pytest.fixture
def key(app: Flask, cast: Cast, clock: Clock) -> str:
    """A key of Acme's, active for an hour."""
    with app.app_context():
        return text_of(issue(db.session(), cast))


@pytest.fixture
def partner(app: Flask, cast: Cast) -> Visitor:
    visitor = Visitor(app.test_client())
    visitor.get("/agent")
    return visitor


def token_of(visitor: Visitor) -> str:
    cookie = visitor.client.get_cookie("op_agent", path="/agent")
    assert cookie is not None
    return str(cookie.value)


def carry(visitor: Visitor, token: str) -> None:
    visitor.client.set_cookie("op_agent", token, path="/agent")


def nobody_signed_in(app: Flask) -> bool:
    with app.app_context():
        return db.session.scalar(select(AgentSession.id).limit(1)) is None


def test_session_fixation(partner: Visitor, key: str) -> None:
    """Mallory plants a cookie that she knows in Pat's browser, waits until Pat has signed in,
    and comes with the same cookie."""
    planted = new_token()
    carry(partner, planted)
    assert log_in(partner, key).status_code == 303
    assert token_of(partner) != planted
    mallory = Visitor(partner.client.application.test_client())
    carry(mallory, planted)
    assert mallory.get("/agent").status_code == 401


def test_a_copied_cookie_is_dead_once_pat_has_logged_out(partner: Visitor, key: str) -> None:
    """Mallory copied Pat's cookie from the disk."""
    log_in(partner, key)
    copied = token_of(partner)
    mallory = Visitor(partner.client.application.test_client())
    carry(mallory, copied)
    assert mallory.get("/agent").status_code == 200
    partner.post("/agent/logout")
    carry(mallory, copied)
    assert mallory.get("/agent").status_code == 401


@pytest.mark.parametrize(
    "garbage",
    ["", "x", "'; DROP TABLE agent_sessions; --", "%00", "é" * 50, "A" * 4000, "..", "{}", "null"],
)
def test_a_made_up_cookie_opens_nothing_and_breaks_nothing(
    partner: Visitor, key: str, garbage: str
) -> None:
    """Mallory writes whatever she likes into the cookie."""
    log_in(partner, key)
    carry(partner, garbage)
    answer = partner.get("/agent")
    assert answer.status_code == 401
    assert "Login ID" in answer.text
    assert partner.post("/agent/configuration").status_code == 401
    assert partner.post("/agent/logout").status_code == 303


def test_raw_bytes_in_the_cookie_header(app: Flask) -> None:
    """Mallory speaks HTTP by hand."""
    for raw in ("op_agent=\xff\xfe", "op_agent=;;;==", "op_agent", "op_agent=" + "\x01" * 9):
        answer = app.test_client().get("/agent", headers={"Cookie": raw})
        assert answer.status_code in (200, 401)


def test_a_token_of_another_installation(partner: Visitor, key: str, app: Flask) -> None:
    """Mallory runs a portal of her own and brings the cookie that it gave her."""
    log_in(partner, key)
    with app.app_context():
        for table in (Visit, AgentSession):
            db.session.execute(table.__table__.delete())
        db.session.commit()
    assert partner.get("/agent").status_code == 401


def test_what_the_database_holds_is_no_token(partner: Visitor, key: str, app: Flask) -> None:
    """Mallory has a copy of the database and sends the hash that she found in it."""
    log_in(partner, key)
    with app.app_context():
        stolen = db.session.scalar(select(AgentSession.token_hash))
    assert stolen == hash_token(token_of(partner))
    mallory = Visitor(app.test_client())
    carry(mallory, str(stolen))
    assert mallory.get("/agent").status_code == 401


def test_the_two_cookies_do_not_open_each_others_doors(
    ada: Visitor, partner: Visitor, key: str
) -> None:
    """Mallory puts the portal's token into the agent's cookie, and the agent's into the
    portal's."""
    log_in(partner, key)
    portal = ada.client.get_cookie("rolling_window")
    assert portal is not None
    carry(ada, str(portal.value))
    assert ada.get("/agent").status_code == 401
    partner.client.set_cookie("rolling_window", token_of(partner))
    assert partner.get("/audit").status_code == 303


@pytest.mark.parametrize(
    "path", ["/agent", "/agent/configuration", "/agent/logout", "/agent/confirm"]
)
@pytest.mark.parametrize("token", ["", "nonsense"])
def test_a_form_on_mallorys_page(
    app: Flask, partner: Visitor, key: str, path: str, token: str
) -> None:
    """Mallory's page sends the OP Agent's forms from Pat's browser: to sign Pat in under an
    account of hers (login CSRF), to sign Pat out, to save something."""
    log_in(partner, key)
    fields = {"login_id": Cast.dev, "password": PASSWORD, "registration_key": key}
    answer = partner.client.post(path, data=fields | {"csrf_token": token})
    # A wrong token is an old form: it is shown again, or leads on whoever is logged in already.
    out_of_date = 303 if path == "/agent" else 422
    assert answer.status_code == (out_of_date if token else 400)
    with app.app_context():
        (only,) = db.session.scalars(select(AgentSession))
        assert only.user.email == Cast.pat
        assert only.ended_at is None


def test_a_token_from_mallorys_own_visit_does_not_fit(app: Flask, cast: Cast, key: str) -> None:
    """Mallory takes a form's token from her own visit and puts it into her page."""
    mallory, pat = Visitor(app.test_client()), Visitor(app.test_client())
    mallory.get("/agent")
    pat.get("/agent")
    pat.csrf_token = mallory.csrf_token
    assert log_in(pat, key).status_code == 422
    assert nobody_signed_in(app)


def test_the_window_cannot_be_framed_and_runs_no_foreign_script(partner: Visitor) -> None:
    """Mallory lays the OP Agent's window invisibly over a game."""
    answer = partner.get("/agent")
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert not re.search(r"<script(?![^>]*\bsrc=)", answer.text)
    assert " style=" not in answer.text
    assert not re.search(r"\son[a-z]+=", answer.text)


@pytest.mark.parametrize("field", ["login_id", "registration_key", "mac_id"])
def test_what_is_typed_is_never_markup(partner: Visitor, field: str) -> None:
    """Mallory has Pat paste a "key" that is a script."""
    nasty = '"></textarea><script>alert(1)</script>{{ 7*7 }}'
    answer = log_in(partner, **{"login_id": Cast.pat, "key": "", field: nasty})
    assert answer.status_code in (401, 422)
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;{{ 7*7 }}" in answer.text


@pytest.mark.parametrize("nasty", ["<b>x</b>", "FF:FF:FF:FF:FF:FF", "", "A" * 4000, "%00"])
def test_a_tampered_mac_cookie_is_replaced(partner: Visitor, key: str, nasty: str) -> None:
    """Mallory writes into the cookie that stands for the browser."""
    partner.client.set_cookie("op_agent_mac", nasty, path="/agent")
    cookie = cookie_of(partner.get("/agent"), "op_agent_mac")
    assert re.match(r"op_agent_mac=[0-9A-F]{2}(:[0-9A-F]{2}){5};", cookie)
    assert log_in(partner, key).status_code == 303


@pytest.mark.parametrize("field", ["login_id", "password", "registration_key", "mac_id"])
def test_a_file_in_the_place_of_a_field(partner: Visitor, key: str, field: str) -> None:
    """Mallory sends a file where a text belongs."""
    fields: dict[str, object] = {
        "csrf_token": partner.csrf_token,
        "login_id": Cast.pat,
        "password": PASSWORD,
        "registration_key": key,
        "mac_id": "",
    }
    fields[field] = (BytesIO(b"not a text"), "x.txt")
    answer = partner.client.post("/agent", data=fields, content_type="multipart/form-data")
    assert answer.status_code == (303 if field == "mac_id" else 422)


def test_fields_that_nobody_asked_for_change_nothing(partner: Visitor, key: str) -> None:
    """Mallory adds what she would like to be."""
    extra = {"role": "super_admin", "organisation_id": Cast.bolt, "expires_at": "2099-01-01"}
    assert log_in(partner, key, **extra).status_code == 303
    with partner.client.application.app_context():
        (found,) = db.session.scalars(select(AgentSession))
        assert found.organisation_id == Cast.acme


def test_altered_keys_open_nothing(session: Session, cast: Cast, clock: Clock) -> None:
    """Mallory has a partner's password and an expired idea of a key, and alters it at random."""
    good = text_of(issue(session, cast))
    chance = random.Random(2026)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.="
    for _ in range(100):
        letters = list(good)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(letters))
            letters[at : at + chance.randint(0, 1)] = chance.choice(alphabet)
        altered = "".join(letters)
        if altered == good:
            continue
        answer = try_to_sign_in(session, cast.pat, altered)
        assert getattr(answer, "code", None) == "key_invalid", altered


def test_the_payload_of_another_organisation_under_an_old_signature(
    partner: Visitor, key: str
) -> None:
    """Mallory replaces the organisation in her key by another."""
    prefix, payload, rest = key[:4], key[4:].split(".", maxsplit=1)[0], key[4:].split(".", 1)[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    claims["org"] = Cast.bolt
    text = json.dumps(claims, separators=(",", ":")).encode()
    forged = base64.urlsafe_b64encode(text).decode().rstrip("=")
    answer = log_in(partner, f"{prefix}{forged}.{rest}")
    assert answer.status_code == 422
    assert "is not valid here" in beside(answer, "registration_key")


def test_guessing_passwords_teaches_nothing(app: Flask, partner: Visitor, key: str) -> None:
    """Mallory guesses, and notes which answers differ."""
    answers = {
        (answer.status_code, beside(answer, "password"))
        for answer in (
            log_in(partner, key, password="guess"),
            log_in(partner, key, login_id="nobody@example.com"),
            log_in(partner, "rw1.x", password="guess"),
            log_in(partner, "", password="guess", login_id=Cast.carl),
            log_in(partner, "", password="guess", login_id=Cast.ada),
        )
    }
    assert len(answers) == 1


def test_a_key_is_in_no_address_no_log_and_no_record(
    app: Flask, partner: Visitor, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Mallory reads the logs, the audit log and the proxy's list of addresses."""
    with caplog.at_level(logging.DEBUG):
        refused = log_in(partner, key, password="a secret guess")
        answer = log_in(partner, key)
    partner.get("/agent")
    secrets = (key, key.rsplit(".", 1)[1], PASSWORD, "a secret guess", token_of(partner))
    with app.app_context():
        dump = "\n".join(
            str(row)
            for table in Base.metadata.sorted_tables
            for row in db.session.execute(table.select())
        )
        assert db.session.scalar(select(AuditEvent.id).limit(1))
    for secret in secrets:
        assert secret not in caplog.text
        assert secret not in dump
        assert secret not in str(answer.headers.get("Location"))
    assert 'method="post"' in refused.text


@pytest.mark.parametrize("who", ["nobody", "audrey"])
def test_only_a_super_admin_ends_sessions(
    app: Flask, request: pytest.FixtureRequest, partner: Visitor, key: str, who: str
) -> None:
    """Somebody without the right sends what the button sends."""
    log_in(partner, key)
    with app.app_context():
        (found,) = db.session.scalars(select(AgentSession))
        address = f"/projects/{project_of(found)}/agents/{found.id}/end"
    visitor = Visitor(app.test_client()) if who == "nobody" else request.getfixturevalue(who)
    assert visitor.post(address).status_code == (401 if who == "nobody" else 403)
    assert visitor.get(address).status_code == (303 if who == "nobody" else 403)
    assert partner.get("/agent").status_code == 200


def project_of(found: AgentSession) -> int:
    project = db.session.scalar(
        select(Project.id).where(Project.organisation_id == found.organisation_id)
    )
    assert project is not None
    return project


def test_the_clock_of_the_agent_counts_for_nothing(
    partner: Visitor, key: str, clock: Clock
) -> None:
    """Mallory sets her own clock back and says so in every header that she knows."""
    log_in(partner, key)
    clock.advance(hours=1)
    answer = partner.client.get(
        "/agent",
        headers={
            "Date": "Tue, 24 Nov 2026 15:00:00 GMT",
            "If-Modified-Since": "Tue, 24 Nov 2026 15:00:00 GMT",
            "X-Server-Now": NOW.isoformat(),
            "X-Timer": "1",
        },
    )
    assert answer.status_code == 401


@pytest.fixture
def machine(app: Flask, cast: Cast, clock: Clock) -> int:
    """A machine of Acme's, on which Carl, its client user, has signed in."""
    with app.app_context():
        return machine_of(signed_in(db.session(), cast.carl)).id


def state_of(app: Flask, number: int) -> tuple[object, ...]:
    with app.app_context():
        agent = db.session.get(Agent, number)
        assert agent is not None
        return agent.detached_at, agent.dissociated_at, agent.license.revoked_at


@pytest.mark.parametrize(
    "change", ["detach", "attach", "dissociate", "revoke-license", "end-temporary"]
)
def test_mallorys_page_sends_the_buttons_of_the_agents_tab(
    app: Flask, cast: Cast, machine: int, ada: Visitor, change: str
) -> None:
    """Ada, a super admin, opens a page of Mallory's while she is signed in."""
    base = f"/projects/{cast.acme_project}/agents"
    path = (
        f"{base}/{change}" if change == "end-temporary" else f"{base}/machines/{machine}/{change}"
    )
    assert ada.client.post(path).status_code == 400
    assert ada.client.post(path, data={"csrf_token": "nonsense"}).status_code == 422
    assert state_of(app, machine) == (None, None, None)


def test_asking_changes_nothing(app: Flask, cast: Cast, machine: int, ada: Visitor) -> None:
    """Mallory puts the addresses of the questions into pictures of an e-mail."""
    for change in ("detach", "attach", "dissociate", "revoke-license"):
        address = f"/projects/{cast.acme_project}/agents/machines/{machine}/{change}"
        assert ada.get(address).status_code == 200
    assert state_of(app, machine) == (None, None, None)


def test_what_is_kept_for_the_confirmation_opens_nothing(
    app: Flask, partner: Visitor, key: str, clock: Clock
) -> None:
    """Mallory copies the cookie of a session that has ended and uses it as one that lives."""
    log_in(partner, key)
    clock.advance(hours=1)
    partner.get("/agent")
    kept = partner.client.get_cookie("op_agent_ended", path="/agent")
    assert kept is not None
    mallory = Visitor(app.test_client())
    carry(mallory, str(kept.value))
    assert mallory.get("/agent").status_code == 401
    assert mallory.post("/agent/configuration").status_code == 401


def test_another_machine_id_does_not_make_a_registered_mac_id_free(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """Mallory, of Bolt, has the MAC ID of a machine that Acme registered without a machine ID."""
    add_bea(session, cast)
    signed_in(session, cast.carl)
    for machine_id in ("", "mallory's own", "x" * 128):
        answer = try_to_sign_in(session, BEA, machine_id=machine_id)
        assert getattr(answer, "code", None) == "machine_registered_elsewhere"


def test_a_client_user_never_enters_another_organisation(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """Bea, of Bolt, sits at a free machine of Acme's and hopes to see Acme's data."""
    add_bea(session, cast)
    signed_in(session, cast.carl)
    here = signed_in(session, BEA, mac_id="02:00:00:00:00:77")
    assert here.agent_session.organisation_id == cast.bolt
    of_acme = text_of(issue(session, cast))
    answer = try_to_sign_in(session, BEA, of_acme, mac_id="02:00:00:00:00:77")
    assert getattr(answer, "code", None) == "temporary_key_not_for_clients"
