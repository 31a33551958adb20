"""Signing in to the portal, and out of it."""

from tests.conftest import Cast, Visitor


def test_a_super_admin_signs_in_and_lands_on_home(visitor: Visitor, cast: Cast) -> None:
    answer = visitor.sign_in(cast.ada)
    assert answer.status_code == 303
    assert answer.location == "/"


def test_a_wrong_password_is_401_with_the_e_mail_kept(visitor: Visitor, cast: Cast) -> None:
    answer = visitor.sign_in(cast.ada, "wrong")
    assert answer.status_code == 401
    assert f'value="{cast.ada}"' in answer.text
    assert "E-mail or password is wrong" in answer.text
