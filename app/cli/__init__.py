"""The `flask ...` commands, one file for each group; they only call services."""

from flask import Flask

from app.cli import agents, keys, licenses, projects, server, users


def init_app(app: Flask) -> None:
    """Register the commands."""
    for group in (
        users.group,
        agents.group,
        projects.group,
        licenses.group,
        keys.group,
        server.serve,
    ):
        app.cli.add_command(group)
