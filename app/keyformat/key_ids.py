"""The Key ID: the short name of a license, to be read out over a phone."""

import re
import secrets
from collections.abc import Callable

KEY_ID_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Capitals and digits that cannot be taken for one another: no 0, O, 1, I, L or U."""

_GROUP = 4
_LENGTH = 2 * _GROUP
_SPACES_AND_DASHES = re.compile(r"[\s\u00ad\u200b-\u200d\u2010-\u2015\u2060\u2212\ufeff-]+")
_KEY_ID = re.compile(f"[{KEY_ID_ALPHABET}]{{{_LENGTH}}}")


def new_key_id(choice: Callable[[str], str] = secrets.choice) -> str:
    """A new Key ID, such as "K7QF-3MXP".

    Eight characters of thirty, each picked by `choice`: 6.6e11 possibilities, 39 bits. That is too
    few to be certainly unique, so the caller must try again if the Key ID is taken. A Key ID is
    not a secret and opens nothing.
    """
    letters = "".join(choice(KEY_ID_ALPHABET) for _ in range(_LENGTH))
    return f"{letters[:_GROUP]}-{letters[_GROUP:]}"


def normalise_key_id(text: str) -> str | None:
    """The Key ID in `text` as it is stored, or None if `text` cannot be one.

    Lower case, white space, and other or missing dashes are accepted.
    """
    letters = _SPACES_AND_DASHES.sub("", text)
    if not letters.isascii() or not _KEY_ID.fullmatch(letters.upper()):
        return None
    letters = letters.upper()
    return f"{letters[:_GROUP]}-{letters[_GROUP:]}"
