"""Text: greatest lengths, e-mail addresses, cleaning, shortening, and folding for searches."""

import re
import unicodedata

EMAIL_LENGTH = 254
NAME_LENGTH = 200
ORGANISATION_ID_LENGTH = 64
LABEL_LENGTH = 50
"""The greatest length of a plan, a status and the like."""
PERSON_LENGTH = 100
"""The greatest length of a person's name."""
REASON_LENGTH = 500
TICKET_LENGTH = 64
"""The greatest lengths of why a key was generated, and of a ticket's reference."""
ADDRESS_LENGTH = 2000
"""The greatest length of a webhook's address."""
PASSWORD_LENGTHS = (10, 1000)
"""The least and the greatest length of a new password."""

EMAIL = re.compile(r"[^@\s]+@[^@\s]+")

_SPACES = re.compile(
    "[ \u00a0\u115f\u1160\u1680\u2000-\u200a\u202f\u205f\u2800\u3000\u3164\uffa0]+"
)
"""Characters that look like space: no-break spaces, em spaces, blank letters."""

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2060-\u2065\u206a-\u206f\ufeff"
    "\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff]"
)
"""Characters that Unicode lets fonts ignore, without those that change the reading direction."""

_JOINERS = re.compile("[\u200c\u200d]+")
_VARIANTS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]+")
_HYPHENS = re.compile("[\u2010\u2011]")
_VIRAMA = 9
"""The combining class of the sign after which Indic scripts need joiners."""

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


def tidied(text: str) -> str:
    """`text` as it is compared and stored, so that texts that look the same are the same.

    In Unicode NFC, words one plain space apart, invisible characters dropped. Joiners and
    variation selectors stay where they can be seen, in scripts that join letters and in emoji.
    Control characters stay, for checks to refuse.
    """
    if text.isascii():
        text = text.strip()
        return _SPACES.sub(" ", text) if "  " in text else text
    before = None
    while text != before:
        before = text
        text = unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
        text = _VARIANTS.sub(_needed_variant, _JOINERS.sub(_needed_joiner, text))
        text = _SPACES.sub(" ", _HYPHENS.sub("-", text)).strip()
    return text


def _needed_joiner(found: re.Match[str]) -> str:
    """The first of these joiners if the characters around need one, else nothing."""
    joiner, left, right = found[0][0], _before(found), _after(found)
    arabic = unicodedata.bidirectional(left) == unicodedata.bidirectional(right) == "AL"
    indic = unicodedata.combining(left) == _VIRAMA
    emoji = joiner == "\u200d" and _is_picture(left) and _is_picture(right)
    return joiner if arabic or indic or emoji else ""


def _needed_variant(found: re.Match[str]) -> str:
    """The first of these variation selectors if it follows a picture or ideograph, else nothing."""
    left, right = _before(found), _after(found)
    ideograph = left >= "\u2e80" and unicodedata.category(left) == "Lo"
    return found[0][0] if _is_picture(left) or ideograph or right == "\u20e3" else ""


def _before(found: re.Match[str]) -> str:
    """The character that stands before; a space at the beginning."""
    return found.string[found.start() - 1] if found.start() else " "


def _after(found: re.Match[str]) -> str:
    """The character that stands after; a space at the end."""
    return found.string[found.end()] if found.end() < len(found.string) else " "


def _is_picture(character: str) -> bool:
    return character == "\ufe0f" or unicodedata.category(character) in ("So", "Sk")


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
