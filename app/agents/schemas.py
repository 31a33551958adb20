"""What agents send and what they are answered: the words of their JSON interface."""

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from app.permissions import Role
from app.web.api import ApiModel

_CONTROLS = re.compile("[\x00-\x1f\x7f]")


def _without_controls(text: str) -> str:
    if _CONTROLS.search(text):
        raise ValueError("control characters are not allowed")
    return text


Line = AfterValidator(_without_controls)
"""Text without control characters: databases and logs do not take them well."""


class SignInRequest(ApiModel):
    """A person signs in on an OP Agent."""

    login_id: Annotated[
        str, Field(min_length=1, max_length=254), AfterValidator(_without_controls)
    ] = Field(description="The e-mail of the person's own account.")
    password: str = Field(min_length=1, max_length=1000)
    mac_id: str = Field(
        max_length=64,
        description="The machine's MAC ID in a usual spelling: 00:1A:2B:3C:4D:5E, "
        "00-1a-2b-3c-4d-5e or 001A.2B3C.4D5E.",
    )
    registration_key: str | None = Field(
        None, description="The temporary license key, as it was pasted. Blank counts as none."
    )
    hostname: Annotated[str, Field(max_length=255), Line] | None = None
    agent_version: Annotated[str, Field(max_length=64), Line] | None = None
    save_configuration: bool | None = Field(
        None, description="Whether to save configuration data in the cloud; ignored with a key."
    )
    machine_id: Annotated[str, Field(max_length=128), Line] | None = Field(
        None, description="What the operating system calls this machine."
    )


class InspectRequest(ApiModel):
    """A key to be looked at."""

    registration_key: str


class OrganisationOut(ApiModel):
    organisation_id: str
    name: str


class UserOut(ApiModel):
    login_id: str
    role: Role


class LicenseOut(ApiModel):
    kind: Literal["permanent", "temporary"]
    key_id: str
    expires_at: datetime | None


class SessionOut(ApiModel):
    """A session, as its agent knows it."""

    organisation: OrganisationOut
    user: UserOut
    license: LicenseOut
    expires_in: float | None = Field(
        description="Seconds until the license expires, never rounded up; null: it does not."
    )
    heartbeat_seconds: int
    can_save_configuration: bool


class NewSessionOut(SessionOut):
    """A new session: its token, and on a machine's first registration its license, told once."""

    session_token: str
    license_key: str | None = Field(
        None, description="The machine's permanent license; only when it was registered just now."
    )


class InspectionOut(ApiModel):
    """What is known of a key; of an invalid one nothing but that."""

    state: Literal["active", "expired", "revoked", "invalid"]
    key_id: str | None
    organisation_id: str | None
    expires_at: datetime | None
