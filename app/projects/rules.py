"""Rules of organisations and projects: pure functions."""

import unicodedata


def fold(text: str) -> str:
    """`text` as searches see it: without accents, without case, each space a plain one.

    "Ünïcode" and "UNICODE" fold to the same. Unicode NFKD, marks dropped, case folded.
    """
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    kept = "".join(c for c in decomposed if not unicodedata.combining(c))
    return "\n".join(" ".join(line.split()) for line in kept.casefold().split("\n"))
