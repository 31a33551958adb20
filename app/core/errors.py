"""The domain's exceptions. They carry their data as attributes, so no caller parses a message.

`app/web/errors.py` turns them into a page, a fragment or problem+json.
"""


class PortalError(Exception):
    """A request that is refused. `status` is the HTTP status; `code` never changes."""

    status = 400
    code = "invalid_request"
    title = "That request cannot be answered"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class ConfigError(PortalError):
    """A setting is wrong; the portal does not start, and prints the message on one line."""


class InvalidInput(PortalError):
    """A value was refused. `field` names the form field or the option that it came from."""

    status = 422
    title = "Something in the form needs another look"

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


class InvalidRequest(PortalError):
    """A request to the JSON interface that its document does not allow."""

    status = 422
    title = "The request is not as it should be"


class MalformedTTL(InvalidInput):
    """A TTL that cannot be read, such as "3x"."""

    def __init__(self, detail: str) -> None:
        super().__init__("ttl", detail)


class NotFound(PortalError):
    status = 404
    code = "not_found"
    title = "There is nothing here"


class UnknownHost(PortalError):
    """The portal does not answer to the name by which it was asked for."""

    status = 421
    code = "unknown_host"
    title = "This is not the address of this portal"


class NotAllowed(PortalError):
    status = 403
    code = "not_allowed"
    title = "You may not do that"


class Conflict(PortalError):
    """The request does not fit the present state: already ended, changed by somebody else."""

    status = 409
    code = "conflict"
    title = "That has changed in the meantime"


class Gone(PortalError):
    status = 410
    code = "gone"
    title = "This link does not work any more"


class Busy(PortalError):
    """The database is locked, read-only, full or unreachable; nothing was saved.

    `retry_seconds`, if there are any, is when it is worth trying again.
    """

    status = 503
    code = "unavailable"
    title = "The database cannot be used just now"

    def __init__(self, detail: str, retry_seconds: int | None = None) -> None:
        super().__init__(detail)
        self.retry_seconds = retry_seconds


class SigningKeyMissing(PortalError):
    """The private signing key is missing or damaged."""

    status = 503
    code = "signing_key_missing"
    title = "The signing key is missing"


class KeyInvalid(PortalError):
    """A license key that is malformed, forged, or signed for another purpose."""

    status = 403
    code = "key_invalid"
    title = "The registration key is not valid"


class TwoKeys(KeyInvalid):
    """More than one license key was given where one is wanted."""
