"""The OP Agent in the browser: its window, and the way in."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from flask import Flask

from app.models import TemporaryLicense
from tests.agents.console.stage import beside, cookie_of, log_in, stored
from tests.agents.stage import HOUR
from tests.conftest import PASSWORD, Cast, Clock, Visitor

MEGABYTE = 1024 * 1024


def test_the_window_has_the_fields_and_buttons_of_the_original(partner: Visitor) -> None:
    page = partner.get("/agent")
    assert page.status_code == 200
    assert "<title>OP Agent log-in · Rolling Window</title>" in page.text
    for name in ("Login ID", "Password", "Registration Key", "MAC ID"):
        assert re.search(rf"<label[^>]*>{name}</label>", page.text)
    assert "Save configuration data in Cloud" in page.text
    assert "Registration key options" in page.text
    assert "Checking login status..." in page.text
    assert page.text.count("<h1") == 1


def test_a_partner_signs_in_and_works(
    partner: Visitor, key: str, license: TemporaryLicense
) -> None:
    answer = log_in(partner, key)
    assert (answer.status_code, answer.location) == (303, "/agent")
    page = partner.get("/agent")
    assert page.status_code == 200
    assert re.search(r"<h1[^>]*>\s*Acme\s*</h1>", page.text)
    assert "<title>Acme · Rolling Window</title>" in page.text
    assert license.key_id in page.text
    assert "Time left" in page.text
    assert "1 hr" in page.text
    assert Cast.pat in page.text
    assert re.search(r"disabled\s+aria-describedby=\"save-reason\"", page.text)
    assert key not in page.text


def test_by_htmx_the_browser_is_sent_on_to_the_workspace(partner: Visitor, key: str) -> None:
    answer = partner.post(
        "/agent",
        {"login_id": Cast.pat, "password": PASSWORD, "registration_key": key},
        htmx=True,
    )
    assert answer.status_code == 200
    assert answer.headers["HX-Redirect"] == "/agent"


def test_the_cookie_is_the_agents_own(app: Flask, partner: Visitor, key: str) -> None:
    cookie = cookie_of(log_in(partner, key), "op_agent")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Path=/agent" in cookie
    assert "Secure" not in cookie
    assert "Max-Age" not in cookie


def test_behind_https_the_cookies_are_secure(
    app: Flask, partner: Visitor, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(app.extensions["config"], https=True)
    monkeypatch.setitem(app.extensions, "config", config)
    answer = log_in(partner, key)
    assert "Secure" in cookie_of(answer, "op_agent")
    assert "Secure" in cookie_of(answer, "op_agent_mac")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"password": "wrong"}, (401, "password", "Login ID or password is wrong.")),
        ({"login_id": Cast.ada}, (422, "login_id", "Your account works on the portal")),
        ({"login_id": Cast.carl}, (422, "registration_key", "is for partners and developers")),
        ({"registration_key": ""}, (422, "registration_key", "You need a registration key.")),
        ({"registration_key": "rw1.x"}, (422, "registration_key", "is not valid here")),
        ({"mac_id": "nonsense"}, (422, "mac_id", "This is not a MAC ID.")),
        ({"login_id": " "}, (422, "login_id", "Enter your login ID")),
        ({"password": ""}, (422, "password", "Enter your password.")),
        ({"login_id": "x" * 255}, (422, "login_id", "too long")),
        ({"password": "x" * 1001}, (422, "password", "too long")),
    ],
)
def test_a_refusal_is_told_beside_its_field_with_the_input_kept(
    partner: Visitor, key: str, fields: dict[str, str], expected: tuple[int, str, str]
) -> None:
    status, field, sentence = expected
    values = {
        "login_id": Cast.pat,
        "password": PASSWORD,
        "registration_key": key,
        "mac_id": "00-1a-2b-3c-4d-5e",
    } | fields
    for htmx in (False, True):
        answer = partner.post("/agent", values, htmx=htmx)
        assert answer.status_code == status
        assert sentence in beside(answer, field)
        assert ("<html" in answer.text) is not htmx
        if values["login_id"].strip():
            assert f'value="{values["login_id"]}"' in answer.text
        if values["registration_key"].strip():
            assert values["registration_key"] in answer.text
        assert PASSWORD not in answer.text
        assert "op_agent=" not in "".join(answer.headers.getlist("Set-Cookie"))
    assert stored(partner.client.application) == []


def test_an_expired_key_is_refused_saying_when(
    partner: Visitor, key: str, license: TemporaryLicense, clock: Clock
) -> None:
    clock.advance(seconds=HOUR)
    answer = log_in(partner, key)
    assert answer.status_code == 422
    assert beside(answer, "registration_key") == (
        "This registration key expired at 16:40 UTC. Ask for a new one."
    )
    assert 'datetime="2026-11-24T16:40:00Z"' in answer.text
    clock.advance(days=2)
    assert "Tue 24 Nov 2026, 16:40 UTC" in beside(log_in(partner, key), "registration_key")


def test_an_error_about_the_key_opens_the_options(partner: Visitor) -> None:
    shut = partner.get("/agent").text
    assert 'aria-expanded="false"' in shut
    assert "key-options is-shown" not in shut
    open_ = log_in(partner).text
    assert 'aria-expanded="true"' in open_
    assert "key-options is-shown" in open_


@pytest.mark.parametrize(
    "mangle",
    [
        lambda key: f'"{key}"',
        lambda key: f"\r\n  {key[:76]}\r\n{key[76:]}\r\n",
        lambda key: f"«{key}»",
        lambda key: f"<{key}>",
        lambda key: f"({key}).",
        lambda key: f"> {key[:76]}\n> {key[76:]}",
        lambda key: f"License key: {key}",
    ],
    ids=["in quotes", "wrapped", "angle quotes", "angle brackets", "brackets", "reply", "label"],
)
def test_a_key_that_came_by_email_is_accepted(
    partner: Visitor, key: str, mangle: Callable[[str], str]
) -> None:
    assert log_in(partner, mangle(key)).status_code == 303


@pytest.mark.parametrize(
    "mangle",
    [
        lambda key: key[:-7],
        lambda key: key[4:],
        lambda key: key + "x" * MEGABYTE,
        lambda key: key + "\x00",
        lambda key: '"' * 600_000 + key[1:],
    ],
    ids=["cut", "beheaded", "1 MB", "NUL", "many quotes"],
)
def test_a_key_that_is_not_whole_gets_a_clear_answer(
    app: Flask, partner: Visitor, key: str, mangle: Callable[[str], str]
) -> None:
    answer = log_in(partner, mangle(key))
    assert answer.status_code == 422
    assert "Copy the whole key again" in beside(answer, "registration_key")
    assert stored(app) == []


@pytest.mark.parametrize("between", ["", "\n", " and "])
def test_two_keys_are_told_as_two(partner: Visitor, key: str, between: str) -> None:
    answer = log_in(partner, f"{key}{between}{key}")
    assert answer.status_code == 422
    assert beside(answer, "registration_key").startswith("There are two keys here")


def test_more_than_a_form_may_hold_is_too_much(partner: Visitor) -> None:
    assert log_in(partner, "x" * 3 * MEGABYTE).status_code == 413


def test_with_a_key_the_checkbox_counts_for_nothing(partner: Visitor, key: str) -> None:
    answer = log_in(partner, key, password="wrong", save_configuration="y")
    checkbox = re.search(r'<input[^>]*id="save_configuration"[^>]*>', answer.text)
    assert checkbox
    assert "disabled" in checkbox[0]
    assert "checked" not in checkbox[0]
    without = log_in(partner, "", password="wrong", save_configuration="y")
    checkbox = re.search(r'<input[^>]*id="save_configuration"[^>]*>', without.text)
    assert checkbox
    assert "disabled" not in checkbox[0]
    assert "checked" in checkbox[0]


def test_too_many_wrong_passwords_are_told_to_wait(
    partner: Visitor, key: str, clock: Clock
) -> None:
    for _ in range(10):
        assert log_in(partner, key, password="wrong").status_code == 401
    answer = log_in(partner, key)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "60"
    assert "Try again in 60 seconds." in beside(answer, "password")
    clock.advance(seconds=60)
    assert log_in(partner, key).status_code == 303


def test_wrong_passwords_here_count_on_the_portal_too(partner: Visitor, key: str) -> None:
    for _ in range(10):
        log_in(partner, key, password="wrong")
    assert partner.sign_in(Cast.pat).status_code == 429


def test_a_blank_mac_id_is_this_browsers_own_for_good(
    app: Flask, partner: Visitor, key: str
) -> None:
    first = cookie_of(partner.get("/agent"), "op_agent_mac")
    assert "Max-Age=31536000" in first
    assert "Path=/agent" in first
    for _ in range(2):
        log_in(partner, key)
    one, two = stored(app)
    assert one.mac_id == two.mac_id
    assert one.mac_id in first
    assert int(one.mac_id[:2], 16) & 0b11 == 0b10
    assert one.mac_id in partner.get("/agent").text


def test_another_browser_has_another_mac_id(app: Flask, partner: Visitor, key: str) -> None:
    log_in(partner, key)
    log_in(Visitor(app.test_client()), key)
    one, two = stored(app)
    assert one.mac_id != two.mac_id


def test_a_mac_id_that_is_typed_is_stored_in_the_one_spelling(
    app: Flask, partner: Visitor, key: str
) -> None:
    log_in(partner, key, mac_id=" 001a.2b3c.4d5e ")
    (here,) = stored(app)
    assert here.mac_id == "00:1A:2B:3C:4D:5E"
    assert here.mac_id not in cookie_of(partner.get("/agent"), "op_agent_mac")
