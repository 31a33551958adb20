"""The description of the JSON interface: valid, complete, true; and a page that people read."""

import re
import shlex
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode
from sqlalchemy import update

from app.agents.codes import EndCode, RefusalCode
from app.extensions import db
from app.models import AuditCheckpoint, Installation
from tests.agents.api_stage import RealAgent, to_the_app
from tests.agents.stage import issue, text_of
from tests.conftest import NOW, PASSWORD, Cast, Clock, Visitor

ADDRESSES = ("/api", "/.well-known")
WITH_BODY, WITHOUT = 20, 4
"""How many requests of each kind schemathesis makes for each operation."""


@pytest.fixture
def document(app: Flask) -> dict[str, Any]:
    answer = app.test_client().get("/api/openapi.json")
    assert answer.status_code == 200
    assert answer.content_type == "application/json"
    found: dict[str, Any] = answer.json
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            yield method, path, described


class TestTheDocument:
    def test_is_valid_openapi_3_1(self, document: dict[str, Any]) -> None:
        assert document["openapi"] == "3.1.0"
        assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []

    def test_has_every_address_and_method_of_the_interface(
        self, app: Flask, document: dict[str, Any]
    ) -> None:
        there = {
            (method.lower(), rule.rule)
            for rule in app.url_map.iter_rules()
            if rule.rule.startswith(ADDRESSES)
            for method in rule.methods - {"HEAD", "OPTIONS"}
        }
        assert {(method, path) for method, path, _ in operations(document)} == there
        assert len(there) == 12

    def test_has_the_addresses_of_the_contract(self, document: dict[str, Any]) -> None:
        assert {(method, path) for method, path, _ in operations(document)} >= {
            ("post", "/api/agent/v1/sessions"),
            ("get", "/api/agent/v1/session"),
            ("delete", "/api/agent/v1/session"),
            ("put", "/api/agent/v1/configuration"),
            ("get", "/api/agent/v1/configuration"),
            ("post", "/api/agent/v1/keys/inspect"),
            ("get", "/.well-known/license-keys.json"),
            ("get", "/.well-known/revoked-licenses"),
        }

    def test_names_every_code(self, document: dict[str, Any]) -> None:
        text = repr(document["paths"])
        for code in (*RefusalCode, *EndCode):
            if code != "invalid_credentials":
                assert f"`{code}`" in text, code

    def test_says_who_needs_a_token(self, document: dict[str, Any]) -> None:
        with_token = {path for _, path, what in operations(document) if what["security"]}
        assert with_token == {"/api/agent/v1/session", "/api/agent/v1/configuration"}

    def test_says_that_unknown_fields_are_refused(self, document: dict[str, Any]) -> None:
        schemas = document["components"]["schemas"]
        for name in ("SignInBody", "InspectBody"):
            assert schemas[name]["additionalProperties"] is False
        assert schemas["SignInBody"]["required"] == ["login_id", "password", "mac_id"]


class TestWhatIsAnswered:
    """schemathesis sends what the document allows and what it does not, with live tokens."""

    @pytest.mark.parametrize(
        ("who", "mode"),
        [
            (Cast.carl, GenerationMode.POSITIVE),
            (Cast.pat, GenerationMode.POSITIVE),
            (Cast.carl, GenerationMode.NEGATIVE),
        ],
    )
    def test_stands_in_the_document(
        self, app: Flask, cast: Cast, clock: Clock, who: str, mode: GenerationMode
    ) -> None:
        with app.app_context():
            key = text_of(issue(db.session(), cast)) if who == Cast.pat else None
        agent = RealAgent(to_the_app(app.test_client()))
        schema = schemathesis.openapi.from_wsgi("/api/openapi.json", app)
        seen: set[int] = set()
        for found in schema.get_all_operations():
            operation = found.ok()
            if mode is GenerationMode.NEGATIVE and not operation.body:
                continue

            @settings(
                max_examples=WITH_BODY if operation.body else WITHOUT,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode), with_token=st.booleans())
            def check(case: Any, with_token: bool) -> None:
                clock.advance(minutes=1)
                if not agent.token or agent.heartbeat().status != 200:
                    agent.token = ""
                    agent.sign_in(who, key)
                headers = {"Authorization": f"Bearer {agent.token}"} if with_token else {}
                answer = case.call_and_validate(headers=headers)
                seen.add(answer.status_code)

            check()
        assert not any(status >= 500 for status in seen)
        assert seen >= ({200, 401} if mode is GenerationMode.POSITIVE else {422})


