"""A key as it was before chat and e-mail had it.

Its characters are `A-Z a-z 0-9 _ - .` alone, so what cannot belong to it can be undone; where two
readings are possible, nothing is. `docs/key-format.md` lists what is undone, and why no more.
"""

import html
import re
import string
from html.entities import html5
from unicodedata import category

KEY_CHARACTERS = frozenset(string.ascii_letters + string.digits + "_-")
"""What a part of a key is made of; dots stand between the parts."""

_LINE_END = re.compile(r"\r\n?|[\v\f\x85\u2028\u2029]")
_WHITE_SPACE = re.compile(r"\s+")
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
_DASHES = str.maketrans(
    dict.fromkeys(
        "\u2010\u2011\u2012\u2013\u2014\u2015\u2e3a\u2e3b\u2e17\u2e1a\u2e40\u2e5d"  # dashes
        "\u2212\u02d7\u2043\u207b\u208b\u2796\u2500\u2501\u23af"  # minus signs, bullets, lines
        "\ufe31\ufe32\ufe58\ufe63\uff0d\u30fc\uff70\u30a0\u301c\u3030"  # East Asian
        "\u058a\u05be\u1400\u1806\U00010ead",  # other scripts' hyphens
        "-",
    )
)

_REPLY_MARKS = re.compile(r"^(?:[^\S\n]*+[>\uff1e])++[^\S\n]*+", re.MULTILINE)
_SOFT_BREAK = re.compile(r"=[^\S\n]*+\n")
_QUOTED_PRINTABLE = re.compile(r"(?:=[0-9A-F]{2})++")
_ENTITY = re.compile(r"&((?:\s*+[A-Za-z0-9#]){2,40}+)\s*+;")
_ESCAPE = re.compile(r"(?<!\\)\\++(?=[_.-])")

_START = re.compile(r"[Rr]\s*+[Ww]\s*+1\s*+\\*+\s*+\.\s*+e\s*+y\s*+J")
"""Where a key begins: PAYLOAD is base64url of `{"` and more. No part of a key ends in `rw1`."""

_FLAGS = re.ASCII | re.IGNORECASE
_WHOLE_KEY = re.compile(r"rw[0-9]+\.[\w-]{10,}\.[\w-]+\.[\w-]{20,}", _FLAGS)
"""Of any version, and with more behind it; not a host such as rw1.datacenter.example.com."""
_SQUEEZED_KEY = re.compile(r"rw[0-9]+\.eyJ[\w-]{7,}\.[\w-]+\.[\w-]{20,}", _FLAGS)
"""One in a text without its white space, in which any words could be the end of a key."""
_LIKE_KEY = re.compile(rf"{_WHOLE_KEY.pattern}|rw[0-9]+\.eyJ[\w-]{{7,}}(\.[\w-]+)*", _FLAGS)
"""Also one that is cut short."""
_UNBROKEN_KEY = re.compile(r"rw[0-9]+\.[\w-]{10,}\.[\w-]+\.[\w-]{60,}", re.ASCII)

_ROUNDS = 3
"""How often what programs encode is decoded: one encodes what another has encoded before."""


def clean_key(text: str) -> str:
    """`text` without what chat and e-mail add to a key; "" means that no key was given.

    What is no key stays something that is no key. The work grows with the length of `text` and no
    faster.
    """
    for _ in range(_ROUNDS):
        text = _ENTITY.sub(_character, text)
        text = _INVISIBLE.sub("", _LINE_END.sub("\n", text))
        text = _SOFT_BREAK.sub("", _REPLY_MARKS.sub("", text))
        text = _QUOTED_PRINTABLE.sub(_characters, text)
    text = _without_label(_INVISIBLE.sub("", text))
    text = _without_punctuation(_WHITE_SPACE.sub("", text))
    return _ESCAPE.sub("", text.translate(_DASHES))


def holds_key(text: str) -> bool:
    """Whether somebody can read a whole key out of `text`, wherever in it and however wrapped."""
    squeezed = _WHITE_SPACE.sub("", clean_key(text))
    return bool(_WHOLE_KEY.search(text) or _SQUEEZED_KEY.search(squeezed))


def blank_keys(text: str, instead: str) -> str:
    """`text` with `instead` in the place of what looks like a key.

    In the place of all of it if a key is in parts: nobody can say where it ends.
    """
    if holds_key(_UNBROKEN_KEY.sub("", text)):
        return instead
    return _LIKE_KEY.sub(instead, text)


def count_keys(key: str) -> int:
    """How many keys begin in what `clean_key` gave."""
    return len(_START.findall(key))


def _without_label(text: str) -> str:
    """From where the key begins, if one does and what stands before it is a label."""
    starts = [*_START.finditer(text)]
    if len(starts) != 1 or not _is_label(text[: starts[0].start()]):
        return text
    return "rw1.eyJ" + text[starts[0].end() :]


def _is_label(before: str) -> bool:
    """Whether `before` ends without a character of a key, and is no address that leads on to it."""
    if before[-1:] in KEY_CHARACTERS:
        return False
    word = "" if before[-1:].isspace() else "".join(before.split()[-1:])
    return not any(mark in word for mark in "/?&")


def _without_punctuation(text: str) -> str:
    """Without punctuation, quotes, brackets and symbols of any script at both ends."""
    start, end = 0, len(text)
    while end > start and _goes_around(text[end - 1]):
        end -= 1
    while start < end and _goes_around(text[start]):
        start += 1
    return text[start:end]


def _goes_around(character: str) -> bool:
    # "=" would be padding, which is another spelling of the key and not something around it.
    return category(character)[0] in "PS" and character not in "_-="


def _character(entity: re.Match[str]) -> str:
    """What an HTML entity stands for; itself if it stands for nothing."""
    name = _WHITE_SPACE.sub("", entity[1])
    if not name.startswith("#"):
        return html5.get(f"{name};", entity[0])
    return html.unescape(f"&{name};")


def _characters(encoded: re.Match[str]) -> str:
    """What quoted-printable's =E2=80=8B stands for (RFC 2045, 6.7)."""
    return bytes.fromhex(encoded[0].replace("=", "")).decode("utf-8", "replace")
