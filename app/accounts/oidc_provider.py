"""An OpenID provider over HTTP: what it says of itself, its keys, its tokens.

httpx and joserfc are imported when they are needed: most portals have no provider.
"""

import json
import logging
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from threading import BoundedSemaphore
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from app.accounts.oidc_rules import AnswerRefused, Claims
from app.config import Config
from app.core.addresses import is_private_way
from app.core.errors import Busy

if TYPE_CHECKING:
    import httpx
    from joserfc.jwk import KeySet

log = logging.getLogger(__name__)
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
"""By public keys only: with HS256 or "none" whoever knows little could sign."""
SCOPES = ["openid", "email", "profile"]
ANSWER_SECONDS = 10
"""How long one answer of the provider may take in all."""
MOST_BYTES = 1_000_000
AT_ONCE = 4
"""How many requests of this process wait for the provider at once."""
LONGEST_WAIT_SECONDS = 2
"""How long a request waits until fewer than that do."""
KEPT = timedelta(hours=1)
LEFT_ALONE = timedelta(seconds=5)
"""How long a provider that did not answer is not asked again: who waits for it holds a thread."""
NEVER = datetime.min.replace(tzinfo=UTC)
ASKED_AGAIN = timedelta(seconds=30)
"""How soon keys are asked for once more because of a token that none of them has made."""


class ProviderDown(Busy):
    """The provider cannot be reached, or answers what it must not."""

    code = "provider_unavailable"
    title = "The identity provider does not answer"


class Tokens(NamedTuple):
    """What the provider gives for a code."""

    id_token: str
    access_token: str


class Decoded(NamedTuple):
    """A token whose signature is the provider's."""

    header: Claims
    claims: Claims


