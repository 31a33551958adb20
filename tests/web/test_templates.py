"""Every template can be read, is used, and makes a page that stands on its own feet."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask import Flask
from jinja2 import Undefined, meta
from markupsafe import Markup
from sqlalchemy import select
from werkzeug.routing import Rule

from app.audit.tags import AuditTag
from app.config import ROOT
from app.extensions import db
from app.licenses.revoking_many import KeySelection, revoke_keys
from app.licenses.services import revoke_license
from app.models import AuditEvent
from tests.agents.stage import issue
from tests.conftest import NOW, Cast, Clock, Visitor
from tests.security.stage import asked_for, ended_visit
from tests.web.pages import words

TEMPLATES = ROOT / "templates"
NAMES = sorted(
    file.relative_to(TEMPLATES).as_posix() for file in TEMPLATES.rglob("*") if file.is_file()
)
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source"}


def test_every_template_can_be_compiled(app: Flask) -> None:
    for name in NAMES:
        app.jinja_env.get_template(name)


def test_every_template_is_used_and_everything_used_is_there(app: Flask) -> None:
    used = {name for name in NAMES if name.startswith("macros/")}  # tests/unit/test_leftovers.py
    for file in (ROOT / "app").rglob("*.py"):
        used.update(re.findall(r'"([\w/]+\.(?:html|txt))"', file.read_text(encoding="utf-8")))
    for name in NAMES:
        source = (TEMPLATES / name).read_text(encoding="utf-8")
        used.update(meta.find_referenced_templates(app.jinja_env.parse(source)))
    assert used == set(NAMES)


def test_every_macro_that_all_templates_have_has_a_name_of_its_own() -> None:
    """Of two with one name, one would be lost."""
    sources = [file.read_text(encoding="utf-8") for file in (TEMPLATES / "macros").iterdir()]
    names = [name for source in sources for name in re.findall(r"{%-? macro (\w+)\(", source)]
    assert len(names) > 20
    assert len(names) == len(set(names))


def test_what_is_kept_of_a_macro_is_not_given_for_text_that_is_not_safe(app: Flask) -> None:
    """A client names its plan as a badge is written that is safe, so that it is not escaped."""
    with app.test_request_context():
        badge = app.jinja_env.globals["badge"]
        assert "<b>Gold</b>" in badge(Markup("<b>Gold</b>"), "primary")
        assert "<b>Gold</b>" not in badge("<b>Gold</b>", "primary")


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.named: list[str] = []
        self.labels: set[str] = set()
        self.fields: list[dict[str, str | None]] = []
        self.handlers: list[str] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag != "title" or "svg" not in self.open:  # each bar of a picture has its own
            self.tags[tag] += 1
        if attributes.get("id"):
            self.ids[attributes["id"]] += 1
        if tag == "label":
            self.labels.add(attributes.get("for", ""))
        if tag in ("input", "select", "textarea") and attributes.get("type") != "hidden":
            self.fields.append(attributes)
        for name in ("aria-labelledby", "aria-describedby", "aria-controls"):
            self.named += (attributes.get(name) or "").split()
        self.handlers += [name for name, _ in attrs if name == "style" or name.startswith("on")]
        if len(attributes) != len(attrs):
            self.wrong.append(f"<{tag}> says something twice")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> closes what is not open")


def check(text: str, path: str) -> None:
    page = Page(text)
    assert page.wrong == [], path
    assert page.open == [], path
    assert page.tags["h1"] == page.tags["main"] == page.tags["title"] == 1, path
    assert "· Rolling Window</title>" in text, path
    assert '<html lang="en"' in text, path
    assert 'skip-link" href="#main"' in text, path
    assert [name for name, count in page.ids.items() if count > 1] == [], path
    assert page.handlers == [], path
    assert page.tags["style"] == 0, path
    assert set(page.named) - set(page.ids) <= {"dialog-title", "dialog-text"}, path
    for field in page.fields:
        named = field.get("id") in page.labels or "aria-label" in field or field.get("aria-hidden")
        assert named, f"{path}: {field} has no name"
    # What a project has not got is told with the same word.
    text = re.sub(r"<dd>\s*<span[^>]*>None</span>\s*</dd>", "", text)
    assert not re.search(r"\bNone\b|\bUndefined\b|\{\{|\{%|<built-in|<bound method", text), path
    assert not re.search(r'(?:src|href|action)="(?:https?:)?//', text), path


class Unprintable(Undefined):
    """A name that no view has given: one may ask whether it is there, but not show it."""

    __str__ = Undefined._fail_with_undefined_error


@pytest.fixture
def strict(app: Flask) -> Iterator[None]:
    """A name that no view has given is an error where it is shown, not an empty place."""
    lenient = app.jinja_env.undefined
    app.jinja_env.undefined = Unprintable
    app.jinja_env.cache.clear()
    yield
    app.jinja_env.undefined = lenient
    app.jinja_env.cache.clear()


@pytest.fixture
def keys(app: Flask, cast: Cast, clock: Clock) -> str:
    """An active key, an expired one and a revoked one of Acme, and one of Bolt that was revoked
    with all others there; the ID of the active one."""
    with app.app_context():
        ids = [
            issue(db.session(), cast, now=NOW - ago).key_id
            for ago in (timedelta(0), timedelta(hours=2), timedelta(minutes=1))
        ]
        revoke_license(db.session(), actor=cast.actor(cast.ada), key_id=ids[2], now=NOW)
        revoke_keys(
            db.session(),
            actor=cast.actor(cast.ada),
            selection=KeySelection(organisation=cast.bolt),
            key_ids=[issue(db.session(), cast, cast.bolt).key_id],
            reason="Over",
            clock=lambda: NOW,
        )
        db.session.commit()
        db.session.remove()
    return ids[0]


def pages(app: Flask, cast: Cast, key: str) -> list[str]:
    """An address of every page there is."""
    values = {"project_id": cast.acme_project, "key_id": key, "token": "unknown"}
    values["user_id"] = cast.actor(cast.pat).user_id
    values |= dict.fromkeys(("session_id", "agent_id", "number"), 1)
    values["user_id"] = cast.actor(cast.grace).user_id
    with app.app_context():
        of_many = select(AuditEvent.id).where(AuditEvent.tag == AuditTag.LICENSES_REVOKED)
        values["event_id"] = db.session.scalar(of_many)
        values["request_id"] = asked_for(db.session(), cast)
        values["visit_id"] = ended_visit(db.session(), cast, issue(db.session(), cast, now=NOW))
        db.session.commit()

    def address(rule: Rule) -> str:
        with app.test_request_context():
            return rule.build({name: values[name] for name in rule.arguments})[1]

    rules = (
        rule
        for rule in app.url_map.iter_rules()
        if "GET" in rule.methods
        and rule.endpoint != "assets.asset"
        and not rule.rule.startswith(("/api/agent", "/.well-known"))
    )
    return sorted([*map(address, rules), "/revoke?all=1"])


def test_every_page_is_well_formed_for_everybody(
    request: pytest.FixtureRequest, app: Flask, cast: Cast, keys: str
) -> None:
    people = [request.getfixturevalue(name) for name in ("ada", "audrey", "visitor")]
    seen = 0
    for path in pages(app, cast, keys):
        for person in people:
            answer = person.get(path)
            assert answer.status_code in (200, 303, 403, 404, 422), path
            if "<!DOCTYPE html>" in answer.text:
                check(answer.text, path)
                seen += 1
    assert seen > 20


def test_every_page_of_an_empty_portal_is_well_formed(
    app: Flask, clock: Clock, cast: Cast, ada: Visitor
) -> None:
    for path in ("/", "/projects", "/projects?q=nothing", "/audit?organisation=NONE", "/agent"):
        answer = ada.get(path)
        assert answer.status_code == 200, path
        check(answer.text, path)


@pytest.mark.usefixtures("strict")
def test_every_name_that_a_template_shows_is_given_by_its_view(
    app: Flask, cast: Cast, keys: str, ada: Visitor, pat: Visitor
) -> None:
    for path in pages(app, cast, keys):
        visitor = pat if path.startswith("/access") else ada
        for htmx in (False, True):
            answer = visitor.get(path, htmx=htmx)
            assert answer.status_code in (200, 303, 404, 422), (path, htmx)


def test_a_page_and_its_fragment_say_the_same(
    app: Flask, cast: Cast, keys: str, ada: Visitor
) -> None:
    """What htmx is given stands in the whole page too, word by word."""

    for path in ("/projects", f"/projects/{cast.acme_project}/agents"):
        fragment = ada.get(path, htmx=True)
        assert "<!DOCTYPE html>" not in fragment.text, path
        assert words(fragment.text)[:200] in words(ada.get(path).text), path


def test_what_a_template_says_of_itself_names_files_that_exist() -> None:
    for name in NAMES:
        source = (TEMPLATES / name).read_text(encoding="utf-8")
        for file in re.findall(r"(?:macros|static/js)/\w+\.(?:html|js)", source):
            folder = ROOT if file.startswith("static") else TEMPLATES
            assert Path(folder / file).is_file(), f"{name} names {file}"


EVERY_ROW_HAS_A_LINK = {"licenses/all.html"}


def test_what_may_scroll_can_be_focused_and_has_a_name() -> None:
    """Else nobody could scroll it by keyboard, where nothing in it takes the focus."""
    for name in set(NAMES) - EVERY_ROW_HAS_A_LINK:
        source = (TEMPLATES / name).read_text(encoding="utf-8")
        for tag in re.findall(r'<div class="table-responsive[^>]*>', source):
            assert 'tabindex="0"' in tag, name
            assert re.search(r'role="(region|group)"\s+aria-label(ledby)?="', tag), name
