"""Home: what matters now, at a glance."""

import html
import re
from datetime import date, timedelta

from flask import Flask
from sqlalchemy import event, select

from app.core.tokens import hash_token, new_token
from app.extensions import db
from app.licenses.services import revoke_license
from app.models import Agent, AgentSession, Project
from tests.agents.stage import MAC, issue, signed_in
from tests.conftest import NOW, Cast, Clock, Visitor
from tests.web.pages import issued


def tiles(page: str) -> dict[str, tuple[str, str]]:
    """Each tile's words, with its number and where it leads."""
    found = re.findall(
        r'<a class="card h-100" href="([^"]+)">.*?h1">(\d+)<.*?text-secondary">([^<]+)<',
        page,
        flags=re.DOTALL,
    )
    return {label: (number, href) for href, number, label in found}


def test_the_tiles_count_and_lead_on(app: Flask, clock: Clock, cast: Cast, ada: Visitor) -> None:
    with app.app_context():
        db.session.get(Project, cast.bolt_project).plan_expires_on = date(2026, 11, 23)
        db.session.commit()
        db.session.remove()
    issued(app, cast, cast.acme)
    page = ada.get("/")
    assert page.status_code == 200
    assert "<title>Home · Rolling Window</title>" in page.text
    found = tiles(page.text)
    assert {label: number for label, (number, _) in found.items()} == {
        "total projects": "2",
        "active project": "1",
        "key active now": "1",
        "partners signed in now": "0",
    }
    for _, address in found.values():
        assert ada.get(address.replace("&amp;", "&")).status_code == 200


def test_a_partner_who_is_signed_in_is_counted_while_heard_from(
    app: Flask, clock: Clock, cast: Cast, ada: Visitor
) -> None:
    with app.app_context():
        license = issue(db.session(), cast)
        db.session.add(
            AgentSession(
                token_hash=hash_token(new_token()),
                user_id=cast.actor(cast.pat).user_id,
                organisation_id=cast.acme,
                temporary_license_id=license.id,
                mac_id="02:00:00:00:00:01",
                address="203.0.113.7",
                started_at=NOW,
                last_heard_at=NOW,
            )
        )
        db.session.commit()
        db.session.remove()
    clock.advance(seconds=899)
    page = ada.get("/")
    assert tiles(page.text)["partner signed in now"] == ("1", "/#signed-in")
    table = page.text[page.text.index('id="signed-in"') : page.text.index("Ending soon")]
    for part in (cast.pat, "Acme", f"/projects/{cast.acme_project}/agents", "45 min"):
        assert part in table
    assert re.search(r"<button[^>]*>\s*End session ", table)
    clock.advance(seconds=1)
    assert tiles(ada.get("/").text)["partners signed in now"][0] == "0"


def test_home_refreshes_itself_and_says_nothing_while_nothing_has_changed(
    app: Flask, clock: Clock, cast: Cast, ada: Visitor
) -> None:
    """It stood open all day, and said in the evening who was signed in in the morning."""
    page = ada.get("/").text
    assert 'hx-trigger="every 5s, check, countdown:end"' in page
    seen = re.search(r'name="seen"\s+value="([0-9a-f]+)"', page)[1]
    clock.advance(minutes=5)
    answer = ada.get(f"/?seen={seen}", htmx=True)
    assert (answer.status_code, answer.data) == (204, b"")
    key_id = issued(app, cast, cast.acme)
    answer = ada.get(f"/?seen={seen}", htmx=True)
    assert answer.status_code == 200
    assert "<html" not in answer.text
    assert key_id in answer.text


def test_an_auditor_sees_who_is_signed_in_and_ends_nothing(
    app: Flask, clock: Clock, cast: Cast, audrey: Visitor
) -> None:
    with app.app_context():
        signed_in(db.session(), cast.pat, issue(db.session(), cast))
        db.session.commit()
    page = audrey.get("/").text
    assert cast.pat in page
    assert "End session" not in page


def test_the_keys_that_end_soonest_stand_on_top_and_lead_to_their_license_tab(
    app: Flask, clock: Clock, cast: Cast, ada: Visitor
) -> None:
    later = issued(app, cast, cast.bolt, ttl=10800)
    soon = issued(app, cast, cast.acme, now=NOW - timedelta(minutes=50))
    over = issued(app, cast, cast.acme, now=NOW - timedelta(minutes=60))
    revoked = issued(app, cast, cast.acme, ttl=3600)
    with app.app_context():
        revoke_license(db.session(), actor=cast.actor(cast.ada), key_id=revoked, now=NOW)
        db.session.commit()
        db.session.remove()
    page = ada.get("/").text
    table = page[page.index("<table") : page.index("</table>")]
    assert re.findall(r"[0-9A-Z]{4}-[0-9A-Z]{4}(?=</a>)", table) == [soon, later]
    assert over not in table
    assert f"/projects/{cast.acme_project}/license?key={soon}" in table
    assert f"/projects/{cast.bolt_project}/license?key={later}" in table
    assert "10 min" in table
    assert "Bolt &amp; Söhne" in table
    assert "ada@example.com" in table
    assert 'data-countdown-done="Key expired"' in table


