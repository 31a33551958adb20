"""What the portal takes from an OpenID provider over HTTP, and what it does not."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from app.accounts.oidc_provider import MOST_BYTES, Provider, ProviderDown

NOW = datetime(2026, 11, 24, 15, 40, tzinfo=UTC)


class Answers:
    """What a provider answers, by path; `issuer` is its address."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.asked: list[str] = []
        self.metadata: dict[str, Any] = {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize?tenant=a",
            "token_endpoint": f"{issuer}/token",
            "jwks_uri": f"{issuer}/jwks",
        }
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body: bytes | None = None

    def provider(self) -> Provider:
        return Provider(self.issuer, "Example Login", "portal", "secret")

    def for_path(self, path: str) -> bytes:
        self.asked.append(path)
        return self.body if self.body is not None else json.dumps(self.metadata).encode()


@pytest.fixture
def answers() -> Iterator[Answers]:
    with serving() as served:
        yield served


@contextmanager
def serving() -> Iterator[Answers]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answers.for_path(self.path)
            self.send_response(answers.status)
            for name, value in {"Content-Length": str(len(body)), **answers.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *said: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        answers = Answers(f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield answers
        server.shutdown()
        thread.join()


def test_what_it_says_of_itself_is_kept_for_an_hour(answers: Answers) -> None:
    provider = answers.provider()
    for seconds in (0, 1, 3599):
        provider.metadata(NOW + timedelta(seconds=seconds))
    assert answers.asked == ["/.well-known/openid-configuration"]
    provider.metadata(NOW + timedelta(seconds=3600))
    assert len(answers.asked) == 2


def test_a_clock_that_was_set_back_keeps_nothing(answers: Answers) -> None:
    provider = answers.provider()
    provider.metadata(NOW)
    provider.metadata(NOW - timedelta(hours=1))
    assert len(answers.asked) == 2


def test_one_that_does_not_answer_is_left_alone_for_a_moment(answers: Answers) -> None:
    """Mallory begins sign-ins while the provider hangs, to have every thread wait for it."""
    provider, answers.status = answers.provider(), 500
    for seconds in (0, 1, 4):
        with pytest.raises(ProviderDown):
            provider.metadata(NOW + timedelta(seconds=seconds))
    assert len(answers.asked) == 1
    answers.status = 200
    provider.metadata(NOW + timedelta(seconds=5))
    assert len(answers.asked) == 2


def test_a_provider_that_calls_itself_otherwise_is_none(answers: Answers) -> None:
    """Mallory's provider says that it is the one that the portal trusts."""
    answers.metadata["issuer"] = f"{answers.issuer}/"
    with pytest.raises(ProviderDown):
        answers.provider().metadata(NOW)


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
@pytest.mark.parametrize("address", [None, 1, "/token", "http://login.example/x", "javascript:x"])
def test_an_address_without_https_is_none(answers: Answers, name: str, address: object) -> None:
    answers.metadata[name] = address
    with pytest.raises(ProviderDown):
        answers.provider().metadata(NOW)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 100_000, b"x" * (MOST_BYTES + 1)])
def test_what_is_no_answer_is_said_to_be_none(answers: Answers, body: bytes) -> None:
    answers.body = body
    with pytest.raises(ProviderDown):
        answers.provider().metadata(NOW)


def test_it_is_not_followed_elsewhere(answers: Answers) -> None:
    """A provider that was taken over sends the portal to an address in its own network."""
    answers.status, answers.headers = 302, {"Location": f"{answers.issuer}/elsewhere"}
    with pytest.raises(ProviderDown):
        answers.provider().metadata(NOW)
    assert answers.asked == ["/.well-known/openid-configuration"]


def test_a_scope_of_the_claims_name_is_asked_for_where_there_is_one(answers: Answers) -> None:
    provider = answers.provider()
    assert "scope=openid+email+profile&" in provider.authorization_address(NOW, "groups", state="s")
    answers.metadata["scopes_supported"] = ["openid", "groups"]
    later = NOW + timedelta(hours=2)
    address = provider.authorization_address(later, "groups", state="s")
    assert address.startswith(f"{answers.issuer}/authorize?tenant=a&response_type=code&")
    assert "scope=openid+email+profile+groups&" in address


def test_why_it_does_not_answer_is_for_the_log_alone(
    answers: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    answers.status = 500
    with pytest.raises(ProviderDown) as down:
        answers.provider().metadata(NOW)
    assert "500" not in down.value.detail
    assert "it answers 500" in caplog.text
