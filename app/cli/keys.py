"""`flask keys ...`: the signing keys."""

import click

from app.cli.common import changing, json_option, print_json, print_table, reading
from app.config import current_config
from app.core.actor import COMMAND_LINE
from app.core.clock import rfc3339, utcnow
from app.core.errors import SigningKeyMissing
from app.keyformat.signing_keys import jwk_set
from app.licenses.keyring import list_signing_keys, private_key, rotate_signing_key
from app.licenses.offline import published_keys


@click.group("keys")
def group() -> None:
    """The keys that license keys are signed with: show them, and change to a new one."""


@group.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List every signing key, the one that signs first."""
    with reading() as session:
        rows = [
            {
                "kid": key.kid,
                "created_at": rfc3339(key.created_at),
                "signs": number == 0,
                "private_key_found": _has_private_key(key.kid),
            }
            for number, key in enumerate(list_signing_keys(session))
        ]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("kid", "Created", "Signs", "Private key"),
        [
            (
                row["kid"],
                row["created_at"],
                "yes" if row["signs"] else "no",
                "found" if row["private_key_found"] else "MISSING",
            )
            for row in rows
        ],
    )


@group.command("public")
def public_command() -> None:
    """Print the public keys as a JWK Set (RFC 7517): with it anyone can check a key off-line."""
    with reading() as session:
        keys = jwk_set(published_keys(session, utcnow()))
    print_json(keys)


@group.command()
def rotate() -> None:
    """Make a new key, which signs from now on; keys under the old one stay valid until they end."""
    with changing() as session:
        kid = rotate_signing_key(
            session,
            signing_keys=current_config().signing_keys,
            actor=COMMAND_LINE,
            now=utcnow(),
        )
    click.echo(f"{kid} signs from now on.")


def _has_private_key(kid: str) -> bool:
    try:
        private_key(current_config().signing_keys, kid)
    except SigningKeyMissing:
        return False
    return True
