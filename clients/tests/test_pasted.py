"""Pasted keys: the portal's own cases, then any combination of what mail and people do."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolling_window_client.check import KeyState, check_key
from rolling_window_client.pasted import clean_key
from rolling_window_client.public_keys import read_jwk_set

FILE = Path(__file__).parents[2] / "tests" / "vectors" / "pasted-keys.json"
VECTORS: Any = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else None
CASES = VECTORS["cases"] if VECTORS else []

needs_vectors = pytest.mark.skipif(
    not CASES, reason=f"{FILE} is not here: the portal's pasted keys ARE NOT CHECKED"
)


def reads(text: str) -> str:
    """What is read: the key, two keys, nothing, or no key."""
    keys = read_jwk_set(json.dumps(VECTORS["jwks"]).encode())
    check = check_key(text, keys, now=datetime.fromisoformat(VECTORS["now"]))
    if check.state is KeyState.ACTIVE:
        return "key"
    for outcome, sentence in {"nothing": "No key was given.", "two": "There are two keys"}.items():
        if check.sentence.startswith(sentence):
            return outcome
    return "no key"


@needs_vectors
def test_the_portals_cases_are_there() -> None:
    assert {case["reads"] for case in CASES} == {"key", "two", "nothing", "no key"}


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_what_people_paste(case: dict[str, str]) -> None:
    assert reads(case["text"]) == case["reads"]


def mangled(draw: st.DrawFn, key: str) -> str:
    """A key after chat, mail programs and people; of each thing that they do, one or none."""
    for sign, instead in (
        ("-", ["\u2010", "\u2013", "\u2212", "\\-", "&#45;"]), ("_", ["\\_", "&lowbar;"]),
        (".", ["\\.", "&period;"]), ("rw1", ["RW1", "Rw1"]),
    ):  # fmt: skip
        key = key.replace(sign, draw(st.sampled_from([sign, *instead])), 1)
    around = draw(
        st.sampled_from(
            ["{}", "<{}>", "({}).", "\u201e{}\u201c", "**`{}`**", "\u300c{}\u300d\u3002"]
        )
    )
    label = draw(
        st.sampled_from(
            [
                "",
                "License key: ",
                "\u041a\u043b\u044e\u0447 ",
                "\u8bb8\u53ef\u8bc1\uff1a",
                "Hello,\n\n",
            ]
        )
    )
    text = label + around.format(key)
    width = draw(st.sampled_from([3, 40, 60, 1000]))
    end = draw(st.sampled_from(["\n", "\r\n", "=\r\n", " \u200b\n", "\u2028"]))
    mark = draw(st.sampled_from(["", "> ", ">> "]))
    wrapped = [text[at : at + width] for at in range(0, len(text), width)]
    text = end.join(mark + line for line in wrapped)
    return text.replace(">", "&gt;") if draw(st.booleans()) else text


@st.composite
def pasted(draw: st.DrawFn) -> str:
    return mangled(draw, VECTORS["key"])


@st.composite
def changed(draw: st.DrawFn) -> str:
    """The same of a key with another character in the place of one of its own."""
    key, at = VECTORS["key"], draw(st.integers(3, len(VECTORS["key"]) - 1))
    others = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.".replace(
        key[at], ""
    )
    return mangled(draw, key[:at] + draw(st.sampled_from(others)) + key[at + 1 :])


@needs_vectors
@given(pasted())
def test_a_mangled_key_reads_as_the_key(text: str) -> None:
    assert clean_key(text) == VECTORS["key"]


@needs_vectors
@given(changed())
def test_a_changed_key_is_never_mangled_into_a_good_one(text: str) -> None:
    assert clean_key(text) != VECTORS["key"]
    assert reads(text) == "no key"
