"""The program `rolling-window`, and `python -m app`: the commands, without Flask's own."""

import click
from flask import Flask
from flask.cli import FlaskGroup

from app.core.version import VERSION

PROGRAM = "rolling-window"


def _portal() -> Flask:
    """The portal as a server loads it; a wrong setting ends the program with one line."""
    from wsgi import app  # noqa: PLC0415 (it is made only for a command that needs it)

    return app


# Flask would copy `.env` into the environment, and cut values at " #" as it does so.
group = FlaskGroup(
    name=PROGRAM,
    create_app=_portal,
    add_default_commands=False,
    add_version_option=False,
    load_dotenv=False,
    set_debug_flag=False,
    help="Rolling Window: the portal that lets partners in for a few hours.",
)
# The options of `flask`, which would load something else than the portal.
group.params = []
click.version_option(VERSION, prog_name=PROGRAM)(group)


def main() -> None:
    """Run the command that the arguments name."""
    group.main(prog_name=PROGRAM)


if __name__ == "__main__":
    main()
