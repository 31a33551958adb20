"""Passwords: argon2id, with the library's own parameters."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.core.errors import Busy

hasher = PasswordHasher()
MIN_LENGTH, MAX_LENGTH = 8, 1000
LONGEST_WAIT_SECONDS = 5


class HashingPlaces:
    """How many passwords are hashed at once in this process: each takes 64 MiB."""

    def __init__(self) -> None:
        self.allow(2)

    def allow(self, count: int) -> None:
        self._places = BoundedSemaphore(count)

    @contextmanager
    def take_one(self) -> Iterator[None]:
        """A place to hash one password at. Raises Busy if none is free within five seconds."""
        if not self._places.acquire(timeout=LONGEST_WAIT_SECONDS):
            raise Busy(
                "Too many people are signing in at once. Try again in a few seconds.",
                retry_seconds=LONGEST_WAIT_SECONDS,
            )
        try:
            yield
        finally:
            self._places.release()


hashing_places = HashingPlaces()


def is_acceptable(password: str) -> bool:
    """Whether `password` has an allowed length, which is the only requirement."""
    return MIN_LENGTH <= len(password) <= MAX_LENGTH


def hash_password(password: str) -> str:
    """The argon2id hash to store. Takes about a tenth of a second, on purpose."""
    return hasher.hash(password)


def password_matches(password_hash: str | None, password: str) -> bool:
    """Whether `password` is the one that was hashed.

    Without a hash (there is no such account) the answer is False and takes as long as with one.
    """
    try:
        hasher.verify(password_hash or _hash_of_nothing(), password)
    except (VerificationError, InvalidHashError):
        return False
    return password_hash is not None


def random_password() -> str:
    """A password of 96 random bits."""
    return secrets.token_urlsafe(12)


@cache
def _hash_of_nothing() -> str:
    return hasher.hash(secrets.token_hex(16))
