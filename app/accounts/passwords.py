"""Passwords: which are taken, and argon2id with the library's own parameters."""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn_rs_py import zxcvbn

from app.core.errors import Busy, InvalidInput
from app.core.text import PASSWORD_LENGTHS

hasher = PasswordHasher()
LONGEST_WAIT_SECONDS = 5
FEWEST_GUESSES = 10**8
"""Fewer are soon tried by whoever has stolen a hash: zxcvbn's own line, its score of 3."""
LOOKED_AT = 64
"""Characters of a password that are looked at: time grows with the square of their number."""
PRODUCT = ("Rolling Window", "rollingwindow", "rolling", "window", "OP Agent", "portal")


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


def hash_new_password(password: str, *, email: str, name: str = "") -> str:
    """The argon2id hash of a password that somebody chooses, to be stored for them.

    Takes a tenth of a second, on purpose: call it while no transaction is open. Every place that
    sets a password calls it. Raises InvalidInput (field "password") if it is too short, too long
    or soon guessed, also by who knows `email` and `name`; and Busy.
    """
    least, most = PASSWORD_LENGTHS
    if not least <= len(password) <= most:
        raise InvalidInput("password", f"A password has {least} to {most:,} characters.")
    with hashing_places.take_one():
        if _is_common(password, _known_words(email, name)):
            raise InvalidInput(
                "password",
                "That password is too easy to guess. Choose one that is longer or less usual: "
                "three or four words that do not belong together do well.",
            )
        return hash_password(password)


def hash_password(password: str) -> str:
    """The argon2id hash of any password. For one that somebody chooses: `hash_new_password`."""
    return hasher.hash(password)


def hash_anew(password_hash: str, password: str) -> str | None:
    """A hash of the same password if `password_hash` is not by the present parameters."""
    return hash_password(password) if hasher.check_needs_rehash(password_hash) else None


def _is_common(password: str, known_words: list[str]) -> bool:
    """Whether few guesses are needed, as far as its first characters tell."""
    looked_at = password[:LOOKED_AT].encode(errors="replace").decode()
    return zxcvbn(looked_at, known_words).guesses < FEWEST_GUESSES


def _known_words(email: str, name: str) -> list[str]:
    """What belongs to the person or the product, whole and in parts."""
    wholes = [email, email.partition("@")[0], name, "".join(name.split())]
    parts = re.split(r"[\W_]+", f"{email} {name}")
    return [word for word in (*wholes, *parts) if len(word) > 2] + list(PRODUCT)


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