def test_a_key_leads_to_a_project_in_use_before_an_archived_one(
    app: Flask, clock: Clock, cast: Cast, ada: Visitor
) -> None:
    with app.app_context():
        old = db.session.get(Project, cast.acme_project)
        old.archived_at = NOW
        new = Project(
            organisation_id=cast.acme, name="New", search_text="", created_at=NOW, updated_at=NOW
        )
        db.session.add(new)
        db.session.commit()
        new_id = new.id
        db.session.remove()
    key_id = issued(app, cast, cast.acme)
    assert f"/projects/{new_id}/license?key={key_id}" in ada.get("/").text


def test_no_more_than_ten_keys_and_eight_events_are_listed(
    app: Flask, clock: Clock, cast: Cast, ada: Visitor
) -> None:
    for _ in range(12):
        issued(app, cast, cast.acme)
    page = ada.get("/").text
    assert page.count('class="key-id"') == 10
    timeline = page[page.index('<ul class="list-group list-group-flush">') :]
    assert timeline.count("<li ") == 8
    assert tiles(page)["keys active now"][0] == "12"


def test_recent_activity_says_who_did_what_to_what(
    app: Flask, clock: Clock, cast: Cast, ada: Visitor
) -> None:
    key_id = issued(app, cast, cast.acme)
    page = ada.get("/").text
    timeline = page[page.index('<ul class="list-group list-group-flush">') :]
    assert "Generated a temporary key" in timeline
    assert key_id in timeline
    assert "Acme" in timeline
    assert "Signed in to the portal" in timeline


def test_recent_activity_names_machines_and_people_and_not_their_licenses(
    app: Flask, clock: Clock, cast: Cast, ada: Visitor
) -> None:
    """ "Detached a machine FE6J-DGGJ" told nobody which machine: that is its license's ID."""
    machine = f"LAPTOP-7 ({MAC})"
    tab = f"/projects/{cast.acme_project}/agents"
    with app.app_context():
        signed_in(db.session(), cast.carl, hostname="LAPTOP-7")
        agent = db.session.scalars(select(Agent)).one()
        number, license_id = agent.id, agent.license.key_id
        db.session.commit()
    ada.post(f"{tab}/machines/{number}/detach")
    ada.post(f"{tab}/machines/{number}/revoke-license")
    ada.post(f"{tab}/machines/{number}/dissociate")
    ada.get("/")  # takes what was flashed, which names the license that was revoked
    said = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", ada.get("/").text)).split())
    for sentence in (
        f"Registered a machine {machine} · Acme",
        f"Signed in on an OP Agent {machine} · Acme",
        f"OP Agent session ended {cast.carl} on {machine} · Acme",
        f"Detached a machine {machine} · Acme",
        f"Revoked a machine's license {machine} · Acme",
        f"Dissociated a machine {machine} · Acme",
    ):
        assert sentence in said
    assert license_id not in said
    assert f"Key ID: {license_id}" in re.sub(r"<[^>]+>", "", ada.get("/audit").text)


def test_an_empty_portal_says_what_to_do_next(app: Flask, cast: Cast, ada: Visitor) -> None:
    page = ada.get("/").text
    assert "No key is active" in page
    assert 'href="/projects"' in page


def test_an_auditor_sees_home_and_no_key(app: Flask, cast: Cast, audrey: Visitor) -> None:
    issued(app, cast, cast.acme)
    page = audrey.get("/")
    assert page.status_code == 200
    assert "rw1." not in page.text


def test_what_people_typed_is_escaped(app: Flask, cast: Cast, ada: Visitor) -> None:
    ada.post("/login", {"email": "<script>alert(1)</script>@evil.example", "password": "x"})
    for path in ("/", "/audit"):
        page = ada.get(path).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;@evil.example" in page


def test_home_asks_the_database_the_same_few_questions_however_much_there_is(
    app: Flask, cast: Cast, ada: Visitor
) -> None:
    def questions() -> int:
        asked = []
        with app.app_context():
            engine = db.engine

        def listen(*arguments: object) -> None:
            asked.append(arguments[2])

        event.listen(engine, "before_cursor_execute", listen)
        assert ada.get("/").status_code == 200
        event.remove(engine, "before_cursor_execute", listen)
        return len(asked)

    issued(app, cast, cast.acme)
    few = questions()
    for organisation_id in [cast.acme, cast.bolt] * 5:
        issued(app, cast, organisation_id)
    assert questions() == few <= 14
