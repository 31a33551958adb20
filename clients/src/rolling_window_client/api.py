"""The portal's interface for agents (`/api/agent/v1`), call by call, each answer checked.

What the portal may add to its answers later is passed over; what it must say and does not makes
the answer unusable (PortalUnreachable), never an error of another kind.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from .errors import ClientError, PortalUnreachable, Refused, SessionEnded, WrongUse
from .keys import TOO_LONG, is_valid_too_long
from .machine import Machine
from .pasted import clean_key
from .public_keys import PublicKeys, read_jwk_set
from .revocations import RevocationList, read_revocation_list
from .transport import Answer, Transport, split_address
from .version import __version__

SIGN_IN_SECONDS = 30.0
CALL_SECONDS = 10.0
END_SECONDS = 3.0
"""How long a sign-in, any other call, and the end of a session may take."""

MAX_ANSWER = 256 * 1024
MAX_LIST = 16 * 1024 * 1024
"""Bytes of an answer, and of a JWK Set or a list of revoked licenses."""

_PROBLEM = "application/problem+json"
_SHOWN = 500


@dataclass(frozen=True)
class SignIn:
    """Who wants to sign in, and how. `registration_key` is the temporary license key, if any."""

    login_id: str
    password: str = field(repr=False)
    registration_key: str | None = field(default=None, repr=False)
    save_configuration: bool = False


@dataclass(frozen=True)
class Organisation:
    organisation_id: str
    name: str


@dataclass(frozen=True)
class User:
    login_id: str
    role: str


@dataclass(frozen=True)
class License:
    """`kind` is `permanent` or `temporary`; instants are aware, None for a permanent one."""

    kind: str
    key_id: str
    expires_at: datetime | None
    starts_at: datetime | None = None


@dataclass(frozen=True)
class SessionState:
    """What the portal says of a session. `expires_in` is in seconds, None if it does not expire."""

    organisation: Organisation
    user: User
    license: License
    expires_in: float | None
    heartbeat_seconds: float
    can_save_configuration: bool


@dataclass(frozen=True)
class Grant:
    """A new session. `license_key` comes once, when the machine was registered by this sign-in."""

    state: SessionState
    token: str = field(repr=False)
    license_key: str | None = field(default=None, repr=False)


class Portal:
    """The portal at `address`. May be used by several threads at once.

    `ca_file`, `proxy` and `plain_http` are those of Transport. Raises WrongUse if one of them, or
    the address, cannot be used.
    """

    def __init__(
        self,
        address: str,
        *,
        ca_file: Path | None = None,
        proxy: str | None = None,
        plain_http: bool = False,
    ) -> None:
        self.address = _without_slash(address)
        self._transport = Transport(ca_file=ca_file, proxy=proxy, plain_http=plain_http)
        self._transport.check_address(self.address)

    def sign_in(self, wanted: SignIn, machine: Machine) -> Grant:
        """A new session. Raises Refused with the portal's reason, or PortalUnreachable.

        A key that says that it is valid for longer than any is never sent: it is `key_invalid`.
        """
        if is_valid_too_long(clean_key(wanted.registration_key or "")):
            raise Refused("key_invalid", TOO_LONG, status=403)
        request = {
            "login_id": wanted.login_id,
            "password": wanted.password,
            "mac_id": machine.mac_id,
            "agent_version": f"op-agent {__version__}",
            "save_configuration": wanted.save_configuration,
            "registration_key": wanted.registration_key,
            "hostname": machine.host_name,
            "machine_id": machine.machine_id,
        }
        sent = {name: value for name, value in request.items() if value is not None}
        answer = self._call("POST", "/sessions", body=sent, seconds=SIGN_IN_SECONDS)
        if answer.status != 201:
            raise self._error(answer)
        members = self._members(answer)
        token = _text(members, "session_token")
        if not token.isascii() or not token.isprintable() or " " in token:
            raise _unusable("session_token")
        license_key = _text(members, "license_key") if members.get("license_key") else None
        return Grant(_state(members), token, license_key)

    def session(self, token: str) -> SessionState:
        """The session now: the heartbeat. Raises SessionEnded, Refused or PortalUnreachable."""
        answer = self._call("GET", "/session", token=token)
        if answer.status != 200:
            raise self._session_error(answer)
        return _state(self._members(answer))

    def end_session(self, token: str) -> None:
        """Ends the session, or confirms that it has ended. Raises Refused or PortalUnreachable."""
        answer = self._call("DELETE", "/session", token=token, seconds=END_SECONDS)
        if answer.status != 204:
            raise self._error(answer)

    def configuration(self, token: str) -> dict[str, object]:
        """The organisation's saved configuration. Raises SessionEnded and so on, as `session`."""
        answer = self._call("GET", "/configuration", token=token)
        if answer.status != 200:
            raise self._session_error(answer)
        return self._members(answer)

    def save_configuration(self, token: str, configuration: Mapping[str, object]) -> None:
        """Saves it. Raises Refused (`configuration_read_only`) under a temporary license."""
        answer = self._call("PUT", "/configuration", token=token, body=configuration)
        if answer.status != 204:
            raise self._session_error(answer)

    def public_keys(self) -> PublicKeys:
        """The public signing keys. Raises KeySetInvalid or PortalUnreachable."""
        return read_jwk_set(self.fetch(f"{self.address}/.well-known/license-keys.json"))

    def revocation_list(self, public_keys: PublicKeys) -> RevocationList:
        """The list of revoked licenses. Raises RevocationListInvalid or PortalUnreachable."""
        document = self.fetch(f"{self.address}/.well-known/revoked-licenses")
        return read_revocation_list(document, public_keys)

    def fetch(self, address: str) -> bytes:
        """A public document. Raises PortalUnreachable."""
        return fetch(self._transport, address)

    def _call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        body: Mapping[str, object] | None = None,
        seconds: float = CALL_SECONDS,
    ) -> Answer:
        headers = {"Accept": f"application/json, {_PROBLEM}", "User-Agent": _USER_AGENT}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body).encode("ascii")
        return self._transport.send(
            method,
            f"{self.address}/api/agent/v1{path}",
            headers=headers,
            body=content,
            seconds=seconds,
            max_bytes=MAX_ANSWER,
        )

    def _members(self, answer: Answer) -> dict[str, object]:
        members = None
        if answer.media_type == "application/json":
            members = _object(answer)
        if members is None:
            raise PortalUnreachable(_not_the_portal(self.address, answer))
        return members

    def _session_error(self, answer: Answer) -> ClientError:
        """As `_error`, where a 401 of the portal says that the session has ended."""
        problem = _problem(answer)
        if answer.status == 401 and problem is not None:
            return SessionEnded(_code(problem), _detail(problem))
        return self._error(answer)

    def _error(self, answer: Answer) -> ClientError:
        """Refused if the portal said no, PortalUnreachable if it cannot answer or it was not it."""
        problem = _problem(answer)
        if problem is None:
            sentence = _not_the_portal(self.address, answer)
            return PortalUnreachable(sentence, retry_after=answer.retry_after)
        if not 400 <= answer.status < 500 or answer.status == 404:
            sentence = f"The portal cannot answer (status {answer.status})."
            return PortalUnreachable(sentence, retry_after=answer.retry_after)
        registered_to = problem.get("registered_to")
        return Refused(
            _code(problem),
            _detail(problem),
            status=answer.status,
            retry_after=answer.retry_after,
            expired_at=_instant(problem.get("expired_at")),
            starts_at=_instant(problem.get("starts_at")),
            registered_to=registered_to if isinstance(registered_to, str) else None,
        )


