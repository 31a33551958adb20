"""Bad input to the JSON interface, each with its clear answer."""

import json
import re

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st

from app.agents.mac import normalise_mac
from app.api.schemas import ALL_ZERO_PATTERN, MAC_PATTERN
from app.core.errors import InvalidInput
from app.extensions import db
from app.models import AgentSession
from tests.agents.api_stage import BASE, OTHER_MAC, Answer, RealAgent, registered, to_the_app
from tests.agents.stage import MAC, issue, text_of
from tests.conftest import PASSWORD, Cast, Clock

KIB = 1024


@pytest.fixture(autouse=True)
def _stage(cast: Cast, clock: Clock) -> None:
    """Every test finds the cast, and the clock standing at NOW."""


@pytest.fixture
def agent(app: Flask) -> RealAgent:
    return RealAgent(to_the_app(app.test_client()))


@pytest.fixture
def client(agent: RealAgent) -> RealAgent:
    """Carl's agent, signed in on a machine that is registered."""
    assert agent.sign_in(Cast.carl).status == 201
    return agent


@pytest.fixture
def key(app: Flask, cast: Cast) -> str:
    with app.app_context():
        return text_of(issue(db.session(), cast))


def refused(answer: Answer, *words: str) -> None:
    """A 422 whose sentence has these words in it."""
    assert (answer.status, answer.code) == (422, "invalid_request"), answer.body
    for word in words:
        assert word in answer.json["detail"]


class TestMacIds:
    @pytest.mark.parametrize(
        "spelling",
        [
            "00:1A:2B:3C:4D:5E",
            "00-1a-2b-3c-4d-5e",
            "001A.2B3C.4D5E",
            "001a2b3c4d5e",
            "00:1a:2B:3c:4D:5e",
            " 00:1A:2B:3C:4D:5E\n",
        ],
    )
    def test_in_any_usual_spelling_are_one_machine(
        self, app: Flask, agent: RealAgent, spelling: str
    ) -> None:
        assert agent.sign_in(Cast.carl).status == 201
        agent.token = ""
        assert agent.sign_in(Cast.carl, mac_id=spelling).status == 201
        with app.app_context():
            assert [machine.mac_id for machine in registered(db.session())] == [MAC]

    @pytest.mark.parametrize(
        ("mac_id", "word"),
        [
            ("FF:FF:FF:FF:FF:FF", "broadcast"),
            ("ff-ff-ff-ff-ff-ff", "broadcast"),
            ("01:00:5E:00:00:FB", "multicast"),
            ("33:33:00:00:00:01", "multicast"),
            ("00:00:00:00:00:00", "all-zero"),
            ("0000.0000.0000", "all-zero"),
            ("00:1A:2B:3C:4D:5E:6F", "not a MAC ID"),
            ("00:1A:2B:3C:4D:5E:6F:70", "not a MAC ID"),
            ("0" * 5000, "not a MAC ID"),
            ("00:1A:2B:3C:4D", "not a MAC ID"),
            ("00:1A-2B:3C-4D:5E", "not a MAC ID"),
            ("00:1A:2B:3C:4D:5G", "not a MAC ID"),
            ("٠٠:1A:2B:3C:4D:5E", "not a MAC ID"),
            ("\x00", "not a MAC ID"),
            ("", "not a MAC ID"),
            (" ", "not a MAC ID"),
            (None, "must be text"),
            (1234, "must be text"),
            (["00:1A:2B:3C:4D:5E"], "must be text"),
        ],
    )
    def test_of_no_machine_are_refused(
        self, app: Flask, agent: RealAgent, mac_id: object, word: str
    ) -> None:
        refused(agent.sign_in(Cast.carl, mac_id=mac_id), "`mac_id`", word)
        with app.app_context():
            assert registered(db.session()) == []

    def test_missing(self, agent: RealAgent) -> None:
        body = {"login_id": Cast.carl, "password": PASSWORD}
        refused(agent.ask("POST", "/sessions", body), "`mac_id` is missing.")


@given(st.from_regex(MAC_PATTERN.removesuffix("$") + r"\Z"))
def test_the_documented_pattern_of_a_mac_id_is_accepted(text: str) -> None:
    if not re.search(ALL_ZERO_PATTERN, text):
        assert normalise_mac(text)


@given(st.text(alphabet="0123456789abcdefABCDEF:-. \n", min_size=10, max_size=19))
def test_what_is_accepted_fits_the_documented_pattern(text: str) -> None:
    try:
        normalise_mac(text)
    except InvalidInput:
        return
    assert re.search(MAC_PATTERN, text.strip())
    assert not re.search(ALL_ZERO_PATTERN, text.strip())


