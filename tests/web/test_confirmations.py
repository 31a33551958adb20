"""What is asked before something is done: one value, in the dialog or on a page."""

import re
from datetime import UTC, datetime

import pytest
from flask import Flask

from app.models import AgentSession, TemporaryLicense, User
from app.portal.confirmations import Confirmation, Link, LogOuts, Name, Sentence, ask
from tests.conftest import NOW
from tests.web.pages import words

ADDRESS = "/users/7/disable"
both = pytest.mark.parametrize("htmx", [False, True], ids=["page", "dialog"])


def confirmation(**fields: object) -> Confirmation:
    usual = {
        "title": "Disable Pat?",
        "button": "Disable user",
        "crumbs": [("People", "/users"), ("Pat", "/users/7")],
    }
    return Confirmation(**(usual | fields))


def asked(app: Flask, what: Confirmation, *, htmx: bool) -> str:
    headers = {"HX-Request": "true"} if htmx else {}
    with app.test_request_context(ADDRESS, headers=headers):
        return ask(what).get_data(as_text=True).partition('<dialog class="dialog"')[0]


def form_in(text: str) -> str:
    return re.search(rf'<form method="post"\s+action="{ADDRESS}".*?</form>', text, re.DOTALL)[0]


def test_it_is_a_page_with_a_title_and_a_way_back(app: Flask) -> None:
    text = asked(app, confirmation(), htmx=False)
    assert "<title>Disable Pat · Rolling Window</title>" in text
    assert re.search(r"<h1[^>]*>Disable Pat\?</h1>", text)
    assert re.search(r'<a class="btn" href="/users/7">Cancel</a>', text)
    assert "data-dialog-close" not in text


def test_in_the_dialog_it_names_and_describes_it_and_can_be_closed(app: Flask) -> None:
    text = asked(app, confirmation(sentences=["They can no longer sign in."]), htmx=True)
    assert "<html" not in text
    assert 'id="dialog-title">Disable Pat?</h2>' in text
    assert re.search(r'id="dialog-text">\s*<p>They can no longer sign in.</p>\s*</div>', text)
    assert re.search(r"<button[^>]*data-dialog-close[^>]*>Cancel</button>", text)
    assert 'href="/users/7"' not in text


@both
def test_it_is_done_at_the_address_that_it_was_asked_at(app: Flask, htmx: bool) -> None:
    form = form_in(asked(app, confirmation(), htmx=htmx))
    assert 'name="csrf_token"' in form
    assert re.search(r'<button type="submit"\s+class="btn btn-danger">Disable user</button>', form)
    assert "hx-" not in form


@both
def test_what_harms_nobody_does_not_look_dangerous(app: Flask, htmx: bool) -> None:
    form = form_in(asked(app, confirmation(harmless=True), htmx=htmx))
    assert "btn-danger" not in form


def test_from_the_dialog_it_replaces_a_part_of_the_page_behind(app: Flask) -> None:
    form = form_in(asked(app, confirmation(replaces="people", sends="#page, #text"), htmx=True))
    assert f'hx-post="{ADDRESS}"' in form
    assert 'hx-target="#people"' in form
    assert 'hx-include="#page, #text"' in form
    without = form_in(asked(app, confirmation(replaces="people"), htmx=True))
    assert "hx-include" not in without


def test_on_the_page_there_is_no_part_to_replace(app: Flask) -> None:
    assert "hx-" not in form_in(asked(app, confirmation(replaces="people"), htmx=False))


@both
def test_if_there_is_nothing_to_do_it_says_so_and_asks_nothing(app: Flask, htmx: bool) -> None:
    over: Sentence = ("Disabled on ", NOW, ". There is nothing left to do.")
    nobody = LogOuts(sessions=[], heading="Logged out:", nobody="Nobody is signed in.")
    what = confirmation(sentences=["Never."], log_outs=nobody, kept="A key.", nothing_to_do=over)
    text = asked(app, what, htmx=htmx)
    assert "Disabled on Tue 24 Nov 2026, 15:40 UTC . There is nothing left to do." in words(text)
    assert f'action="{ADDRESS}"' not in text
    for unsaid in ("Never.", "Nobody is signed in.", "A key.", "Cancel", "Disable user"):
        assert unsaid not in text
    way_out = "data-dialog-close>Close</button>" if htmx else '<a class="btn" href="/users/7">Back'
    assert way_out in text


@both
def test_a_sentence_may_have_parts_and_none_of_them_is_markup(app: Flask, htmx: bool) -> None:
    sentence: Sentence = (
        "<i> ",
        Name("<b>"),
        " until ",
        NOW,
        " on the ",
        Link("<u>", "/?a&b"),
        ".",
    )
    text = asked(app, confirmation(sentences=["<s>", sentence], kept="<p>kept"), htmx=htmx)
    for escaped in (
        "<p>&lt;s&gt;</p>",
        "<p>&lt;i&gt; <strong><bdi>&lt;b&gt;</bdi></strong> until <time",
        'on the <a href="/?a&amp;b">&lt;u&gt;</a>.</p>',
        "<p>&lt;p&gt;kept</p>",
    ):
        assert escaped in text


def session_of(email: str, hostname: str, license: TemporaryLicense | None) -> AgentSession:
    return AgentSession(
        user=User(email=email),
        hostname=hostname,
        mac_id="00:1A:2B:3C:4D:5E",
        started_at=datetime(2026, 11, 24, 9, 5, tzinfo=UTC),
        temporary_license=license,
    )


@both
@pytest.mark.parametrize("names_license", [True, False])
def test_it_says_who_would_be_logged_out(app: Flask, names_license: bool, htmx: bool) -> None:
    sessions = [
        session_of("pat@example.com", "<LAPTOP>", TemporaryLicense(key_id="K7QF-3MXP")),
        session_of("carl@example.com", "", None),
    ]
    people = LogOuts(
        sessions=sessions, heading="Now:", nobody="Nobody.", names_license=names_license
    )
    text = asked(app, confirmation(log_outs=people), htmx=htmx)
    listed = [words(item) for item in re.findall(r"<li>\s*<span.*?</li>", text, re.DOTALL)]
    pat = "pat@example.com on <LAPTOP>, since 24 Nov 09:05 UTC"
    carl = "carl@example.com on 00:1A:2B:3C:4D:5E, since 24 Nov 09:05 UTC"
    if names_license:
        pat += " , under the temporary key K7QF-3MXP"
        carl += " , under the machine's permanent license"
    assert listed == [pat, carl]
    assert "<strong>Now:</strong>" in text
    assert "Nobody." not in text


@both
def test_or_that_it_is_nobody(app: Flask, htmx: bool) -> None:
    nobody = LogOuts(sessions=[], heading="Now:", nobody="Nobody is signed in.")
    text = asked(app, confirmation(log_outs=nobody), htmx=htmx)
    assert "<p>Nobody is signed in.</p>" in text
    assert "Now:" not in text
