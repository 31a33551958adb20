"""Pasted keys: what chat and e-mail do to a key is undone, and nothing else is."""

import html
import json
import quopri
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import KeyInvalid, TwoKeys
from app.keyformat.license_keys import read_temporary_key
from app.keyformat.pasted_keys import clean_key, holds_key
from app.keyformat.signing_keys import public_key_from_bytes
from tests.unit.test_key_vectors import decode

FILE = Path(__file__).parents[1] / "vectors" / "pasted-keys.json"
VECTORS = json.loads(FILE.read_text(encoding="utf-8"))
KEY = VECTORS["key"]
KEYS = {jwk["kid"]: public_key_from_bytes(decode(jwk["x"])) for jwk in VECTORS["jwks"]["keys"]}
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."


def reads(text: str) -> str:
    """What is read: the key, two keys, nothing, or no key."""
    try:
        read = read_temporary_key(text, KEYS.get)
    except TwoKeys:
        return "two"
    except KeyInvalid:
        return "no key"
    return "key" if read else "nothing"


@pytest.mark.parametrize("case", VECTORS["cases"], ids=[case["name"] for case in VECTORS["cases"]])
def test_what_people_paste(case: dict[str, str]) -> None:
    assert reads(case["text"]) == case["reads"]
    if case["reads"] == "key":
        assert clean_key(case["text"]) == KEY


# Any combination of what programs and people do

INSIDE = {
    "-": ["\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2212", "\uff0d", "\\-", "&#45;"],
    "_": ["\\_", "\\\\_", "&#95;", "&#x5F;", "&lowbar;"],
    ".": ["\\.", "&#46;", "&period;"],
}
AROUND = ["<>", "()", "[]", "{}", "\u300c\u300d", "\u3010\u3011", "\u201c\u201d", "\u201e\u201c"]
AROUND += ["\u00ab\u00bb", "''", '""', "``", "**"]
BETWEEN = [
    " ",
    "\t",
    "\u00a0",
    "\u3000",
    "\u200b",
    "\u00ad",
    "\u2060",
    "\ufeff",
    "\u200e",
    "\ufe0f",
]
LABELS = ["", "License key: ", "Lizenzschl\u00fcssel: ", "\u8bb8\u53ef\u8bc1\uff1a"]
LABELS += [
    "\u041a\u043b\u044e\u0447 ",
    "Here it is\n",
    "- ",
    "1. ",
    "\u0645\u0641\u062a\u0627\u062d: ",
]
AFTER = ["", ".", ",", ";", "!", "?", "\u3002", "\u2026", " \u2014", "\u060c"]


@st.composite
def mangled(draw: st.DrawFn, keys: st.SearchStrategy[str]) -> tuple[str, str]:
    """A key, and what is left of it after chat, mail programs and people."""
    key = draw(keys)
    text = draw(st.sampled_from(["rw1", "RW1", "Rw1", "rW1"])) if key[:3] == "rw1" else key[:3]
    for character in key[3:]:
        choices = [character] * 3 + INSIDE.get(character, [])
        text += draw(st.sampled_from(choices)) if len(choices) > 3 else character
    for pair in draw(st.lists(st.sampled_from(AROUND), max_size=3)):
        text = pair[0] + text + pair[1]
    text = draw(st.sampled_from(LABELS)) + text + draw(st.sampled_from(AFTER))
    for at in sorted(draw(st.lists(st.integers(0, 200), max_size=6)), reverse=True):
        if text[at : at + 1] != "\n":
            text = text[:at] + draw(st.sampled_from(BETWEEN)) + text[at:]
    return key, draw(sent(st.just(wrapped(draw, text))))


def wrapped(draw: st.DrawFn, text: str) -> str:
    width = draw(st.sampled_from([len(text) + 1, 1, 2, 7, 40, 60, 72]))
    end = draw(st.sampled_from(["\n", "\r\n", "\r", "\n   "]))
    return end.join(text[at : at + width] for at in range(0, len(text), width))


@st.composite
def sent(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> str:
    """As it arrives: answered, escaped, encoded, answered again."""
    text = draw(texts)
    if draw(st.booleans()):
        text = replied(text, draw(st.sampled_from(["> ", ">", ">> ", " > > "])))
    if draw(st.booleans()):
        text = html.escape(text)
    if draw(st.booleans()):
        text = quopri.encodestring(text.encode()).decode()
    if draw(st.booleans()):
        text = replied(text, "> ")
    return html.escape(text) if draw(st.booleans()) else text


def replied(text: str, mark: str) -> str:
    return "".join(mark + line for line in text.splitlines(keepends=True))


@given(mangled(st.just(KEY)))
def test_a_mangled_key_reads_as_the_key(key_and_text: tuple[str, str]) -> None:
    _, text = key_and_text
    assert clean_key(text) == KEY
    assert reads(text) == "key"


@st.composite
def changed(draw: st.DrawFn) -> str:
    """The key with one of its characters changed or missing, or with one too many inside."""
    at, instead = draw(st.integers(0, len(KEY) - 1)), draw(st.booleans())
    character = draw(st.sampled_from(ALPHABET if at == 0 or not instead else ["", *ALPHABET]))
    key = KEY[:at] + character + KEY[at + (instead or at == 0) :]
    return f"{KEY}A" if f"rw1{key[3:]}" == KEY else key


@given(mangled(changed()))
def test_a_changed_key_is_never_mangled_into_a_good_one(key_and_text: tuple[str, str]) -> None:
    """Somebody alters a character and hopes that undoing what mail does puts it right."""
    key, text = key_and_text
    assert key != KEY
    assert clean_key(text) != KEY
    assert reads(text) in {"no key", "two"}


@given(mangled(st.just(KEY)), mangled(st.just(KEY)))
def test_two_mangled_keys_are_told_as_two(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert reads(f"{one[1]}\n{other[1]}") == "two"


@given(st.text())
def test_no_text_whatever_is_worse_than_no_key(text: str) -> None:
    assert reads(text) in {"no key", "nothing"}


LONG = [
    "=",
    "=\n",
    "> ",
    "&",
    "&a",
    "& #",
    "&amp;",
    "\\",
    "a\\",
    "r ",
    "rw1 . e",
    "rw1.eyJ",
    "-",
    "(",
]
LONG += ["=3D", "&#45;", " \r", "\u200b", ">>>", "a>\n", "1.\\", "\u00a0>"]


@pytest.mark.parametrize("part", LONG)
def test_the_work_grows_with_the_length_and_no_faster(part: str) -> None:
    """Somebody without an account sends the longest text that is read (64 KiB), and worse."""
    started = time.process_time()
    clean_key("a" + part * (1_000_000 // len(part)) + "a")
    assert time.process_time() - started < 20  # with its square in it, this takes hours


def test_a_key_in_a_sentence_is_told_from_a_host_name() -> None:
    """A reason may not hold a key; "Restart rw1.datacenter.example.com" was taken for one."""
    for text in (KEY, KEY[:-40], KEY.replace("rw1", "rw2", 1)):
        assert holds_key(f"Use {text}, please")
    assert not holds_key("Restart rw1.datacenter.example.com, which has stood still since noon")
