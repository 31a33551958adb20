"""Searching everything that has a page: the command palette, and its page without JavaScript."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from sqlalchemy.orm import Session

from app.accounts.finding import UserSearch, find_users
from app.core.clock import utcnow
from app.core.permissions import ROLE_LABELS, Permission
from app.core.text import fold, one_line
from app.extensions import db
from app.licenses.queries import find_license, state_of
from app.portal.tabs import ENDPOINTS, address_of_tab
from app.projects.finding import Found, find_page
from app.projects.search import LONGEST_SEARCH, Search
from app.projects.services import projects_of
from app.projects.totals import project_totals
from app.web.access import requires
from app.web.htmx import is_partial, keep_address_in_step, render

blueprint = Blueprint("jumping", __name__)

MOST_PROJECTS = 6
MOST_PEOPLE = 4
PALETTE = "div#palette-options"
"""The element of the palette into which htmx puts what is found."""


@dataclass(frozen=True)
class Target:
    """Something that can be gone to: its name, what tells it apart, and where it is."""

    name: str
    detail: str
    address: str


@dataclass(frozen=True)
class Page:
    """A page of the portal, with words besides its name by which it is found."""

    name: str
    endpoint: str
    permission: Permission = Permission.VIEW_PORTAL
    words: str = ""


PAGES = (
    Page("Home", "home.index", words="start signed in now"),
    Page("Manage Projects", "projects.list_projects", words="organisations"),
    Page("Keys", "keys.list_keys", words="licenses"),
    Page("Revoke keys", "revoking.choose", words="licenses"),
    Page("Audit log", "audit.list_events", words="events"),
    Page("Users", "users.list_users", Permission.VIEW_USERS, "people partners"),
    Page("Requests", "requests.list_requests", Permission.VIEW_REQUESTS, "approve"),
    Page("Policy", "policy.show", Permission.VIEW_POLICY, "settings ceiling"),
    Page("Webhooks", "webhooks.show", Permission.VIEW_WEBHOOKS, "mail notices settings"),
    Page("Your account", "account.own", Permission.OWN_ACCOUNT, "password second factor"),
    Page("New project", "projects.new_project", Permission.MANAGE_PROJECTS),
    Page("Import", "imports.page", Permission.MANAGE_PROJECTS, "projects csv file"),
    Page("New user", "users.new_user", Permission.MANAGE_USERS, "people"),
    Page("Invite", "users.new_invitation", Permission.MANAGE_USERS, "new user people"),
)


@blueprint.get("/search")
@requires(Permission.VIEW_PORTAL)
def search() -> ResponseReturnValue:
    text = one_line(request.args.get("q", ""))
    groups = [(label, targets) for label, targets in _groups(text) if targets]
    context: dict[str, Any] = {
        "text": text,
        "typed": request.args.get("q", ""),
        "groups": groups,
        "found": sum(len(targets) for _, targets in groups),
        "longest_search": LONGEST_SEARCH,
    }
    if is_partial(PALETTE):
        return render_template("jumping/_options.html", **context)
    response = render("jumping/page.html", "jumping/_results.html", fresh=is_partial(), **context)
    if is_partial():
        keep_address_in_step(response, url_for("jumping.search", q=text or None))
    return response


def found_projects(session: Session, text: str, now: datetime) -> Found:
    """The first projects of a search that are not archived."""
    totals = project_totals(session, now)
    return find_page(session, Search(text), now, totals=totals, number=1, size=MOST_PROJECTS)


def _groups(text: str) -> Iterator[tuple[str, list[Target]]]:
    """What `text` may mean, the likeliest first, as far as this person may see it."""
    session, now = db.session(), utcnow()
    if 0 < len(text) <= LONGEST_SEARCH:
        yield "Keys", _keys(session, text, now)
        found = found_projects(session, text, now)
        yield "Projects", _projects(found)
        yield "Organisations", _organisations(found, text)
        if current_user.may(Permission.VIEW_USERS):
            yield "People", _people(session, text)
    yield "Pages", _pages(text)


def _keys(session: Session, text: str, now: datetime) -> list[Target]:
    key = find_license(session, text)
    if key is None:
        return []
    project_id = projects_of(session, {key.organisation_id}).get(key.organisation_id)
    address = url_for("keys.list_keys", q=key.key_id)
    if project_id:
        address = url_for("licenses.license_tab", project_id=project_id, key=key.key_id)
    detail = f"{state_of(key, now).value.capitalize()} · {key.organisation.name}"
    return [Target(key.key_id, detail, address)]


def _projects(found: Found) -> list[Target]:
    """Each project's License tab; of a single one the other tabs too."""
    targets = []
    for project in found.projects:
        detail = f"License · {project.organisation_name} · {project.organisation_id}"
        targets.append(Target(project.name, detail, address_of_tab("License", project.id)))
    if len(targets) == 1:
        project = found.projects[0]
        targets += [
            Target(project.name, tab, address_of_tab(tab, project.id))
            for tab in ENDPOINTS
            if tab != "License"
        ]
    return targets


def _organisations(found: Found, text: str) -> list[Target]:
    """Of the organisations of these projects those that are called so: their keys."""
    words = fold(text).split()
    named = {
        project.organisation_id: project.organisation_name
        for project in found.projects
        if _has(words, f"{project.organisation_name} {project.organisation_id}")
    }
    return [
        Target(name, f"Keys · {id}", url_for("keys.list_keys", organisation=id))
        for id, name in named.items()
    ]


def _people(session: Session, text: str) -> list[Target]:
    _, users = find_users(session, UserSearch(text), number=1, size=MOST_PEOPLE)
    return [
        Target(
            user.name or user.email,
            f"{ROLE_LABELS[user.role]} · {user.email}" if user.name else ROLE_LABELS[user.role],
            url_for("users.show_user", user_id=user.id),
        )
        for user in users
    ]


def _pages(text: str) -> list[Target]:
    words = fold(text).split()
    return [
        Target(page.name, "", url_for(page.endpoint))
        for page in PAGES
        if current_user.may(page.permission) and _has(words, f"{page.name} {page.words}")
    ]


def _has(words: list[str], text: str) -> bool:
    folded = fold(text)
    return all(word in folded for word in words)
