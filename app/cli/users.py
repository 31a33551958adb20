"""`flask users ...`."""

import click


@click.group("users")
def group() -> None:
    """TODO."""
