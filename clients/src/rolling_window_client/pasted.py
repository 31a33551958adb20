"""A license key out of what was pasted: what chat and e-mail put around and into it is undone.

A key is made of `A-Z a-z 0-9 _ - .` and nothing else. So what cannot belong to one can be undone,
as long as only one reading is possible.
"""

import re
import unicodedata
from html import unescape
from html.entities import html5

_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
_OTHER_DASHES = frozenset("\u2212\u02d7\u2043\u207b\u208b\u2796\u2500\u2501\u23af\u30fc\uff70")
_MARKS = ">\uff1e \t\u00a0\u3000"
_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_PART = re.compile(r"[A-Za-z0-9_-]")
_ENTITY = re.compile(r"&((?:\s*[0-9A-Za-z#]){2,40})\s*;")
_QUOTED = re.compile(r"(?:=[0-9A-F][0-9A-F])+")
_BEGINNING = re.compile(r"[Rr][Ww]1\\*\.eyJ")


def clean_key(text: str) -> str:
    """`text` without what chat and e-mail add to a key; "" means that no key was given.

    What holds more than one key, or none, is no key afterwards either.
    """
    for _ in range(3):  # because one program encodes what another has encoded before
        text = _QUOTED.sub(_octets, _joined(_visible(_ENTITY.sub(_entity, text))))
    signs = _trimmed(_unlabelled(_visible(text)))
    key = "".join("-" if _is_dash(sign) else sign for sign in signs)
    return re.sub(r"(?<!\\)\\+(?=[_.-])", "", key)


def count_keys(text: str) -> int:
    """How many keys begin in `text`, which is what `clean_key` gave."""
    return len(_BEGINNING.findall(text))


def _joined(text: str) -> str:
    """The lines without reply marks, those that quoted-printable broke joined again."""
    parts = []
    for line in text.splitlines(keepends=True):
        bare = line.strip().lstrip(_MARKS)
        ended = line[-1] in _LINE_ENDS
        parts.append(bare[:-1] if ended and bare.endswith("=") else bare + "\n" * ended)
    return "".join(parts)


def _entity(match: re.Match[str]) -> str:
    """What an HTML entity stands for; itself if it is none."""
    name = "".join(match[1].split()) + ";"
    return unescape("&" + name) if name in html5 or name[0] == "#" else match[0]


def _octets(match: re.Match[str]) -> str:
    """What quoted-printable's =E2=80=8B stands for (RFC 2045)."""
    return bytes.fromhex(match[0].replace("=", "")).decode("utf-8", "replace")


def _unlabelled(text: str) -> str:
    """Without white space, and from the beginning of the key on if that is plain.

    It is if one key begins, after nothing or after a label: no character of a key stands right
    before it, and no address leads on to it.
    """
    words = text.split()
    whole = "".join(words)
    beginnings = list(_BEGINNING.finditer(whole))
    if len(beginnings) != 1:
        return whole
    at = beginnings[0].start()
    label, taken = "", 0
    for word in words:  # the one in which the key begins
        if taken + len(word) > at:
            label = word[: at - taken]
            break
        taken += len(word)
    if _PART.fullmatch(label[-1:]) or not set("/?&").isdisjoint(label):
        return whole
    return "rw1.eyJ" + whole[beginnings[0].end() :]


def _trimmed(text: str) -> str:
    """Without punctuation and symbols at both ends."""
    kept = [place for place, sign in enumerate(text) if not _is_around(sign)]
    return text[kept[0] : kept[-1] + 1] if kept else ""


def _visible(text: str) -> str:
    return "".join(sign for sign in text if not _is_invisible(sign))


def _is_around(sign: str) -> bool:
    # Not "=": it would be padding, another spelling of the key.
    return sign not in "_-=" and unicodedata.category(sign).startswith(("P", "S"))


def _is_invisible(sign: str) -> bool:
    return (
        unicodedata.category(sign) == "Cf"
        or sign in _FILLERS
        or "\ufe00" <= sign <= "\ufe0f"
        or "\U000e0000" <= sign <= "\U000e0fff"
    )


def _is_dash(sign: str) -> bool:
    return sign in _OTHER_DASHES or unicodedata.category(sign) == "Pd"
