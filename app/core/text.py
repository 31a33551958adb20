"""Text: greatest lengths, e-mail addresses, cleaning, shortening, and folding for searches."""

import re
import unicodedata

EMAIL_LENGTH = 254
NAME_LENGTH = 200
ORGANISATION_ID_LENGTH = 64
LABEL_LENGTH = 50
"""The greatest length of a plan, a status and the like."""

EMAIL = re.compile(r"[^@\s]+@[^@\s]+")

_REPLACED = {
    **{"ø": "o", "ł": "l", "đ": "d", "ħ": "h", "ŧ": "t", "ı": "i"},
    **{"æ": "ae", "œ": "oe", "ð": "d", "þ": "th"},
    **dict.fromkeys("‘’ʼ", "'"),
    **dict.fromkeys("“”„", '"'),
    **dict.fromkeys("‐‑‒–—−", "-"),
}
"""Letters that NFKD does not decompose, and look-alikes of ' " and -."""


class _Folded(dict[int, str]):
    """What each character of decomposed text folds to, worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        invisible = unicodedata.category(character) in ("Cc", "Cf") and not character.isspace()
        dropped = invisible or unicodedata.combining(character)
        self[code] = "" if dropped else _REPLACED.get(character, character)
        return self[code]


_FOLDED = _Folded()


def fold(text: str) -> str:
    """`text` as searches compare it: without accents and case, words one space apart.

    "Ünïcode" and "UNICODE" fold to the same text, "Łódź" to "lodz". Uses Unicode NFKD and case
    folding, and drops marks and invisible characters. Line breaks stay: they separate fields.
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.lower().split())
    kept = _decomposed(_decomposed(text).translate(_FOLDED)).translate(_FOLDED)
    return "\n".join(" ".join(line.split()) for line in kept.split("\n"))


def _decomposed(text: str) -> str:
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())


def is_email(text: str) -> bool:
    """Whether `text` has the form of an e-mail address that can be stored."""
    text = text.strip()
    return len(text) <= EMAIL_LENGTH and text.isprintable() and bool(EMAIL.fullmatch(text))


def printable(text: str) -> str:
    """`text` without characters that cannot be printed and without surrounding space."""
    return "".join(character for character in text if character.isprintable()).strip()


def one_line(text: str) -> str:
    """`text` with its words one space apart; control characters separate words as spaces do."""
    return " ".join("".join(c if c >= " " and c != "\x7f" else " " for c in text).split())


def counted(count: int, thing: str) -> str:
    """`count` things: "1 second", "2 seconds", "0 organisations"."""
    return f"{count} {thing}{'' if count == 1 else 's'}"


def shortened(text: str, length: int, mark: str = "…") -> str:
    """The first `length` characters of `text`, followed by `mark` if there are more."""
    return text[:length] + mark if len(text) > length else text
