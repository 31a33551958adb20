"""The words of what is published for checking licenses off-line."""

from pydantic import Field, RootModel

from app.web.api import Outgoing


class JwkOut(Outgoing):
    """A public signing key; `kid` is the one that license keys name."""

    kty: str
    crv: str
    x: str
    kid: str
    use: str
    alg: str


class JwkSetOut(Outgoing):
    """The key that signs first, then older ones until the last license under them has ended."""

    keys: list[JwkOut]


class RevocationListOut(RootModel[str]):
    """A compact JWS (RFC 7515), `alg` EdDSA, `typ` `revoked-licenses+jwt`.

    Its claims are `iat`, `next_update` (when it is stale) and `revoked`, a list of objects with
    `jti`, `revoked_at` and `expires_at` (null for a permanent license). Times are whole seconds
    since 1970 (NumericDate, RFC 7519).
    """

    root: str = Field(pattern=r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$")
