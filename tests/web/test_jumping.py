"""Search or jump to: what is found, for whom, and where it leads."""

import re
from html import unescape

import pytest
from flask import Flask

from app.core.permissions import ROLE_LABELS
from app.core.text import fold
from app.extensions import db
from app.models import User
from app.portal.jumping import PAGES, PALETTE
from tests.conftest import Cast, Visitor
from tests.web.pages import issued, words

pytestmark = pytest.mark.usefixtures("clock")
FOR_PALETTE = {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Target": PALETTE}


def found(page: str) -> list[tuple[str, str]]:
    """The options of the palette: what they say, and where they lead."""
    options = r'<a class="palette-option"[^>]*href="([^"]+)">(.*?)</a>'
    return [(words(text), unescape(href)) for href, text in re.findall(options, page, re.DOTALL)]


def look_up(visitor: Visitor, text: str) -> list[tuple[str, str]]:
    answer = visitor.client.get("/search", query_string={"q": text}, headers=FOR_PALETTE)
    assert answer.status_code == 200
    assert "<html" not in answer.text
    return found(answer.text)


def test_a_projects_first_action_is_its_license_tab(ada: Visitor, cast: Cast) -> None:
    first, *others = look_up(ada, "acme")
    assert first[1] == f"/projects/{cast.acme_project}/license"
    addresses = [address for _, address in others]
    assert f"/projects/{cast.acme_project}/agents" in addresses
    assert f"/keys?organisation={cast.acme}" in addresses


def test_a_key_id_in_any_spelling_leads_to_the_key(app: Flask, ada: Visitor, cast: Cast) -> None:
    key_id = issued(app, cast, cast.bolt)
    first, *_ = look_up(ada, f" {key_id.lower()} ")
    assert first == (
        f"{key_id} Active · Bolt & Söhne",
        f"/projects/{cast.bolt_project}/license?key={key_id}",
    )


def test_nothing_typed_lists_the_pages(ada: Visitor) -> None:
    assert [name for name, _ in look_up(ada, "")] == [page.name for page in PAGES]


def test_each_page_is_there_for_whoever_may_open_it(ada: Visitor, audrey: Visitor) -> None:
    """An auditor is shown no page that would refuse them, and a super admin every one."""
    for visitor in (ada, audrey):
        for _, address in look_up(visitor, ""):
            assert visitor.get(address).status_code == 200
    hidden = {name for name, _ in look_up(ada, "")} - {name for name, _ in look_up(audrey, "")}
    assert hidden == {"New project", "Import", "New user", "Invite"}


def test_people_are_found_as_the_users_page_finds_them(
    app: Flask, ada: Visitor, audrey: Visitor, cast: Cast
) -> None:
    with app.app_context():
        pat = db.session.get_one(User, cast.actor(cast.pat).user_id)
        pat.name, pat.search_text = "Zoë <b>", fold("Zoë <b> pat@example.com")
        db.session.commit()
        address, role = f"/users/{pat.id}", ROLE_LABELS[pat.role]
    for visitor in (ada, audrey):
        assert look_up(visitor, "zoe") == [(f"Zoë <b> {role} · {cast.pat}", address)]


@pytest.mark.parametrize("person", ["pat", "dev", "carl"])
def test_whoever_has_no_portal_learns_nothing(app: Flask, cast: Cast, person: str) -> None:
    """A partner asks the palette's address for the organisations that the portal knows."""
    visitor = Visitor(app.test_client())
    visitor.sign_in(getattr(cast, person))
    answer = visitor.client.get("/search?q=acme", headers=FOR_PALETTE)
    assert answer.status_code in (401, 403)
    assert "Acme" not in answer.text


def test_without_javascript_it_is_a_page_that_the_top_bar_links(ada: Visitor, cast: Cast) -> None:
    assert re.search(r'<a class="nav-link no-js-only"\s+href="/search">', ada.get("/audit").text)
    page = ada.get("/search?q=acme")
    assert "<title>Search · Rolling Window</title>" in page.text
    assert f'href="/projects/{cast.acme_project}/license"' in page.text
    assert "Nothing found" in words(ada.get("/search?q=no-such-thing"))
    for text in ("x" * 300, "%00", "%F0%9F%92%A5", "%25_'--"):
        assert ada.get(f"/search?q={text}").status_code == 200


def test_homes_search_opens_a_single_hit_and_lists_several(ada: Visitor, cast: Cast) -> None:
    tab = f"/projects/{cast.acme_project}/license#generate-and-copy"
    single = ada.get("/?q=acme")
    assert (single.status_code, single.location) == (303, tab)
    hits = ada.client.get("/?q=acme", headers=FOR_PALETTE | {"HX-Target": "div#hits"})
    assert hits.status_code == 200
    assert f'href="{tab}"' in hits.text
    assert "No projects match." in words(ada.get("/?q=no-such-thing"))
    several = ada.get("/?q=o")
    assert several.status_code == 200
    assert several.text.count("#generate-and-copy") == 2