class Provider:
    """One OpenID provider, for all threads of a process; its documents are kept for an hour."""

    def __init__(self, issuer: str, name: str, client_id: str, client_secret: str) -> None:
        self.issuer = issuer
        self.name = name
        self.client_id = client_id
        self._client_secret = client_secret
        self._places = BoundedSemaphore(AT_ONCE)
        self._metadata: tuple[datetime, dict[str, Any]] | None = None
        self._keys: tuple[datetime, KeySet] | None = None
        self._asked_again_at = NEVER
        self._silent_at = NEVER
        """When it was asked what it says of itself, and has not answered yet."""

    @classmethod
    def of(cls, config: Config) -> "Provider | None":
        """The provider that the settings name, if they name one."""
        if not config.oidc_issuer:
            return None
        client = config.oidc_client_id, config.oidc_client_secret
        return cls(config.oidc_issuer, config.oidc_name, *client)

    def metadata(self, now: datetime) -> dict[str, Any]:
        """What the provider says of itself (OpenID Connect Discovery 1.0). Raises ProviderDown."""
        kept = self._metadata
        if kept and timedelta(0) <= now - kept[0] < KEPT:
            return kept[1]
        if timedelta(0) <= now - self._silent_at < LEFT_ALONE:
            raise self._down("it did not answer a moment ago")
        self._silent_at = now
        root = self.issuer.removesuffix("/")
        said = self._ask("GET", f"{root}/.well-known/openid-configuration")
        self._silent_at = NEVER
        if said.get("issuer") != self.issuer:
            raise self._down(f"it calls itself {said.get('issuer')!r:.200}, not {self.issuer}")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not is_private_way(said.get(name)):
                raise self._down(f"its {name} is no address with https")
        self._metadata = (now, said)
        return said

    def authorization_address(self, now: datetime, claim: str, **parameters: str) -> str:
        """Where a browser goes to sign in there; `claim` is the one that roles are read from.

        A scope of the claim's name is asked for where the provider has one ("groups", say).
        """
        said = self.metadata(now)
        supported = said.get("scopes_supported")
        more = [claim] if isinstance(supported, list) and claim in supported else []
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self.client_id,
                "scope": " ".join(dict.fromkeys(SCOPES + more)),
                "code_challenge_method": "S256",
                **parameters,
            }
        )
        address = str(said["authorization_endpoint"])
        return f"{address}{'&' if '?' in address else '?'}{query}"

    def redeem(self, now: datetime, *, code: str, verifier: str, redirect_uri: str) -> Tokens:
        """The tokens for an authorization code. Raises AnswerRefused or ProviderDown."""
        said = self.metadata(now)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        ways = said.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        as_form = "client_secret_post" in ways and "client_secret_basic" not in ways
        if as_form:
            form |= {"client_id": self.client_id, "client_secret": self._client_secret}
        answer = self._ask("POST", said["token_endpoint"], data=form, authorized=not as_form)
        id_token, access_token = answer.get("id_token"), answer.get("access_token")
        if not isinstance(id_token, str) or not isinstance(access_token, str):
            raise self._down("it gives no tokens")
        return Tokens(id_token, access_token)

    def decode(self, token: str, now: datetime) -> Decoded:
        """A token with its signature checked. Raises AnswerRefused or ProviderDown.

        If no known key has made it, the keys are asked for again, at most twice a minute: they may
        have been rotated.
        """
        from joserfc import jwt  # noqa: PLC0415
        from joserfc.errors import BadSignatureError, InvalidKeyIdError, JoseError  # noqa: PLC0415

        try:
            try:
                decoded = jwt.decode(token, self._key_set(now), ALGORITHMS)
            except (InvalidKeyIdError, BadSignatureError):
                decoded = jwt.decode(token, self._key_set(now, again=True), ALGORITHMS)
        except (JoseError, ValueError, TypeError, RecursionError):
            raise AnswerRefused("It is not signed by the provider.") from None
        return Decoded(decoded.header, decoded.claims)

    def userinfo(self, access_token: str, subject: str, now: datetime) -> Claims:
        """Further claims of the same subject; none where the provider has no such address."""
        address = self.metadata(now).get("userinfo_endpoint")
        if not is_private_way(address):
            return {}
        said = self._ask("GET", str(address), token=access_token)
        if said.get("sub") != subject:
            raise AnswerRefused("The provider speaks of somebody else.")
        return said

    def _key_set(self, now: datetime, *, again: bool = False) -> "KeySet":
        from joserfc.errors import JoseError  # noqa: PLC0415
        from joserfc.jwk import KeySet  # noqa: PLC0415

        kept = self._keys
        if again and timedelta(0) <= now - self._asked_again_at < ASKED_AGAIN:
            again = False
        if kept and not again and timedelta(0) <= now - kept[0] < KEPT:
            return kept[1]
        if again:
            self._asked_again_at = now
        said = self._ask("GET", self.metadata(now)["jwks_uri"])
        try:
            signing = [key for key in said["keys"] if key.get("use", "sig") == "sig"]
            keys = KeySet.import_key_set({"keys": signing})
        except (JoseError, KeyError, ValueError, TypeError, AttributeError):
            raise self._down("its keys cannot be read") from None
        self._keys = (now, keys)
        return keys

    def _ask(
        self,
        method: str,
        address: str,
        *,
        data: dict[str, str] | None = None,
        authorized: bool = False,
        token: str = "",
    ) -> dict[str, Any]:
        """The JSON object that an address answers. Raises ProviderDown or AnswerRefused."""
        import httpx  # noqa: PLC0415

        headers = {"Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        own = httpx.BasicAuth(self.client_id, self._client_secret) if authorized else None
        asked = self._client.build_request(method, address, data=data, headers=headers)
        try:
            with (
                self._one_place(),
                closing(self._client.send(asked, auth=own, stream=True)) as answer,
            ):
                body = self._read(answer)
                status = answer.status_code
        except httpx.HTTPError as error:
            raise self._down(f"{type(error).__name__}: {error}") from None
        return self._object(method, status, body)

    def _read(self, answer: "httpx.Response") -> bytes:
        until, body = monotonic() + ANSWER_SECONDS, b""
        for part in answer.iter_bytes():
            body += part
            if len(body) > MOST_BYTES or monotonic() > until:
                raise self._down("its answer is too long, or too slow")
        return body

    def _object(self, method: str, status: int, body: bytes) -> dict[str, Any]:
        try:
            said = json.loads(body)
        except (ValueError, RecursionError):
            said = None
        if status == 200 and isinstance(said, dict):
            return said
        reason = said.get("error") if isinstance(said, dict) else None
        if method == "POST" and reason == "invalid_grant":
            raise AnswerRefused("The provider no longer knows of this sign-in. Try again.")
        raise self._down(f"it answers {status} {reason or ''}")

    @contextmanager
    def _one_place(self) -> Iterator[None]:
        if not self._places.acquire(timeout=LONGEST_WAIT_SECONDS):
            raise self._down("others wait for it already")
        try:
            yield
        finally:
            self._places.release()

    @cached_property
    def _client(self) -> "httpx.Client":
        import httpx  # noqa: PLC0415

        # The machine's own certificates: a company's provider has one by the company.
        return httpx.Client(
            verify=ssl.create_default_context(), timeout=ANSWER_SECONDS / 2, follow_redirects=False
        )

    def _down(self, reason: str) -> ProviderDown:
        """The refusal, whose reason is for the log: whoever signs in can do nothing about it."""
        log.warning("the identity provider %s: %.300s", self.issuer, reason)
        return ProviderDown(
            f"{self.name} cannot be asked just now. Try again in a minute; if it happens again, "
            "tell the person who runs this portal.",
            retry_seconds=60,
        )
