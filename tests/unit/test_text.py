"""E-mail addresses, and text that is cleaned or cut. Folding: test_project_rules.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.text import EMAIL_LENGTH, is_email, one_line, printable, shortened


@pytest.mark.parametrize("text", ["ada@example.com", " a@localhost ", "ä@exämple.de", "a@[::1]"])
def test_an_e_mail_address_has_one_at_sign_and_something_on_both_sides(text: str) -> None:
    assert is_email(text)


@pytest.mark.parametrize(
    "text", ["", "ada", "@x.com", "ada@", "a b@x.com", "a@b@c", "a\u200b@x.com"]
)
def test_what_is_no_e_mail_address_is_told_apart(text: str) -> None:
    assert not is_email(text)


def test_an_e_mail_address_that_cannot_be_stored_is_none() -> None:
    domain = "@b.com"
    assert is_email("a" * (EMAIL_LENGTH - len(domain)) + domain)
    assert not is_email("a" * (EMAIL_LENGTH - len(domain) + 1) + domain)


def test_what_nobody_sees_is_dropped_or_parts_words() -> None:
    assert printable(" a\x00b\u202ec d\n") == "abc d"
    assert one_line(" a\x00b \t\x7f c\n") == "a b c"


@given(st.text())
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    assert printable(printable(text)) == printable(text)
    assert one_line(one_line(text)) == one_line(text)


def test_only_what_is_too_long_is_cut_and_marked() -> None:
    assert shortened("abc", 3) == "abc"
    assert shortened("abcd", 3) == "abc…"
    assert shortened("abcd", 3, "...") == "abc..."
