"""The calls of the interface, over HTTP, and every way in which an answer can be no answer."""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signing import jwk_set, revocation_list, temporary_key
from stub_portal import (
    CLIENT,
    KEY,
    LICENSE_KEY,
    PARTNER,
    PASSWORD,
    Answer,
    Asked,
    StubPortal,
    ok,
    problem,
)

from rolling_window_client.api import Grant, Portal, SignIn
from rolling_window_client.errors import PortalUnreachable, Refused, SessionEnded
from rolling_window_client.machine import Machine

AS_PARTNER = SignIn(PARTNER, PASSWORD, KEY)
SECRETS = (PASSWORD, KEY)


def signed_in(
    stub: StubPortal, machine: Machine, wanted: SignIn = AS_PARTNER
) -> tuple[Portal, Grant]:
    portal = Portal(stub.address)
    return portal, portal.sign_in(wanted, machine)


@pytest.fixture
def there(portal: StubPortal) -> Portal:
    return Portal(portal.address)


# Signing in


def test_signing_in_with_a_key(portal: StubPortal, machine: Machine) -> None:
    _, grant = signed_in(portal, machine)
    assert asdict(grant.state.organisation) == {
        "organisation_id": "ORG-000123", "name": "Acme Ltd",
    }  # fmt: skip
    assert grant.state.license.kind == "temporary"
    assert grant.state.expires_in == pytest.approx(3600, abs=5)
    assert grant.state.license.expires_at is not None
    assert grant.state.license.expires_at.tzinfo is not None
    assert not grant.state.can_save_configuration
    assert grant.license_key is None


def test_what_is_sent_is_what_was_agreed(portal: StubPortal, machine: Machine) -> None:
    signed_in(portal, machine)
    asked = portal.asked[0]
    sent = json.loads(asked.body)
    assert sent.pop("agent_version").startswith("op-agent ")
    assert sent == {
        "login_id": PARTNER,
        "password": PASSWORD,
        "mac_id": "00:1A:2B:3C:4D:5E",
        "machine_id": "a-machine-id",
        "hostname": "a-host",
        "registration_key": KEY,
        "save_configuration": False,
    }
    assert asked.headers["content-type"] == "application/json"


def test_a_key_that_would_outlive_all_others_is_not_sent(
    portal: StubPortal, machine: Machine
) -> None:
    """Somebody stole a signing key, and made a key for ten years."""
    endless = f"<{temporary_key(ttl=10 * 365 * 86_400)}>"
    with pytest.raises(Refused, match="more than 30 days") as refused:
        signed_in(portal, machine, SignIn(PARTNER, PASSWORD, endless))
    assert (refused.value.code, portal.asked) == ("key_invalid", [])


def test_what_is_not_known_is_not_sent(portal: StubPortal) -> None:
    nameless = Machine("00:1A:2B:3C:4D:5E", "given", None, None)
    signed_in(portal, nameless, SignIn(CLIENT, PASSWORD))
    sent = json.loads(portal.asked[0].body)
    assert not {"registration_key", "hostname", "machine_id"} & sent.keys()


def test_a_first_registration_brings_the_license(portal: StubPortal, machine: Machine) -> None:
    portal.registered = False
    _, grant = signed_in(portal, machine, SignIn(CLIENT, PASSWORD))
    assert grant.license_key == LICENSE_KEY
    assert grant.state.expires_in is None
    assert grant.state.can_save_configuration


@pytest.mark.parametrize(
    ("wanted", "code", "status"),
    [
        (SignIn(PARTNER, "wrong", KEY), "invalid_credentials", 401),
        (SignIn(PARTNER, PASSWORD), "temporary_key_required", 403),
        (SignIn(PARTNER, PASSWORD, "rw1.x"), "key_invalid", 403),
        (SignIn(CLIENT, PASSWORD, KEY), "temporary_key_not_for_clients", 403),
    ],
)
def test_a_refusal_is_told_with_its_code(
    portal: StubPortal, machine: Machine, wanted: SignIn, code: str, status: int
) -> None:
    with pytest.raises(Refused) as raised:
        signed_in(portal, machine, wanted)
    assert (raised.value.code, raised.value.status) == (code, status)
    assert str(raised.value)


