"""Signing in to the portal, and out of it."""

import re
from io import BytesIO

import pytest
from flask import Flask

from app.accounts.users import disable_user
from app.agents.people import reset_password
from app.extensions import db
from app.models import AuditEvent, WebSession
from tests.conftest import PASSWORD, Cast, Clock, Visitor

IDLE = 1800
LONGEST = 43200


def is_signed_in(visitor: Visitor) -> bool:
    answer = visitor.get("/audit")
    assert answer.status_code in (200, 303)
    return answer.status_code == 200


def test_a_super_admin_signs_in_and_lands_on_home(visitor: Visitor, cast: Cast) -> None:
    answer = visitor.sign_in(cast.ada)
    assert answer.status_code == 303
    assert answer.location == "/"
    assert is_signed_in(visitor)


def test_an_auditor_signs_in_too(visitor: Visitor, cast: Cast) -> None:
    assert visitor.sign_in(cast.audrey).status_code == 303


def test_the_page_says_where_partners_go(visitor: Visitor) -> None:
    page = visitor.get("/login")
    assert page.status_code == 200
    assert "<title>Sign in · Rolling Window</title>" in page.text
    assert 'href="/agent"' in page.text


def test_a_wrong_password_is_401_with_the_e_mail_kept(visitor: Visitor, cast: Cast) -> None:
    answer = visitor.sign_in(cast.ada, "wrong")
    assert answer.status_code == 401
    assert f'value="{cast.ada}"' in answer.text
    assert "E-mail or password is wrong" in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert "wrong" not in re.findall(r'<input[^>]*name="password"[^>]*>', answer.text)[0]
    assert not is_signed_in(visitor)


def test_an_unknown_account_gets_the_answer_of_a_wrong_password(
    visitor: Visitor, cast: Cast, clock: Clock
) -> None:
    unknown = visitor.sign_in("nobody@example.com")
    wrong = visitor.sign_in(cast.ada, "wrong")

    def without_what_was_typed(page: str) -> str:
        page = re.sub(r'value="[^"]*"', "", page)
        return re.sub(r"data-server-now=\S+|X-CSRFToken\S+ \S+", "", page)

    assert unknown.status_code == wrong.status_code == 401
    assert without_what_was_typed(unknown.text) == without_what_was_typed(wrong.text)


def test_a_disabled_user_is_told_the_same(
    app: Flask, visitor: Visitor, cast: Cast, clock: Clock
) -> None:
    with app.app_context():
        disable_user(db.session(), email=cast.ada, actor=cast.actor(cast.grace), now=clock.now())
        db.session.commit()
    answer = visitor.sign_in(cast.ada)
    assert answer.status_code == 401
    assert "E-mail or password is wrong" in answer.text


def test_blank_fields_are_422_with_a_sentence_beside_each(visitor: Visitor) -> None:
    answer = visitor.post("/login", {"email": "", "password": ""})
    assert answer.status_code == 422
    assert "Enter your e-mail." in answer.text
    assert "Enter your password." in answer.text


def test_what_is_too_long_is_422_with_the_e_mail_kept(visitor: Visitor, cast: Cast) -> None:
    answer = visitor.post("/login", {"email": cast.ada, "password": "x" * 1001})
    assert answer.status_code == 422
    assert "at most 1000 characters" in answer.text
    assert f'value="{cast.ada}"' in answer.text
    answer = visitor.post("/login", {"email": "x" * 255, "password": "x"})
    assert answer.status_code == 422
    assert "at most 254 characters" in answer.text


@pytest.mark.parametrize(
    "email",
    ["\x00", "ada\x00@example.com\x00\x01", "\u202eada@example.com", "😀" * 100, "'--", "%s%n"],
)
def test_strange_text_in_the_e_mail_is_no_trouble(visitor: Visitor, cast: Cast, email: str) -> None:
    assert visitor.post("/login", {"email": email, "password": "wrong"}).status_code == 401


def test_a_file_in_the_place_of_the_password_is_no_password(visitor: Visitor, cast: Cast) -> None:
    answer = visitor.post("/login", {"email": cast.ada, "password": (BytesIO(b"x"), "x.txt")})
    assert answer.status_code == 422


