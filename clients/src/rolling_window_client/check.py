"""The answer to "is this key good now?", without asking the portal."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from .keys import NotAKey, SignedKey, read_key
from .public_keys import PublicKeys
from .revocations import RevocationList

CLOCKS_APART = timedelta(seconds=5)
"""How far behind the portal's this machine's clock may be: so much before its issue instant, and
before its start, a key is taken for valid, or one issued just now would be refused. Its end is
exact."""


class KeyState(StrEnum):
    """SCHEDULED: good, but it has not started yet. UNKNOWN: good as far as the key goes, but nobody
    can say whether it was revoked."""

    ACTIVE = "active"
    SCHEDULED = "scheduled"
    EXPIRED = "expired"
    REVOKED = "revoked"
    INVALID = "invalid"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class KeyCheck:
    """The outcome: the state, in a sentence why, and what the key says if its signature is good."""

    state: KeyState
    sentence: str
    key: SignedKey | None = None
    revoked_at: datetime | None = None


def check_key(
    text: str,
    public_keys: PublicKeys,
    *,
    revoked: RevocationList | None = None,
    now: datetime | None = None,
    accept_stale: bool = False,
) -> KeyCheck:
    """What the key in `text` is at `now` (aware; the clock of this machine if not given).

    With `revoked`, a revoked key is told, and so is every one under a retired signing key; with a
    list past its `next_update` (or from the future) a key that would be active is UNKNOWN, unless
    `accept_stale`. Without `revoked`, nothing is known of revocations and nothing is said of them.
    Raises ValueError if `now` is naive, and nothing else: a text that is no key is INVALID.
    """
    now = datetime.now(UTC) if now is None else now
    if now.tzinfo is None:
        raise ValueError("now has no time zone")
    try:
        key = read_key(text, public_keys)
    except NotAKey as reason:
        return KeyCheck(KeyState.INVALID, str(reason))
    return _check_at(key, revoked, now, accept_stale)


def _check_at(
    key: SignedKey, revoked: RevocationList | None, now: datetime, accept_stale: bool
) -> KeyCheck:
    if revoked is not None and key.kid in revoked.retired:
        sentence = "The key is signed with a signing key that was retired. Ask for a new one."
        return KeyCheck(KeyState.REVOKED, sentence, key)
    if now < key.issued_at - CLOCKS_APART:
        sentence = "By this machine's clock the key is not valid yet."
        return KeyCheck(KeyState.INVALID, sentence, key)
    revoked_at = revoked.revoked_at(key.key_id) if revoked else None
    if revoked_at is not None and (key.expires_at is None or revoked_at < key.expires_at):
        return KeyCheck(KeyState.REVOKED, "The key was revoked.", key, revoked_at)
    if (outside := _outside_its_time(key, now)) is not None:
        return outside
    if revoked is not None and not revoked.is_current(now) and not accept_stale:
        sentence = "The list of revoked licenses is out of date: unknown whether revoked."
        return KeyCheck(KeyState.UNKNOWN, sentence, key)
    return KeyCheck(KeyState.ACTIVE, "The key is active.", key)


def _outside_its_time(key: SignedKey, now: datetime) -> KeyCheck | None:
    """That the key has not started, or has expired; None while it runs."""
    if now < key.starts_at - CLOCKS_APART:
        return KeyCheck(KeyState.SCHEDULED, "The key is good, but has not started yet.", key)
    if key.expires_at is not None and now >= key.expires_at:
        return KeyCheck(KeyState.EXPIRED, "The key has expired.", key)
    return None
