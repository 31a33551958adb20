"""What can go wrong. Every error says in one sentence, `str(error)`, what a person should know.

No sentence holds a password, a license key or a session token.
"""

from datetime import datetime


class ClientError(Exception):
    """The root of this package's errors."""


class WrongUse(ClientError):
    """Something that was given cannot be used: an address, a MAC ID, a file."""


class PortalUnreachable(ClientError):
    """No answer came that the portal can have given: network, TLS, proxy, time out, nonsense.

    `retry_after` is for how many seconds the other side asked to be left alone, if it said so.
    """

    def __init__(self, sentence: str, *, retry_after: float | None = None) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class Refused(ClientError):
    """The portal answered, and its answer is no.

    `code` is the portal's stable name for the reason, `status` the HTTP status. `retry_after` is in
    seconds (code `throttled`), `expired_at` (code `key_expired`) and `starts_at` (code
    `key_not_yet_valid`) are aware, `registered_to` is the name of an organisation (code
    `machine_registered_elsewhere`).
    """

    def __init__(
        self,
        code: str,
        sentence: str,
        *,
        status: int,
        retry_after: float | None = None,
        expired_at: datetime | None = None,
        starts_at: datetime | None = None,
        registered_to: str | None = None,
    ) -> None:
        super().__init__(sentence)
        self.code = code
        self.status = status
        self.retry_after = retry_after
        self.expired_at = expired_at
        self.starts_at = starts_at
        self.registered_to = registered_to


class SessionEnded(ClientError):
    """The session is over; `code` says how: `key_expired`, `key_revoked`, `signed_out`, ..."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class KeySetInvalid(ClientError):
    """What should be the JWK Set with the public keys is not one."""


class RevocationListInvalid(ClientError):
    """What should be the signed list of revoked licenses is not, or is signed by nobody known."""


class VisitRecordInvalid(ClientError):
    """What should be the signed record of a visit is not, or is signed by nobody known."""


class RecordInvalid(ClientError):
    """An export of the audit log, its checkpoint or the log's key is not good."""