@pytest.mark.parametrize("asked", ["", "/", "/audit", "/accessories", "//evil.example"])
@pytest.mark.parametrize("person", ["pat", "dev"])
def test_partners_and_developers_are_led_to_their_own_page(
    visitor: Visitor, cast: Cast, person: str, asked: str
) -> None:
    fields = {"email": getattr(cast, person), "password": PASSWORD, "next": asked}
    assert visitor.post("/login", fields).location == "/access"
    assert visitor.get("/login").location == "/access"
    refused = visitor.get("/")
    assert refused.status_code == 403
    assert 'href="/access">Go to My access</a>' in refused.text


def test_a_partner_comes_back_to_a_page_of_theirs(visitor: Visitor, cast: Cast) -> None:
    fields = {"email": cast.pat, "password": PASSWORD, "next": "/access?more=K7QF-3MXP-9T2D"}
    assert visitor.post("/login", fields).location == "/access?more=K7QF-3MXP-9T2D"


def test_a_client_user_is_sent_to_the_op_agent(visitor: Visitor, cast: Cast) -> None:
    answer = visitor.sign_in(cast.carl)
    assert answer.status_code == 401
    assert "Sign in on the OP Agent." in answer.text
    assert not is_signed_in(visitor)
    with visitor.client.session_transaction() as kept:
        assert "_user_id" not in kept


def test_a_partner_with_a_wrong_password_learns_nothing_about_the_account(
    visitor: Visitor, cast: Cast
) -> None:
    assert "E-mail or password is wrong" in visitor.sign_in(cast.pat, "wrong").text


def test_case_and_space_around_the_e_mail_do_not_matter(visitor: Visitor, cast: Cast) -> None:
    assert visitor.sign_in(f"  {cast.ada.upper()} ").status_code == 303


def test_after_signing_in_one_is_where_one_wanted_to_go(visitor: Visitor, cast: Cast) -> None:
    asked = visitor.get("/audit?page=2")
    assert asked.status_code == 303
    assert asked.location == "/login?next=%2Faudit%3Fpage%3D2"
    page = visitor.get(asked.location)
    assert 'value="/audit?page=2"' in page.text
    assert visitor.sign_in(cast.ada, next="/audit?page=2").location == "/audit?page=2"


def test_the_way_back_survives_a_wrong_password(visitor: Visitor, cast: Cast) -> None:
    answer = visitor.sign_in(cast.ada, "wrong", next="/audit?page=2")
    assert 'value="/audit?page=2"' in answer.text


def test_who_is_signed_in_needs_no_sign_in_page(ada: Visitor) -> None:
    answer = ada.get("/login?next=/audit")
    assert (answer.status_code, answer.location) == (303, "/audit")


def test_signing_in_again_ends_the_sign_in_before(app: Flask, ada: Visitor, cast: Cast) -> None:
    old = ada.client.get_cookie("rolling_window").value
    assert ada.post("/login", {"email": cast.audrey, "password": PASSWORD}).status_code == 303
    assert is_signed_in(ada)
    thief = Visitor(app.test_client())
    thief.client.set_cookie("rolling_window", old)
    assert not is_signed_in(thief)


def test_signing_out_says_so_and_leads_to_the_sign_in_page(ada: Visitor) -> None:
    answer = ada.post("/logout")
    assert (answer.status_code, answer.location) == (303, "/login")
    assert "You are signed out." in ada.get("/login").text
    assert not is_signed_in(ada)


def test_signing_out_twice_is_no_trouble(ada: Visitor) -> None:
    ada.post("/logout")
    ada.get("/login")
    assert ada.post("/logout").status_code == 303


def test_signing_out_needs_a_form(ada: Visitor) -> None:
    assert ada.get("/logout").status_code == 405
    ada.csrf_token = "forged"
    assert ada.post("/logout").status_code == 400
    assert is_signed_in(ada)


def test_a_session_ends_after_its_time_without_activity(clock: Clock, ada: Visitor) -> None:
    assert is_signed_in(ada)
    clock.advance(seconds=IDLE - 1)
    assert is_signed_in(ada)
    clock.advance(seconds=IDLE)
    assert not is_signed_in(ada)


def test_a_session_lives_as_long_as_there_is_activity(clock: Clock, ada: Visitor) -> None:
    for _ in range(5):
        clock.advance(seconds=IDLE - 1)
        assert is_signed_in(ada)


