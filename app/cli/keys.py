"""`flask keys ...`."""

import click


@click.group("keys")
def group() -> None:
    """TODO."""
