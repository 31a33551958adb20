"""The `flask ...` commands, one file for each group; they only call services."""

import click
from flask import Flask
from flask.cli import AppGroup


class Commands(AppGroup):
    """The commands, which are imported when one is asked for: a server never does."""

    def __init__(self, app: Flask) -> None:
        super().__init__(app.name)
        self._app = app

    def list_commands(self, ctx: click.Context) -> list[str]:
        self._import()
        return super().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        self._import()
        return super().get_command(ctx, cmd_name)

    def _import(self) -> None:
        from app.cli import (  # noqa: PLC0415
            agents,
            audit,
            backup,
            database,
            doctor,
            jobs,
            keys,
            licenses,
            policy,
            projects,
            requests,
            server,
            settings,
            upgrading,
            users,
            visits,
            webhooks,
        )
        from app.cli.setup import bind_migrate  # noqa: PLC0415

        bind_migrate(self._app)  # which adds `flask db`
        database.add_to(self.commands["db"])
        for group in (
            users.group,
            agents.group,
            projects.group,
            licenses.group,
            policy.group,
            requests.group,
            visits.group,
            webhooks.group,
            keys.group,
            audit.group,
            jobs.command,
            doctor.command,
            upgrading.command,
            backup.backup,
            backup.restore,
            server.serve,
            settings.config,
        ):
            self.add_command(group)


def init_app(app: Flask) -> None:
    """Register the commands."""
    app.cli = Commands(app)
