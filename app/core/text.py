"""Text as searches see it."""

import unicodedata

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
