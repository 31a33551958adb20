"""A real OpenID provider (the package oidc-provider-mock) in a process of its own, to be bent.

`python -m tests.provider_process PORT` serves it. What it does wrong is put to /bend, as JSON:

    {"claims": {"nonce": "x", "iat": 120, "email": null}}   other claims in ID tokens, times in
                                                             seconds from now, null for left out
    {"down": true}                                           everything answers 503
    {"rotate": true}                                         another signing key from now on
    {"sign": {...}, "typ": "logout+jwt"}                     answers a token with these claims

The package does not look at PKCE, so this does. Written here, since it runs outside the portal.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from typing import Any
from urllib.error import URLError
from urllib.parse import parse_qs, parse_qsl, urlsplit
from urllib.request import HTTPErrorProcessor, Request, build_opener, urlopen

from tests.portal_process import PATIENCE, free_port

TIMES = ("iat", "exp", "auth_time", "nbf")


class Bent:
    """The provider as a WSGI application, with what it does wrong."""

    def __init__(self) -> None:
        import flask
        from oidc_provider_mock import init_app

        self.app = flask.Flask("oidc_provider_mock")
        self.app.secret_key = "tests"
        init_app(self.app)
        with self.app.test_request_context("/"):
            self.app.preprocess_request()
            self.storage = flask.g.oidc_provider_mock_storage
        self.bends: dict[str, Any] = {}
        self.challenges: dict[str, str] = {}
        self.asked: list[str] = []

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/bend":
            return self._bend(environ, start)
        self.asked.append(path)
        if self.bends.get("down"):
            start("503 Down", [("Content-Type", "text/plain")])
            return [b"down"]
        body = b"".join(self._answer(environ, start_later := Later()))
        body = re.sub(rb"<link[^>]*https://[^>]*>", b"", body)  # its style, from elsewhere
        if path == "/oauth2/authorize" and environ["REQUEST_METHOD"] == "POST":
            self._note_challenge(environ, start_later.headers)
        if path == "/oauth2/token" and start_later.status.startswith("200"):
            body = self._bent_tokens(body)
        start(start_later.status, [*start_later.headers, ("Content-Length", str(len(body)))])
        return [body]

    def _answer(self, environ: dict[str, Any], start: "Later") -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/oauth2/token":
            form = dict(parse_qsl(_body(environ).decode()))
            digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
            if self.challenges.get(form.get("code", "")) != _base64url(digest):
                start("400 Bad", [("Content-Type", "application/json")])
                return [b'{"error": "invalid_grant"}']
        answered: Iterable[bytes] = self.app(environ, start)
        return answered

    def _note_challenge(self, environ: dict[str, Any], headers: list[tuple[str, str]]) -> None:
        asked = dict(parse_qsl(environ["QUERY_STRING"]))
        code = parse_qs(urlsplit(dict(headers).get("Location", "")).query).get("code")
        if code and asked.get("code_challenge_method") == "S256":
            self.challenges[code[0]] = asked["code_challenge"]

    def _bent_tokens(self, body: bytes) -> bytes:
        answer = json.loads(body)
        payload = answer["id_token"].split(".")[1]
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        claims |= {"auth_time": int(time.time())}
        answer["id_token"] = self._sign(self._bent(claims), {})
        return json.dumps(answer).encode()

    def _bent(self, claims: dict[str, Any]) -> dict[str, Any]:
        for name, value in self.bends.get("claims", {}).items():
            is_time = name in TIMES and value is not None
            claims[name] = int(time.time()) + value if is_time else value
        return {name: value for name, value in claims.items() if value is not None}

    def _sign(self, claims: dict[str, Any], header: dict[str, Any]) -> str:
        from joserfc import jwt
        from joserfc.jwk import RSAKey

        key = RSAKey.import_key(dict(self.storage.jwk.as_dict(is_private=True)))
        named = {"alg": "RS256", "kid": self.storage.jwk.thumbprint()}
        return jwt.encode(named | header, claims, key)

    def _bend(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        told = json.loads(_body(environ) or b"{}")
        answer: dict[str, Any] = {"asked": self.asked}
        if "sign" in told:
            now = int(time.time())
            claims = {"iat": now, "exp": now + 120} | told["sign"]
            kept = {name: value for name, value in claims.items() if value is not None}
            answer = {"token": self._sign(kept, {"typ": told["typ"]} if told.get("typ") else {})}
        elif told.get("rotate"):
            self.storage.jwk = type(self.storage.jwk).generate_key(is_private=True)
        else:
            self.bends, self.asked = told, []
        start("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(answer).encode()]


class Later:
    """A `start_response` whose answer is begun later."""

    def __call__(self, status: str, headers: list[tuple[str, str]], _info: Any = None) -> None:
        self.status = status
        self.headers = [pair for pair in headers if pair[0].lower() != "content-length"]


def _body(environ: dict[str, Any]) -> bytes:
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = BytesIO(body)
    return body


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


class Running:
    """A provider that runs: its issuer, its people, and how it is bent."""

    def __init__(self, port: int) -> None:
        self.issuer = f"http://localhost:{port}"

    def settings(self) -> dict[str, str]:
        """Those of a portal that trusts it."""
        return {
            "PORTAL_OIDC_ISSUER": self.issuer,
            "PORTAL_OIDC_CLIENT_ID": "portal",
            "PORTAL_OIDC_CLIENT_SECRET": "a secret of the client",
            "PORTAL_OIDC_NAME": "Example Login",
            "PORTAL_OIDC_ROLE_MAP": "admins=super_admin,audit=auditor,partners=partner",
        }

    def person(self, subject: str, **claims: object) -> None:
        """Let somebody be known there, with a verified e-mail unless `claims` say otherwise."""
        known = {"email": subject, "email_verified": True} | claims
        self._send("PUT", f"/users/{subject}", known)

    def bend(self, **how: object) -> dict[str, Any]:
        return self._send("PUT", "/bend", how)

    def asked(self) -> list[str]:
        """The paths that were asked for since it was bent last; bends it straight again."""
        return list(self.bend()["asked"])

    def log_out_token(self, typ: str = "logout+jwt", **claims: object) -> str:
        """A token that signs somebody out, bent by `claims` (None: left out)."""
        event = {"http://schemas.openid.net/event/backchannel-logout": {}}
        usual = {"iss": self.issuer, "aud": "portal", "jti": os.urandom(8).hex(), "events": event}
        answer = self._send("PUT", "/bend", {"sign": usual | claims, "typ": typ})
        return str(answer["token"])

    def agree(self, address: str, subject: str, *, action: str = "authorize") -> str:
        """Sign in there at the `address` a portal leads to; the address that it leads back to."""
        form = f"sub={subject}&action={action}".encode()
        answer = build_opener(_NoRedirects).open(Request(address, form, method="POST"))
        assert answer.status == 302, answer.read()
        return str(answer.headers["Location"])

    def _send(self, method: str, path: str, said: Mapping[str, object]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        body = json.dumps(said).encode()
        with urlopen(Request(self.issuer + path, body, headers, method=method)) as answer:
            return dict(json.loads(answer.read() or b"{}"))


class _NoRedirects(HTTPErrorProcessor):
    def http_response(self, request: Any, response: Any) -> Any:
        return response


@contextmanager
def running_provider() -> Iterator[Running]:
    port = free_port()
    environ = os.environ | {"AUTHLIB_INSECURE_TRANSPORT": "1"}
    arguments = [sys.executable, "-W", "ignore", "-m", "tests.provider_process", str(port)]
    with subprocess.Popen(arguments, env=environ, stderr=subprocess.DEVNULL) as process:
        try:
            provider = Running(port)
            _wait_for(provider)
            yield provider
        finally:
            process.terminate()


def _wait_for(provider: Running) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            provider.bend()
        except URLError:
            assert time.monotonic() < until, "the provider does not start"
            time.sleep(0.05)
        else:
            return


def main() -> None:
    from werkzeug.serving import make_server

    make_server("localhost", int(sys.argv[1]), Bent(), threaded=True).serve_forever()


if __name__ == "__main__":
    main()
