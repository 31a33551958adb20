"""`flask projects ...`."""

import click


@click.group("projects")
def group() -> None:
    """TODO."""