class TestMachineIds:
    def test_blank_counts_as_none(self, app: Flask, agent: RealAgent) -> None:
        agent.sign_in(Cast.carl, machine_id=" \u00a0 ")
        with app.app_context():
            assert [machine.machine_id_hash for machine in registered(db.session())] == [""]

    def test_of_128_characters_are_taken_and_longer_ones_refused(self, agent: RealAgent) -> None:
        refused(agent.sign_in(Cast.carl, machine_id="é" * 129), "`machine_id`", "128")
        assert agent.sign_in(Cast.carl, machine_id="é" * 128).status == 201

    def test_that_changed_between_two_sign_ins_is_another_machine(
        self, app: Flask, agent: RealAgent
    ) -> None:
        first = agent.sign_in(Cast.carl, machine_id="one").json
        second = agent.sign_in(Cast.carl, machine_id="two").json
        assert first["license"]["key_id"] != second["license"]["key_id"]
        assert "license_key" in second
        with app.app_context():
            machines = registered(db.session())
            assert {machine.mac_id for machine in machines} == {MAC}
            assert "one" not in {machine.machine_id_hash for machine in machines}

    @pytest.mark.parametrize("text", ["\x00", "a\nb", "\x7f", "\u202eabc", "a\u2028"])
    def test_with_control_characters_are_refused(self, agent: RealAgent, text: str) -> None:
        refused(agent.sign_in(Cast.carl, machine_id=text), "`machine_id`")
        refused(agent.sign_in(Cast.carl, hostname=text), "`hostname`")
        refused(agent.sign_in(Cast.carl, agent_version=text), "`agent_version`")
        refused(agent.sign_in(f"x{text}", None), "`login_id`")


class TestTokens:
    def test_cut_doubled_huge_and_foreign_ones_are_nobodys(self, client: RealAgent) -> None:
        good = client.token
        for token in (
            good[:-1],
            good + good,
            good + " " + good,
            good[::-1],
            good.swapcase(),
            f'"{good}"',
            good + "=",
            "A" * 7000,
            "é" * 43,
            "\xff\x00",
            ".." * 20,
            "null",
        ):
            client.token = ""
            for method, path in (("GET", "/session"), ("DELETE", "/session")):
                answer = client.ask(method, path, headers={"Authorization": f"Bearer {token}"})
                assert (answer.status, answer.code) == (401, "session_ended"), token
        client.token = good
        assert client.heartbeat().status == 200

    @pytest.mark.parametrize(
        "header", ["", "Bearer", "Bearer ", "Basic {}", "{}", "Bearer={}", "Token {}"]
    )
    def test_sent_otherwise_than_as_bearer_are_nobodys(
        self, client: RealAgent, header: str
    ) -> None:
        token, client.token = client.token, ""
        answer = client.ask("GET", "/session", headers={"Authorization": header.format(token)})
        assert answer.code == "session_ended"

    def test_in_the_address_are_not_looked_at(self, client: RealAgent) -> None:
        token, client.token = client.token, ""
        assert client.ask("GET", f"/session?access_token={token}").code == "session_ended"

    def test_the_scheme_is_read_without_regard_to_case(self, client: RealAgent) -> None:
        token, client.token = client.token, ""
        headers = {"Authorization": f"bearer  {token}"}
        assert client.ask("GET", "/session", headers=headers).status == 200

    def test_of_an_ended_session_say_how_it_ended(self, client: RealAgent) -> None:
        client.confirm()
        assert client.heartbeat().code == "session_ended"
        assert client.ask("PUT", "/configuration", {}).code == "session_ended"