class TestThePage:
    @pytest.fixture
    def page(self, visitor: Visitor) -> str:
        answer = visitor.get("/api/docs")
        assert answer.status_code == 200
        assert answer.content_type == "text/html; charset=utf-8"
        return answer.text

    def test_has_every_operation(self, page: str, document: dict[str, Any]) -> None:
        for method, path, described in operations(document):
            assert f'id="{described["operationId"]}"' in page
            assert f"{method.upper()} {path}" in page
            for status in described["responses"]:
                assert status in page

    def test_has_every_code_to_link_to(self, page: str) -> None:
        problem = "invalid_request payload_too_large throttled not_found method_not_allowed"
        for code in (*RefusalCode, *EndCode, *problem.split(), "unsupported_media_type"):
            assert page.count(f'id="{code}"') == 1, code
        assert "{at}" not in page
        assert "{name}" not in page

    def test_fetches_nothing_from_elsewhere(self, page: str) -> None:
        for address in re.findall(r'(?:src|href|action)="([^"]*)"', page):
            assert address.startswith(("/", "#")), address

    def test_has_each_id_once(self, page: str) -> None:
        ids = re.findall(r'\sid="([^"]*)"', page)
        assert len(ids) == len(set(ids))

    def test_is_the_same_for_whoever_is_signed_in(self, ada: Visitor, page: str) -> None:
        assert "Manage Projects" not in page
        assert "Manage Projects" not in ada.get("/api/docs").text

    def test_has_examples_that_are_true(
        self, app: Flask, cast: Cast, clock: Clock, page: str, document: dict[str, Any]
    ) -> None:
        """Every call but the page's own has a command; each, with values for the dots, is done."""
        with app.app_context():
            key = text_of(issue(db.session(), cast))
            db.session.add(AuditCheckpoint(size=1, signed_at=NOW, note="a\n1\nb\n\n— a c\n"))
            db.session.execute(update(Installation).values(audit_log_key="a+b+c"))
            db.session.commit()
        agent = RealAgent(to_the_app(app.test_client()))
        commands = re.findall(r"<pre[^>]*><code>(.*?)</code></pre>", page, re.DOTALL)
        assert len(commands) == len(list(operations(document))) - 1 == 11
        statuses = []
        for text in commands:
            command = unescape(text).replace("rw1....", key).replace("you@example.com", Cast.pat)
            command = command.replace('"..."', f'"{PASSWORD}"')
            if "PUT" in command:  # under a permanent license only
                agent.token = ""
                agent.sign_in(Cast.carl)
            elif "SESSION_TOKEN" in command:
                agent.token = ""
                agent.sign_in(Cast.pat, key)
            statuses.append(_do(app, command.replace("SESSION_TOKEN", agent.token)))
        assert set(statuses) == {200, 201, 204}


def _do(app: Flask, command: str) -> int:
    """What a curl command is answered."""
    program, *words = shlex.split(command)
    assert program == "curl"
    method, body, headers, address = None, None, {}, ""
    words = iter([word for word in words if word != "-s"])
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-d":
            body = next(words)
        elif word == "-H":
            name, value = next(words).split(": ")
            headers[name] = value
        else:
            address = word
    assert address.startswith("http://127.0.0.1:8000/")
    method = method or ("POST" if body else "GET")
    return app.test_client().open(address, method=method, data=body, headers=headers).status_code
