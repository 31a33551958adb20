"""The page Keys: filters in the address, the keys of all organisations, several revoked at once."""

import re
from datetime import timedelta
from html import unescape

import pytest
from flask import Flask
from sqlalchemy import select

from app.extensions import db
from app.licenses.option_rules import KeyOptions
from app.models import TemporaryLicense
from tests.agents.stage import HOUR, issue
from tests.conftest import NOW, Cast, Visitor
from tests.web.pages import words

pytestmark = pytest.mark.usefixtures("clock")
REASON = "Checks the till after the update of Friday night, and stays until it is done"


@pytest.fixture
def keys(app: Flask, cast: Cast) -> dict[str, str]:
    """Key IDs: one of Bolt that any may use, Pat's of Acme, one of Acme that starts later."""
    pats = KeyOptions(2 * HOUR, recipient=cast.pat, reason=REASON, sign_ins=3)
    later = KeyOptions(HOUR, starts_at=NOW + timedelta(hours=5))
    with app.app_context():
        session = db.session()
        return {
            "bolt": issue(session, cast, cast.bolt, ttl=HOUR).key_id,
            "pats": issue(session, cast, options=pats, ttl=2 * HOUR).key_id,
            "later": issue(session, cast, options=later).key_id,
        }


def listed(page: str) -> list[str]:
    """The Key IDs of the rows, in their order."""
    return re.findall(r'<(?:a|span) class="key-id"[^>]*>([^<]+)<', page)


def test_each_row_says_what_tells_a_key_apart_and_leads_to_its_license_tab(
    ada: Visitor, cast: Cast, keys: dict[str, str]
) -> None:
    page = ada.get("/keys")
    assert "<title>Keys · Rolling Window</title>" in page.text
    assert listed(page.text) == [keys["later"], keys["pats"], keys["bolt"]]
    said = words(page)
    for part in ("Acme", "Bolt", cast.pat, "Checks the till", "3 sign-ins left", "Active for 2 hr"):
        assert part in said
    assert "until it is done" not in said
    tab = f'href="/projects/{cast.acme_project}/license?key={keys["pats"]}"'
    assert tab in page.text


def test_the_address_holds_the_search_and_each_filter_can_be_taken_off(
    ada: Visitor, keys: dict[str, str]
) -> None:
    page = ada.get("/keys?state=active&organisation=acme&for=pat@example.com&sort=soonest")
    assert listed(page.text) == [keys["pats"]]
    chips = r'<a class="btn btn-sm"\s+href="([^"]+)">(.*?)</a>'
    links = {
        words(text).removeprefix("Take off: "): unescape(href)
        for href, text in re.findall(chips, page.text, flags=re.DOTALL)
    }
    assert links.keys() == {"Active", "acme", "for pat@example.com"}
    assert links["acme"] == "/keys?state=active&for=pat@example.com&sort=soonest"
    assert listed(ada.get(links["for pat@example.com"]).text) == [keys["pats"]]
    assert listed(ada.get("/keys?state=active&sort=soonest").text) == [keys["bolt"], keys["pats"]]
    assert listed(ada.get(f"/keys?q={keys['bolt'].lower()}").text) == [keys["bolt"]]


def test_what_makes_no_sense_is_told_or_ignored(ada: Visitor, keys: dict[str, str]) -> None:
    page = ada.get("/keys?organisation=Nobody+Ltd")
    assert page.status_code == 422
    assert "No organisation has the ID or the name Nobody Ltd." in words(page)
    assert "No such key" in words(ada.get("/keys?state=revoked"))
    nonsense = "/keys?state=x&within=9y&sort=%00&after=99999999999&before=-1&q=%0a"
    assert listed(ada.get(nonsense).text) == [keys["later"], keys["pats"], keys["bolt"]]
    assert ada.get("/keys?after=999999").status_code == 200


def test_exactly_the_keys_that_are_ticked_are_previewed_and_revoked(
    app: Flask, ada: Visitor, keys: dict[str, str]
) -> None:
    preview = ada.get(f"/revoke?key=&key={keys['bolt']}&key={keys['pats'].lower()}")
    assert preview.status_code == 200
    assert set(listed(preview.text)) == {keys["bolt"], keys["pats"]}
    chosen = re.search(r'name="key"\s+value="([^"]*)"', preview.text)
    assert chosen
    ids = f"{keys['bolt']} {keys['pats']}"
    form = {"key": chosen[1], "previewed": ids, "reason": "Lost laptops"}
    answer = ada.post("/revoke", form)
    assert answer.status_code == 303
    assert "Lost laptops" in words(ada.get(answer.location))
    with app.app_context():
        query = select(TemporaryLicense.key_id).where(TemporaryLicense.is_open(NOW))
        assert list(db.session.scalars(query)) == [keys["later"]]


def test_a_form_cannot_revoke_a_key_that_was_not_ticked(
    app: Flask, ada: Visitor, keys: dict[str, str]
) -> None:
    """A form is doctored: the keys that it says were previewed are not those that were chosen."""
    form = {"key": keys["bolt"], "previewed": keys["pats"], "reason": "Sly"}
    assert ada.post("/revoke", form).status_code == 303
    with app.app_context():
        query = select(TemporaryLicense.key_id).where(TemporaryLicense.revoked_at.is_not(None))
        assert list(db.session.scalars(query)) == []


def test_of_none_that_is_ticked_and_of_one_unknown_the_next_page_says_so(ada: Visitor) -> None:
    for query, sentence in (
        ("key=", "No key was chosen."),
        ("key=&key=ZZZZ-ZZZZ", "There is no key ZZZZ-ZZZZ."),
        ("key=%3Cb%3E", "There is no key <b>."),
    ):
        page = ada.get(f"/revoke?{query}")
        assert page.status_code == 422
        assert sentence in words(page)


def test_an_auditor_reads_key_ids_and_gets_no_buttons(
    audrey: Visitor, keys: dict[str, str]
) -> None:
    page = audrey.get("/keys")
    assert set(listed(page.text)) == set(keys.values())
    assert 'name="key"' not in page.text
    assert not re.search(r"<button[^>]*>[^<]*(<svg.*?</svg>)?\s*Revoke\s*<", page.text)
    assert "rw1." not in page.text


def test_without_any_key_the_page_says_where_they_are_made(ada: Visitor) -> None:
    assert "Keys are generated on a project's License tab." in words(ada.get("/keys"))