class TestConfigurations:
    @pytest.mark.parametrize("data", [[], [{}], "text", 7, True, None, 1.5])
    def test_that_are_no_object_are_refused(self, client: RealAgent, data: object) -> None:
        raw = json.dumps(data).encode()
        refused(client.ask("PUT", "/configuration", raw=raw), "The body must be an object.")

    def test_of_64_kib_are_saved_and_one_byte_more_is_413(self, client: RealAgent) -> None:
        frame = len(json.dumps({"a": ""}))
        whole = {"a": "x" * (64 * KIB - frame)}
        assert client.ask("PUT", "/configuration", whole).status == 204
        assert client.ask("GET", "/configuration").json == whole
        answer = client.ask("PUT", "/configuration", {"a": whole["a"] + "x"})
        assert (answer.status, answer.code) == (413, "payload_too_large")
        assert client.ask("GET", "/configuration").json == whole

    @pytest.mark.parametrize("size", [65 * KIB, 3 * KIB * KIB])
    def test_far_too_large(self, client: RealAgent, size: int) -> None:
        answer = client.ask("PUT", "/configuration", raw=b'{"a": "' + b"x" * size + b'"}')
        assert (answer.status, answer.code) == (413, "payload_too_large")

    def test_with_any_other_call_too(self, client: RealAgent) -> None:
        for method, path in (
            ("POST", "/sessions"),
            ("POST", "/keys/inspect"),
            ("DELETE", "/session"),
        ):
            answer = client.ask(method, path, raw=b" " * (64 * KIB + 1))
            assert (answer.status, answer.code) == (413, "payload_too_large")
        assert client.heartbeat().status == 200

    @pytest.mark.parametrize("depth", [65, 1000, 30_000])
    def test_deeply_nested_are_refused(self, client: RealAgent, depth: int) -> None:
        raw = b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)
        answer = client.ask("PUT", "/configuration", raw=raw[: 64 * KIB])
        refused(answer)
        lists = b'{"a":' + b"[" * depth + b"]" * depth + b"}"
        refused(client.ask("PUT", "/configuration", raw=lists))

    def test_of_64_levels_are_saved(self, client: RealAgent) -> None:
        raw = b'{"a":' * 63 + b"{}" + b"}" * 63
        assert client.ask("PUT", "/configuration", raw=raw).status == 204
        assert client.ask("GET", "/configuration").json == json.loads(raw)

    def test_with_nul_are_saved_and_given_back(self, client: RealAgent) -> None:
        data = {"a\u0000b": "\u0000", "list": ["\u0000"]}
        assert client.ask("PUT", "/configuration", data).status == 204
        assert client.ask("GET", "/configuration").json == data

    @pytest.mark.parametrize(
        "raw",
        [
            b'{"a": "\\ud800"}',
            b'{"\\udfff": 1}',
            b'{"a": "\xed\xa0\x80"}',
            b'{"a": "\xff"}',
            '{"a": 1}'.encode("utf-16"),
            b'{"a": 1, "a": 2}',
            b'{"b": [{"a": 1, "\\u0061": 1}]}',
            b'{"a": NaN}',
            b'{"a": -Infinity}',
            b'{"a": 1e400}',
            b'{"a": ' + b"1" * 5000 + b"}",
            b'{"a": 1,}',
            b"{'a': 1}",
            b'{"a": 1} x',
            b'{"a": 01}',
            b'\xef\xbb\xbf{"a": 1}',
            b'{"a": "line\nbreak"}',
            b'{"a"',
            b"",
            b" ",
        ],
    )
    def test_that_are_no_clear_json_are_refused(self, client: RealAgent, raw: bytes) -> None:
        refused(client.ask("PUT", "/configuration", raw=raw), "not JSON")
        assert client.ask("GET", "/configuration").json == {}

    @settings(max_examples=40)
    @given(
        data=st.dictionaries(
            st.text(max_size=8),
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers()
                | st.floats(allow_nan=False, allow_infinity=False)
                | st.text(max_size=20),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(st.text(max_size=5), inner, max_size=3)
                ),
                max_leaves=10,
            ),
            max_size=5,
        )
    )
    def test_whatever_is_json_comes_back_as_it_was(
        self, client: RealAgent, data: dict[str, object]
    ) -> None:
        assert client.ask("PUT", "/configuration", data).status == 204
        assert client.ask("GET", "/configuration").json == data


