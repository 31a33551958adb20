"""What holds for every answer: cookies, framing, caches, and where a key may be."""

import re
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qsl, urljoin, urlsplit

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app import create_app
from app.extensions import db
from tests.agents.stage import issue, text_of
from tests.conftest import PASSWORD, Cast, Clock, Visitor
from tests.security.stage import LINES, Line, path_of, records_of_acme, with_role
from tests.web.test_headers import check_security

PEOPLE = ("nobody", "partner", "auditor", "super_admin")
KEY_TEXT = re.compile(r"rw1\.[\w-]+\.[\w-]+\.[\w-]{86}")
PUBLISHED = ("/.well-known/",)
"""What everybody may keep, for a few seconds."""


def answers_to(
    app: Flask, cast: Cast, records: dict[str, str], person: str, **sent: object
) -> Iterator[tuple[Line, TestResponse]]:
    """What a person is answered to every line of the access matrix."""
    visitor = with_role(app, cast, person)
    for line in LINES:
        path = path_of(line.address, records)
        if line.method == "GET":
            yield line, visitor.client.get(path, **sent)
        elif line.method == "POST" and not path.startswith("/api/"):
            fields = dict(parse_qsl(line.body)) | {"csrf_token": visitor.csrf_token}
            answer = visitor.client.post(path, data=fields, **sent)
            answer.get_data()  # an export that nobody reads ends when it pleases
            yield line, answer
        else:
            body = {"data": line.body, "content_type": "application/json"} if line.body else {}
            yield line, visitor.client.open(path, method=line.method, **body, **sent)


@pytest.fixture
def records(app: Flask, cast: Cast, clock: Clock) -> dict[str, str]:
    return records_of_acme(app, cast)


@pytest.mark.parametrize("person", PEOPLE)
def test_no_answer_can_be_framed_and_none_runs_a_foreign_script(
    app: Flask, cast: Cast, records: dict[str, str], person: str
) -> None:
    """Mallory lays an invisible frame of the portal over a game; any page would do."""
    for line, answer in answers_to(app, cast, records, person):
        check_security(answer)
        assert "Server" not in answer.headers, line
        assert "X-Powered-By" not in answer.headers, line


def check_cookie(cookie: str, *, secure: bool) -> None:
    flags = set(cookie.split("; ")[1:])
    # How pages look, which scripts set as well.
    assert ("HttpOnly" in flags) is not cookie.startswith(("times=", "theme=")), cookie
    assert ("SameSite=Strict" if cookie.startswith("op_agent") else "SameSite=Lax") in flags, cookie
    assert ("Secure" in flags) is secure, cookie
    assert not [flag for flag in flags if flag.startswith("Domain")], cookie
    assert PASSWORD not in cookie


@pytest.mark.parametrize("person", PEOPLE)
def test_every_cookie_is_for_this_site_and_for_no_script(
    app: Flask, cast: Cast, records: dict[str, str], person: str
) -> None:
    """Mallory has got a script into some page of the site, and reads what cookies there are."""
    for _, answer in answers_to(app, cast, records, person):
        for cookie in answer.headers.getlist("Set-Cookie"):
            check_cookie(cookie, secure=False)


def test_over_https_every_cookie_is_sent_over_https_alone(
    app: Flask, cast: Cast, records: dict[str, str]
) -> None:
    """Mallory sits in the same café and has the victim's browser ask for http://."""
    portal = create_app(replace(app.extensions["config"], https=True))
    site, seen = "https://localhost", set()
    visitor = Visitor(portal.test_client())
    for line in LINES:
        if line.method == "GET":
            answer = visitor.client.get(path_of(line.address, records), base_url=site)
            for cookie in answer.headers.getlist("Set-Cookie"):
                check_cookie(cookie, secure=True)
                seen.add(cookie.partition("=")[0])
    assert seen == {"__Host-rolling_window", "op_agent_mac"}
    with portal.app_context():
        db.engine.dispose()


@pytest.mark.parametrize("person", PEOPLE)
def test_nothing_that_a_person_is_shown_is_kept_where_others_find_it(
    app: Flask, cast: Cast, records: dict[str, str], person: str
) -> None:
    """Mallory shares a proxy, or a computer, with Ada, and looks through what is kept there."""
    with_keys = 0
    for line, answer in answers_to(app, cast, records, person):
        kept = answer.headers["Cache-Control"]
        if line.address.startswith(PUBLISHED) and answer.status_code == 200:
            assert kept.startswith("public, max-age=5"), line
            continue
        assert kept in ("private, no-cache", "no-store"), line
        assert "Cookie" in answer.vary, line
        if KEY_TEXT.search(answer.text):
            with_keys += 1
            assert kept == "no-store", line
            assert person == "super_admin", line
    assert (with_keys > 0) is (person == "super_admin")


@pytest.mark.parametrize("person", PEOPLE)
def test_no_answer_leads_to_another_site(
    app: Flask, cast: Cast, records: dict[str, str], person: str
) -> None:
    """Mallory's link carries her own address in whatever the portal might take for the next one,
    and her page is what the browser says that it comes from."""
    evil = "https://evil.example/x"
    names = ("next", "return", "return_to", "url", "redirect", "redirect_uri", "continue", "back")
    headers = {"Referer": evil, "HX-Current-URL": evil, "X-Forwarded-Host": "evil.example"}
    query = dict.fromkeys(names, evil)
    for line, answer in answers_to(app, cast, records, person, query_string=query, headers=headers):
        for name in ("Location", "HX-Redirect", "HX-Location", "HX-Push-Url", "HX-Replace-Url"):
            leads_to = urlsplit(urljoin("http://localhost/", answer.headers.get(name, "/")))
            assert leads_to.netloc == "localhost", (line, name)
        assert 'href="https://evil.example' not in answer.text, line
        assert 'action="https://evil.example' not in answer.text, line


def test_a_key_is_in_no_header_no_title_and_no_link(
    app: Flask, cast: Cast, clock: Clock, ada: Visitor
) -> None:
    """Mallory reads the browser's history, the proxy's log, and what the page sends as Referer: the
    key is in the body alone."""
    with app.app_context():
        license = issue(db.session(), cast)
        key = text_of(license, app)
    tab = f"/projects/{cast.acme_project}/license"
    answers = [
        ada.get(tab),
        ada.get(f"{tab}?key={license.key_id}", htmx=True),
        ada.post(tab, {"ttl": "1h"}),
        ada.post(tab, {"ttl": "1h"}, htmx=True),
    ]
    shown = 0
    for answer in answers:
        assert not KEY_TEXT.search(str(answer.headers))
        for attribute in re.findall(r'(?:href|src|action|hx-[a-z]+)="([^"]*)"', answer.text):
            assert not KEY_TEXT.search(attribute)
        assert not KEY_TEXT.search("".join(re.findall("<title>.*?</title>", answer.text)))
        shown += len(KEY_TEXT.findall(answer.text))
        assert answer.headers["Referrer-Policy"] == "same-origin"
    assert shown >= 2
    assert key in answers[0].text or key in answers[1].text
