"""The words of what is published for checking licenses off-line."""

from pydantic import Field, RootModel

from app.web.api import ApiModel


class JwkOut(ApiModel):
    """A public signing key; `kid` is the one that license keys name."""

    kty: str
    crv: str
    x: str
    kid: str
    use: str
    alg: str


class JwkSetOut(ApiModel):
    """The key that signs first, then older ones until the last license under them has ended."""

    keys: list[JwkOut]


class RevocationListOut(RootModel[str]):
    """A compact JWS. Its times are seconds since 1970; `next_update` is when it is stale."""

    root: str = Field(pattern=r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$")
