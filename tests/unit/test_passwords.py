"""Which passwords are taken, and how they are hashed."""

import time
from contextlib import suppress

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st

from app.accounts import passwords
from app.accounts.passwords import hash_anew, hash_new_password, password_matches
from app.core.errors import InvalidInput

ADA = {"email": "ada.lovelace@example.com", "name": "Ada Lovelace"}
LENGTH = "A password has 10 to 1,000 characters."
COMMON = "That password is too easy to guess."
TAKEN = [
    "correct horse battery",
    "velvet harbour 42",
    "Tr0ub4dour&3x",
    "päss wörd 1",
    "只有我知道的一句很长的密码",
    "x7" + "qm4zk9w2" * 120,
    " spaces at both ends ",
]
REFUSED = [
    ("", LENGTH),
    ("pK4!x9qZ7", LENGTH),
    ("velvet harbour " * 67, LENGTH),
    ("password123", COMMON),
    ("Password123!", COMMON),
    ("P@ssw0rd2026", COMMON),
    ("qwertyuiop", COMMON),
    ("1234567890", COMMON),
    ("aaaaaaaaaaaaaaaaaaaa", COMMON),
    ("abc" * 300, COMMON),
    ("\x00" * 12, COMMON),
    ("iloveyou2026", COMMON),
    ("ada.lovelace@example.com", COMMON),
    ("ADA.LOVELACE@example.com", COMMON),
    ("ada.lovelace1", COMMON),
    ("adalovelace", COMMON),
    ("Ada Lovelace", COMMON),
    ("lovelace2026", COMMON),
    ("example.com1", COMMON),
    ("RollingWindow1!", COMMON),
    ("rolling window", COMMON),
]


@pytest.mark.parametrize("password", TAKEN)
def test_a_password_that_is_not_easily_guessed_is_taken(password: str) -> None:
    assert password_matches(hash_new_password(password, **ADA), password)


@pytest.mark.parametrize(("password", "sentence"), REFUSED)
def test_one_that_is_too_short_too_long_or_common_is_refused(password: str, sentence: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        hash_new_password(password, **ADA)
    assert refused.value.field == "password"
    assert refused.value.detail.startswith(sentence)
    assert not password or password not in refused.value.detail


def test_ten_and_a_thousand_characters_are_taken() -> None:
    for password in ("pK4!x9qZ7w", "pK4!x9qZ7w" * 3 + "velvet harbour " * 64 + "1234567890"):
        assert len(password) in (10, 1000)
        assert hash_new_password(password, **ADA)


def test_somebody_elses_name_is_no_known_word() -> None:
    assert hash_new_password("lovelace-babbage", email="bob@example.com")
    with pytest.raises(InvalidInput):
        hash_new_password("lovelace-babbage", email="lovelace-babbage@example.com")


@given(st.text(min_size=10, max_size=80))
def test_any_text_is_taken_or_refused_and_nothing_else(text: str) -> None:
    with suppress(InvalidInput):
        assert hash_new_password(text, **ADA)


@pytest.mark.parametrize("piece", ["a", "4@8({[<369!1|70$5+2x", "1/1/11", "P@ssw0rd", "correct "])
def test_looking_at_the_longest_password_takes_no_time_worth_mentioning(piece: str) -> None:
    """An attacker sends a thousand characters that are each a letter in disguise."""
    began = time.process_time()
    with suppress(InvalidInput):
        hash_new_password((piece * 1000)[:1000], **ADA)
    assert time.process_time() - began < 10


def test_a_hash_by_other_parameters_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    old = passwords.hash_password("correct horse battery")
    assert hash_anew(old, "correct horse battery") is None
    stronger = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    monkeypatch.setattr(passwords, "hasher", stronger)
    new = hash_anew(old, "correct horse battery")
    assert new
    assert "m=16,t=2" in new
    assert password_matches(new, "correct horse battery")