def test_a_refusal_brings_what_is_needed_to_act(portal: StubPortal, machine: Machine) -> None:
    when = "2026-11-24T15:00:00Z"
    portal.instead = lambda _: problem(
        403, "key_expired", "Expired.", expired_at=when, registered_to="Other Ltd"
    )
    with pytest.raises(Refused, match=r"^Expired\.$") as raised:
        signed_in(portal, machine)
    assert raised.value.expired_at == datetime(2026, 11, 24, 15, tzinfo=UTC)
    assert raised.value.starts_at is None
    assert raised.value.registered_to == "Other Ltd"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("42", 42.0), ("0", 0.0), ("86400", 300.0), ("9" * 5000, 300.0), ("soon", None), ("-5", None),
     ("Tue, 24 Nov 2026 12:00:30 GMT", 30.0), ("Tue, 24 Nov 2026 11:00:00 GMT", 0.0)],
)  # fmt: skip
def test_retry_after_in_either_form(
    portal: StubPortal, machine: Machine, header: str, seconds: float | None
) -> None:
    status, headers, body = problem(429, "throttled", "Too many attempts.")
    portal.date = "Tue, 24 Nov 2026 12:00:00 GMT"
    portal.instead = lambda _: (status, headers | {"Retry-After": header}, body)
    with pytest.raises(Refused) as raised:
        signed_in(portal, machine)
    assert raised.value.code == "throttled"
    assert raised.value.retry_after == seconds


# The session


def test_a_heartbeat(portal: StubPortal, machine: Machine) -> None:
    there, grant = signed_in(portal, machine)
    state = there.session(grant.token)
    assert state.heartbeat_seconds == 5.0
    assert portal.asked[-1].headers["authorization"] == f"Bearer {grant.token}"


@pytest.mark.parametrize("code", ["key_revoked", "key_expired", "session_ended", "one_of_later"])
def test_a_heartbeat_on_an_ended_session(portal: StubPortal, machine: Machine, code: str) -> None:
    there, grant = signed_in(portal, machine)
    portal.end_all(code)
    with pytest.raises(SessionEnded) as raised:
        there.session(grant.token)
    assert raised.value.code == code


def test_the_end_is_confirmed_on_an_ended_session_too(portal: StubPortal, machine: Machine) -> None:
    there, grant = signed_in(portal, machine)
    portal.end_all("key_revoked")
    there.end_session(grant.token)
    assert portal.sessions[grant.token].confirmed_at is not None


def test_the_configuration_is_saved_and_read(portal: StubPortal, machine: Machine) -> None:
    there, grant = signed_in(portal, machine, SignIn(CLIENT, PASSWORD))
    assert there.configuration(grant.token) == {}
    there.save_configuration(grant.token, {"colour": "grün"})
    assert there.configuration(grant.token) == {"colour": "grün"}


def test_under_a_temporary_key_the_configuration_is_read_only(
    portal: StubPortal, machine: Machine
) -> None:
    there, grant = signed_in(portal, machine)
    with pytest.raises(Refused) as raised:
        there.save_configuration(grant.token, {})
    assert raised.value.code == "configuration_read_only"


def test_the_well_known_documents(portal: StubPortal) -> None:
    portal.documents["/.well-known/license-keys.json"] = jwk_set()
    portal.documents["/.well-known/revoked-licenses"] = revocation_list()
    there = Portal(portal.address)
    keys = there.public_keys()
    assert there.revocation_list(keys).revoked == {}


def test_a_connection_is_kept_between_calls_and_made_anew_when_it_was_closed(
    portal: StubPortal, machine: Machine
) -> None:
    there, grant = signed_in(portal, machine)
    there.session(grant.token)
    portal.stop()
    portal.start()
    assert there.session(grant.token).user.login_id == PARTNER


def always(answer: Answer) -> Callable[[Asked], Answer]:
    return lambda _: answer


# What is no answer of the portal

HTML = {"Content-Type": "text/html; charset=utf-8"}
JSON = {"Content-Type": "application/json"}
PROBLEM = {"Content-Type": "application/problem+json"}

