"""`config`: every setting, and where it came from."""

import click

from app.cli.common import json_option, print_json, print_table
from app.cli.settings_listing import list_settings
from app.config import load_config
from app.settings.sources import env_file, environment


@click.command("config")
@json_option
def config(as_json: bool) -> None:
    """Print every setting, its value (secrets hidden) and where it came from."""
    environ = environment()
    rows = list_settings(load_config(environ), environ, env_file())
    if as_json:
        print_json([row._asdict() for row in rows])
    else:
        print_table(("Setting", "Value", "From"), rows)
