"""The exceptions of the domain, with their data on them, so that no caller parses a message.

`app/web/errors.py` is the one place that turns them into a page, a fragment or problem+json.
"""


class PortalError(Exception):
    """Something was asked for that is not done. `status` is the HTTP status, `code` is stable."""

    status = 400
    code = "invalid_request"
    title = "That request cannot be answered"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class ConfigError(PortalError):
    """A setting has a wrong value; the message is the one line that stops the start."""


class InvalidInput(PortalError):
    """A value was refused. `field` names the form field or option it came from."""

    status = 422
    title = "Something in the form needs another look"

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


class InvalidRequest(PortalError):
    """A program's request is not as the interface's document says."""

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


class NotAllowed(PortalError):
    status = 403
    code = "not_allowed"
    title = "You may not do that"


class Conflict(PortalError):
    """What was asked for no longer fits what is there (deleted, archived, already ended)."""

    status = 409
    code = "conflict"
    title = "That has changed in the meantime"


class Busy(PortalError):
    """The database is locked, read-only, full or out of reach; nothing was saved.

    After `retry_seconds`, if there are any, it is worth trying again.
    """

    status = 503
    code = "unavailable"
    title = "The database cannot be used just now"

    def __init__(self, detail: str, retry_seconds: int | None = None) -> None:
        super().__init__(detail)
        self.retry_seconds = retry_seconds


class SigningKeyMissing(PortalError):
    """The private signing key is not where it should be."""

    status = 503
    code = "signing_key_missing"
    title = "The signing key is missing"


class KeyInvalid(PortalError):
    """A license key that was not made here, or not made for this: malformed or forged."""

    status = 403
    code = "key_invalid"
    title = "The registration key is not valid"
