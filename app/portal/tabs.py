"""The tabs on a project's pages."""

from flask import url_for

from app.models import Project


def tabs_for(project: Project) -> list[tuple[str, str]]:
    """A project's tabs: (name, address)."""
    endpoints = {
        "Overview": "projects.overview",
        "License": "licenses.license_tab",
        "Agents": "agents.agents_tab",
        "Visits": "visits.visits_tab",
        "Feed": "feed.feed_tab",
    }
    return [(name, url_for(end, project_id=project.id)) for name, end in endpoints.items()]
