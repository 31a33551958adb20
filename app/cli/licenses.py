"""`flask licenses ...`."""

import click


@click.group("licenses")
def group() -> None:
    """TODO."""