def test_what_a_page_asks_for_by_itself_is_no_activity(clock: Clock, ada: Visitor) -> None:
    clock.advance(seconds=IDLE - 1)
    assert ada.client.get("/audit", headers={"X-Timer": "1"}).status_code == 200
    clock.advance(seconds=1)
    assert not is_signed_in(ada)


def test_a_session_ends_at_its_longest_whatever_happens(clock: Clock, ada: Visitor) -> None:
    for _ in range(LONGEST // 1000):
        clock.advance(seconds=1000)
        assert is_signed_in(ada)
    clock.advance(seconds=LONGEST % 1000 - 1)
    assert is_signed_in(ada)
    clock.advance(seconds=1)
    assert not is_signed_in(ada)


def test_activity_is_noted_at_most_every_half_minute(
    app: Flask, clock: Clock, ada: Visitor
) -> None:
    def last_active() -> object:
        with app.app_context():
            return (
                db.session.query(WebSession).order_by(WebSession.id.desc()).first().last_active_at
            )

    began = last_active()
    clock.advance(seconds=29)
    ada.get("/audit")
    assert last_active() == began
    clock.advance(seconds=1)
    ada.get("/audit")
    assert last_active() == clock.now()


def test_a_disabled_user_is_out_at_once(app: Flask, clock: Clock, ada: Visitor, cast: Cast) -> None:
    with app.app_context():
        disable_user(db.session(), email=cast.ada, actor=cast.actor(cast.grace), now=clock.now())
        db.session.commit()
    assert not is_signed_in(ada)


def test_a_new_password_ends_every_session(
    app: Flask, clock: Clock, ada: Visitor, cast: Cast
) -> None:
    with app.app_context():
        reset_password(
            db.session(),
            email=cast.ada,
            password_hash="$argon2id$new",
            actor=cast.actor(cast.grace),
            now=clock.now(),
        )
        db.session.commit()
    assert not is_signed_in(ada)


def test_the_audit_log_has_every_sign_in_refusal_and_sign_out(
    app: Flask, visitor: Visitor, cast: Cast
) -> None:
    visitor.sign_in(cast.ada, "wrong")
    visitor.sign_in(cast.carl)
    visitor.sign_in(cast.ada)
    visitor.post("/logout")
    with app.app_context():
        events = db.session.query(AuditEvent).order_by(AuditEvent.id).all()
        told = [(event.tag, event.actor, event.data.get("reason")) for event in events]
        text = " ".join(f"{vars(event)}" for event in events)
    assert told[-4:] == [
        ("portal.sign_in_refused", cast.ada, "wrong"),
        ("portal.sign_in_refused", cast.carl, "role"),
        ("portal.signed_in", cast.ada, None),
        ("portal.signed_out", cast.ada, None),
    ]
    assert PASSWORD not in text


def guess(visitor: Visitor, email: str, times: int) -> list[int]:
    return [visitor.sign_in(email, "wrong").status_code for _ in range(times)]


def test_the_eleventh_wrong_password_in_a_minute_is_429(
    visitor: Visitor, cast: Cast, clock: Clock
) -> None:
    assert guess(visitor, cast.ada, 11) == [401] * 10 + [429]
    answer = visitor.sign_in(cast.ada, "wrong")
    assert answer.headers["Retry-After"] == "60"
    assert "Try again in 60 seconds." in answer.text
    clock.advance(seconds=59)
    assert "Try again in 1 second." in visitor.sign_in(cast.ada, "wrong").text
    assert f'value="{cast.ada}"' in answer.text


def test_retry_after_counts_down_to_the_second(visitor: Visitor, cast: Cast, clock: Clock) -> None:
    guess(visitor, cast.ada, 10)
    clock.advance(seconds=59)
    refused = visitor.sign_in(cast.ada)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    clock.advance(seconds=1)
    assert visitor.sign_in(cast.ada).status_code == 303


def test_a_single_second_is_said_as_one(visitor: Visitor, cast: Cast, clock: Clock) -> None:
    guess(visitor, cast.ada, 10)
    clock.advance(seconds=59)
    assert "Try again in 1 second." in visitor.sign_in(cast.ada).text