NO_ANSWERS: dict[str, Answer] = {
    "a proxy's page": (200, HTML, b"<html>Please log in to the hotel's network</html>"),
    "a gateway's page": (502, HTML, b"<h1>Bad Gateway</h1>"),
    "a proxy's 401": (401, HTML, b"<h1>Unauthorized</h1>"),
    "a proxy's 403": (403, HTML, b"<h1>Forbidden</h1>"),
    "a 429 of something in between": (429, HTML, b"slow down"),
    "an error of the portal": problem(500, "internal_error"),
    "another program": problem(404, "not_found"),
    "a success of another kind": (202, JSON, b"{}"),
    "nothing": (200, JSON, b""),
    "cut JSON": (200, JSON, b'{"organisation": {"org'),
    "a list": (200, JSON, b"[]"),
    "an empty object": (200, JSON, b"{}"),
    "deep JSON": (200, JSON, b"[" * 100_000),
    "not UTF-8": (200, JSON, b'{"a": "\xff\xfe"}'),
    "JSON under another name": (200, HTML, b"{}"),
    "no media type": (200, {}, b"{}"),
    "a broken media type": (200, {"Content-Type": ";;/\t="}, b"{}"),
    "a problem without a code": (403, PROBLEM, b'{"title": "no"}'),
    "a problem whose code is a number": (401, PROBLEM, b'{"code": 7}'),
    "a problem that is none": (401, PROBLEM, b"no"),
    "a megabyte": (200, JSON, b'{"filler": "' + b"x" * 1_048_576 + b'"}'),
}


@pytest.mark.parametrize("answer", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
def test_what_the_portal_cannot_have_said_is_told_in_a_sentence(
    portal: StubPortal, machine: Machine, answer: Answer
) -> None:
    there, grant = signed_in(portal, machine)
    portal.instead = lambda _: answer
    calls: list[Callable[[], object]] = [
        lambda: there.sign_in(AS_PARTNER, machine),
        lambda: there.session(grant.token),
        lambda: there.end_session(grant.token),
    ]
    for call in calls:
        with pytest.raises(PortalUnreachable) as raised:
            call()
        assert str(raised.value).endswith(".")
        assert "\n" not in str(raised.value)


GOOD = {
    "session_token": "a-token",
    "organisation": {"organisation_id": "ORG-000123", "name": "Acme"},
    "user": {"login_id": PARTNER, "role": "partner"},
    "license": {"kind": "temporary", "key_id": "K7QF-3MXP", "expires_at": "2026-11-24T15:00:00Z"},
    "expires_in": 10.5,
    "heartbeat_seconds": 5,
    "can_save_configuration": False,
}


WRONG: tuple[object, ...] = (None, [], {}, "", -1, True, "x y")


@pytest.mark.parametrize(
    "change",
    [{name: wrong} for name in GOOD for wrong in WRONG
     if (name, wrong) != ("can_save_configuration", True)]
    + [{"expires_in": float("nan")}, {"expires_in": float("inf")}, {"expires_in": 1e300},
       {"session_token": "a\r\nb"}, {"session_token": "tökén"},
       {"license": {"kind": "temporary", "key_id": "K", "expires_at": None}},
       {"license": {"kind": "temporary", "key_id": "K", "expires_at": "2026-11-24T15:00:00"}},
       {"license": {"kind": "eternal", "key_id": "K", "expires_at": None}}],
)  # fmt: skip
def test_an_answer_that_lacks_something_is_not_used(
    portal: StubPortal, machine: Machine, change: dict[str, object]
) -> None:
    if list(change) == ["session_token"] and change["session_token"] is None:
        change = {"session_token": 7}
    portal.instead = lambda _: ok(GOOD | change, status=201)
    with pytest.raises(PortalUnreachable, match="as agreed"):
        Portal(portal.address).sign_in(AS_PARTNER, machine)


@settings(max_examples=60)
@given(
    status=st.integers(200, 599).filter(lambda status: status not in {204, 304}),
    media_type=st.sampled_from(["application/json", "application/problem+json", "text/html"]),
    body=st.one_of(st.binary(max_size=200), st.sampled_from([b"{}", b"null", b'{"code": "x"}'])),
)
def test_no_answer_whatever_raises_anything_else(
    portal: StubPortal, there: Portal, status: int, media_type: str, body: bytes
) -> None:
    portal.instead = lambda _: (status, {"Content-Type": media_type}, body)
    with pytest.raises((PortalUnreachable, SessionEnded, Refused)):
        there.session("a-token")


# Secrets


def test_no_sentence_and_no_representation_repeats_a_secret(
    portal: StubPortal, machine: Machine
) -> None:
    there, grant = signed_in(portal, machine)
    said = [repr(AS_PARTNER), repr(grant), repr(there), repr(machine)]
    for answer in NO_ANSWERS.values():
        portal.instead = always(answer)
        with pytest.raises(PortalUnreachable) as at_sign_in:
            there.sign_in(AS_PARTNER, machine)
        with pytest.raises(PortalUnreachable) as at_heartbeat:
            there.session(grant.token)
        said += [repr(at_sign_in.value), repr(at_heartbeat.value)]
    for secret in (*SECRETS, grant.token):
        assert secret not in "".join(said)