class TestRequests:
    @pytest.mark.parametrize(
        "content_type",
        [None, "", "text/plain", "application/x-www-form-urlencoded", "application/jsonp",
         "multipart/form-data; boundary=x", "application/problem+json", "text/json"],
    )  # fmt: skip
    @pytest.mark.parametrize(
        ("method", "path"),
        [("POST", "/sessions"), ("PUT", "/configuration"), ("POST", "/keys/inspect")],
    )
    def test_of_another_content_type_are_415(
        self, client: RealAgent, method: str, path: str, content_type: str | None
    ) -> None:
        headers = {"Authorization": f"Bearer {client.token}"}
        if content_type is not None:
            headers["Content-Type"] = content_type
        answer = client.send(method, BASE + path, headers, b'{"a": 1}')
        assert (answer.status, answer.code) == (415, "unsupported_media_type")

    def test_with_a_character_set_are_read_as_utf_8(self, agent: RealAgent) -> None:
        headers = {"Content-Type": "Application/JSON; charset=iso-8859-1"}
        body = json.dumps({"registration_key": "é"}, ensure_ascii=False).encode()
        answer = agent.send("POST", f"{BASE}/keys/inspect", headers, body)
        assert answer.status == 200

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("GET", "/sessions", {"POST", "OPTIONS"}),
            ("PUT", "/sessions", {"POST", "OPTIONS"}),
            ("POST", "/session", {"GET", "HEAD", "DELETE", "OPTIONS"}),
            ("PATCH", "/session", {"GET", "HEAD", "DELETE", "OPTIONS"}),
            ("DELETE", "/configuration", {"GET", "HEAD", "PUT", "OPTIONS"}),
            ("GET", "/keys/inspect", {"POST", "OPTIONS"}),
            ("TRACE", "/keys/inspect", {"POST", "OPTIONS"}),
        ],
    )
    def test_with_a_method_that_is_not_there_are_405(
        self, client: RealAgent, method: str, path: str, allowed: set[str]
    ) -> None:
        answer = client.ask(method, path)
        assert (answer.status, answer.code) == (405, "method_not_allowed")
        assert set(answer.headers["Allow"].split(", ")) == allowed

    @pytest.mark.parametrize(
        "path", ["", "/", "/sessions/", "/session/1", "/nothing", "/../../audit", "/keys"]
    )
    def test_to_an_address_that_is_not_there_are_404(self, client: RealAgent, path: str) -> None:
        answer = client.ask("GET", path)
        assert (answer.status, answer.code) == (404, "not_found")

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("login_id", 7),
            ("login_id", None),
            ("login_id", ""),
            ("login_id", "x" * 255),
            ("password", ["x"]),
            ("password", ""),
            ("password", "x" * 1001),
            ("registration_key", 7),
            ("registration_key", {"a": 1}),
            ("hostname", "x" * 256),
            ("hostname", 1.5),
            ("agent_version", "x" * 65),
            ("save_configuration", "true"),
            ("save_configuration", 1),
            ("machine_id", False),
        ],
    )
    def test_with_a_field_that_is_not_right(
        self, agent: RealAgent, field: str, value: object
    ) -> None:
        body = {"login_id": Cast.carl, "password": PASSWORD, "mac_id": MAC, field: value}
        refused(agent.ask("POST", "/sessions", body), f"`{field}`")

    def test_with_an_unknown_field_are_told_the_known_ones(self, agent: RealAgent) -> None:
        for name in ("License_Key", "", "registration-key", "session_token"):
            answer = agent.sign_in(Cast.carl, **{name: "x"})
            refused(answer, "does not know", "`login_id`", "`machine_id`")
            assert "License_Key" not in answer.json["detail"]

    @pytest.mark.parametrize("body", [[], "x", 7, None, [{"login_id": "x"}]])
    def test_that_are_no_object(self, agent: RealAgent, body: object) -> None:
        raw = json.dumps(body).encode()
        refused(agent.ask("POST", "/sessions", raw=raw), "The body must be an object.")

    def test_that_were_cut(self, app: Flask, agent: RealAgent) -> None:
        whole = json.dumps({"login_id": Cast.carl, "password": PASSWORD, "mac_id": MAC}).encode()
        for end in range(len(whole)):
            refused(agent.ask("POST", "/sessions", raw=whole[:end]), "not JSON")
        with app.app_context():
            assert db.session.query(AgentSession).count() == 0

    def test_with_a_name_twice_do_not_choose_one(self, agent: RealAgent) -> None:
        raw = json.dumps({"login_id": Cast.carl, "password": PASSWORD, "mac_id": MAC})[:-1]
        refused(agent.ask("POST", "/sessions", raw=f'{raw}, "mac_id": "{OTHER_MAC}"}}'.encode()))


class TestTheWrongKeyInTheField:
    def test_a_permanent_license_pasted_as_a_registration_key(
        self, app: Flask, client: RealAgent
    ) -> None:
        other = RealAgent(to_the_app(app.test_client()), OTHER_MAC)
        license_key = other.sign_in(Cast.carl).json["license_key"]
        for who, code in (
            (Cast.carl, "temporary_key_not_for_clients"),
            (Cast.pat, "key_invalid"),
            (Cast.dev, "key_invalid"),
        ):
            answer = client.sign_in(who, license_key)
            assert (answer.status, answer.code) == (403, code)
            assert license_key not in answer.body.decode()
        inspected = client.ask("POST", "/keys/inspect", {"registration_key": license_key})
        assert inspected.json["state"] == "invalid"

    def test_a_temporary_key_by_its_own_key_id(self, agent: RealAgent, key: str) -> None:
        key_id = agent.ask("POST", "/keys/inspect", {"registration_key": key}).json["key_id"]
        for text in (key_id, key_id.lower(), key_id.replace("-", ""), f"rw1.{key_id}"):
            assert agent.sign_in(Cast.pat, text).code == "key_invalid"
            inspected = agent.ask("POST", "/keys/inspect", {"registration_key": text})
            assert inspected.json["state"] == "invalid"