_USER_AGENT = f"rolling-window-client/{__version__}"


def fetch(transport: Transport, address: str) -> bytes:
    """A public document of up to 16 MiB. Raises WrongUse or PortalUnreachable."""
    transport.check_address(address)
    answer = transport.send(
        "GET",
        address,
        headers={"User-Agent": _USER_AGENT},
        seconds=SIGN_IN_SECONDS,
        max_bytes=MAX_LIST,
    )
    if answer.status != 200:
        raise PortalUnreachable(_not_the_portal(address, answer), retry_after=answer.retry_after)
    return answer.body


def _without_slash(address: str) -> str:
    """The portal's address, to which a path is added. Raises WrongUse."""
    url = split_address(address)
    if url.query or url.fragment or url.username is not None:
        raise WrongUse("The portal's address has no user name, no ? and no # in it.")
    return address.rstrip("/")


# Reading answers


def _object(answer: Answer) -> dict[str, object] | None:
    try:
        value = answer.json()
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _problem(answer: Answer) -> dict[str, object] | None:
    """The problem (RFC 9457) that the portal tells of; None if it is not the portal that speaks."""
    problem = _object(answer) if answer.media_type == _PROBLEM else None
    return problem if problem is not None and isinstance(problem.get("code"), str) else None


def _code(problem: Mapping[str, object]) -> str:
    return str(problem["code"])[:_SHOWN]


def _detail(problem: Mapping[str, object]) -> str:
    said = problem.get("detail") or problem.get("title")
    return said[:_SHOWN] if isinstance(said, str) else f"The portal says: {_code(problem)}."


def _not_the_portal(address: str, answer: Answer) -> str:
    host = split_address(address).netloc
    return (
        f"What answers at {host} (status {answer.status}, {ascii(answer.media_type)[1:-1][:50]}) "
        "is not what was expected of the portal. Perhaps a proxy answers in its place."
    )


def _unusable(name: str) -> PortalUnreachable:
    return PortalUnreachable(f"The portal's answer cannot be used: {name} is not as agreed.")


def _state(members: Mapping[str, object]) -> SessionState:
    organisation = _part(members, "organisation")
    user = _part(members, "user")
    license_ = _license(_part(members, "license"))
    can_save = members.get("can_save_configuration")
    if not isinstance(can_save, bool):
        raise _unusable("can_save_configuration")
    expires = license_.kind == "temporary" or members.get("expires_in") is not None
    return SessionState(
        Organisation(_text(organisation, "organisation_id"), _text(organisation, "name")),
        User(_text(user, "login_id"), _text(user, "role")),
        license_,
        expires_in=_seconds(members, "expires_in") if expires else None,
        heartbeat_seconds=_seconds(members, "heartbeat_seconds"),
        can_save_configuration=can_save,
    )


def _license(members: Mapping[str, object]) -> License:
    kind = _text(members, "kind")
    expires_at = _instant(members.get("expires_at"))
    if kind not in {"permanent", "temporary"} or (kind == "temporary" and expires_at is None):
        raise _unusable("license")
    starts_at = _instant(members.get("starts_at"))
    return License(kind, _text(members, "key_id"), expires_at, starts_at)


def _part(members: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = members.get(name)
    if not isinstance(value, dict):
        raise _unusable(name)
    return value


def _text(members: Mapping[str, object], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not value:
        raise _unusable(name)
    return value


def _seconds(members: Mapping[str, object], name: str) -> float:
    value = members.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unusable(name)
    if not math.isfinite(value) or not 0 <= value < 1e10:
        raise _unusable(name)
    return float(value)


def _instant(value: object) -> datetime | None:
    """An RFC 3339 time; None for anything else."""
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return instant if instant is not None and instant.tzinfo is not None else None
