"""Text: how long it may be, what an e-mail address is, how it is cleaned, cut and searched."""

import re
import unicodedata

EMAIL_LENGTH = 254
NAME_LENGTH = 200
ORGANISATION_ID_LENGTH = 64
LABEL_LENGTH = 50
"""Of a plan, a status and whatever else is a word or two."""

EMAIL = re.compile(r"[^@\s]+@[^@\s]+")

_ALIKE = {
    **{"ø": "o", "ł": "l", "đ": "d", "ħ": "h", "ŧ": "t", "ı": "i"},
    **{"æ": "ae", "œ": "oe", "ð": "d", "þ": "th"},
    **dict.fromkeys("‘’ʼ", "'"),
    **dict.fromkeys("“”„", '"'),
    **dict.fromkeys("‐‑‒–—−", "-"),
}
"""What Unicode does not take apart into a letter and its accent, and look-alikes of ' " and -."""


class _Folded(dict[int, str]):
    """What each character of a text that was taken apart becomes; worked out once for each."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        invisible = unicodedata.category(character) in ("Cc", "Cf") and not character.isspace()
        dropped = invisible or unicodedata.combining(character)
        self[code] = "" if dropped else _ALIKE.get(character, character)
        return self[code]


_FOLDED = _Folded()


def fold(text: str) -> str:
    """`text` as searches see it: without accents, without case, each space a plain one.

    "Ünïcode" and "UNICODE" fold to the same, "Łódź" to "lodz". Unicode NFKD and case folding;
    marks and invisible characters dropped. Line breaks stay: they part one field from the next.
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.lower().split())
    kept = _taken_apart(_taken_apart(text).translate(_FOLDED)).translate(_FOLDED)
    return "\n".join(" ".join(line.split()) for line in kept.split("\n"))


def _taken_apart(text: str) -> str:
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())


def is_email(text: str) -> bool:
    """Whether `text` has the form of an e-mail address that can be stored."""
    text = text.strip()
    return len(text) <= EMAIL_LENGTH and text.isprintable() and bool(EMAIL.fullmatch(text))


def printable(text: str) -> str:
    """`text` without the characters that nobody sees, and without space around it."""
    return "".join(character for character in text if character.isprintable()).strip()


def one_line(text: str) -> str:
    """`text` with its words one space apart; a control character parts words, as a space does."""
    return " ".join("".join(c if c >= " " and c != "\x7f" else " " for c in text).split())


def shortened(text: str, length: int, mark: str = "…") -> str:
    """The first `length` characters of `text`, and `mark` if there are more."""
    return text[:length] + mark if len(text) > length else text
