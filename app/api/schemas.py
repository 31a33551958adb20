"""The bodies of requests and answers in the JSON interface. Docstrings are in its document."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, RootModel

from app.agents.mac import normalise_mac
from app.api.operations import Incoming, Outgoing
from app.core.errors import InvalidInput
from app.core.permissions import Role
from app.core.text import EMAIL_LENGTH


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


class CheckpointOut(RootModel[str]):
    """A C2SP checkpoint: the log's name, the number of its events, the tree's root, a signature."""

    root: str = Field(pattern=r"^[^\n]+\n[0-9]+\n[A-Za-z0-9+/=]{44}\n\n— ")


class LogKeyOut(RootModel[str]):
    """A C2SP verifier key, `NAME+HASH+KEY`; NAME is the origin of the log's checkpoints."""

    root: str = Field(pattern=r"^[^+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+\n$")


ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$"
"""No control characters, and none that change the reading direction."""
MAC_PATTERN = (
    r"^[0-9A-Fa-f][02468ACEace]("
    r"(:[0-9A-Fa-f]{2}){5}|(-[0-9A-Fa-f]{2}){5}|([0-9A-Fa-f]{2}(\.[0-9A-Fa-f]{4}){2})"
    r"|[0-9A-Fa-f]{10})$"
)
"""The spellings of `normalise_mac`, for the document."""
ALL_ZERO_PATTERN = r"^[0:.-]*$"


def _stored_mac(text: str) -> str:
    try:
        return normalise_mac(text)
    except InvalidInput as error:
        raise ValueError(error.detail) from None


Mac = Annotated[
    str,
    AfterValidator(_stored_mac),
    Field(
        description="The machine's MAC ID: 00:1A:2B:3C:4D:5E, 00-1a-2b-3c-4d-5e or 001A.2B3C.4D5E. "
        "Broadcast, multicast and all-zero addresses are refused.",
        json_schema_extra={"pattern": MAC_PATTERN, "not": {"pattern": ALL_ZERO_PATTERN}},
    ),
]


class SignInBody(Incoming):
    """A person signs in on an OP Agent."""

    login_id: str = Field(
        min_length=1,
        max_length=EMAIL_LENGTH,
        pattern=ONE_LINE,
        description="The e-mail of the person's own account.",
    )
    password: str = Field(min_length=1, max_length=1000)
    mac_id: Mac
    registration_key: str | None = Field(
        None, description="The temporary license key, as it was pasted. Blank counts as none."
    )
    hostname: str | None = Field(None, max_length=255, pattern=ONE_LINE)
    agent_version: str | None = Field(None, max_length=64, pattern=ONE_LINE)
    save_configuration: bool | None = Field(
        None, description="Whether to save configuration data in the cloud; ignored with a key."
    )
    machine_id: str | None = Field(
        None,
        max_length=128,
        pattern=ONE_LINE,
        description="What the operating system calls this machine. Blank counts as none. With "
        "it, machines that share a MAC ID are told apart.",
    )


class InspectBody(Incoming):
    """A key to be looked at."""

    registration_key: str


class OrganisationOut(Outgoing):
    organisation_id: str
    name: str


class UserOut(Outgoing):
    login_id: str
    role: Role


class LicenseOut(Outgoing):
    kind: Literal["permanent", "temporary"]
    key_id: str
    starts_at: datetime | None
    expires_at: datetime | None


class SessionOut(Outgoing):
    """A session, as its agent knows it."""

    organisation: OrganisationOut
    user: UserOut
    license: LicenseOut
    expires_in: float | None = Field(
        description="Seconds until the license expires, never rounded up; null: it does not."
    )
    heartbeat_seconds: int = Field(description="How often to ask for the session.")
    can_save_configuration: bool


class NewSessionOut(SessionOut):
    """A new session: its token, and on a machine's first registration its license, told once."""

    session_token: str
    license_key: str | None = Field(
        None, description="The machine's permanent license; only when it was registered just now."
    )


class InspectionOut(Outgoing):
    """What is known of a key; of an invalid one nothing but that."""

    state: Literal["active", "scheduled", "expired", "revoked", "invalid"]
    key_id: str | None
    organisation_id: str | None
    starts_at: datetime | None
    expires_at: datetime | None
