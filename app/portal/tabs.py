"""The tabs on a project's pages."""

from flask import url_for

from app.models import Project

ENDPOINTS = {
    "Overview": "projects.overview",
    "License": "licenses.license_tab",
    "Agents": "agents.agents_tab",
    "Visits": "visits.visits_tab",
    "Feed": "feed.feed_tab",
}


def tabs_for(project: Project) -> list[tuple[str, str]]:
    """A project's tabs: (name, address)."""
    return [(name, address_of_tab(name, project.id)) for name in ENDPOINTS]


def address_of_tab(name: str, project_id: int) -> str:
    return url_for(ENDPOINTS[name], project_id=project_id)
