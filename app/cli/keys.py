"""`flask keys ...`: the signing keys."""

import click

from app.agents.retiring import retire_signing_key
from app.cli.common import changing, json_option, print_json, print_table, reading
from app.config import current_config
from app.core.actor import COMMAND_LINE
from app.core.clock import rfc3339, utcnow, whole_second
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
        keys = list_signing_keys(session)
        signing = next((key.kid for key in keys if key.retired_at is None), None)
        rows = [
            {
                "kid": key.kid,
                "created_at": rfc3339(whole_second(key.created_at)),
                "signs": key.kid == signing,
                "private_key_found": _has_private_key(key.kid),
                "retired_at": rfc3339(whole_second(key.retired_at)) if key.retired_at else None,
            }
            for key in keys
        ]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("kid", "Created", "Signs", "Private key", "Retired"),
        [
            (
                row["kid"],
                row["created_at"],
                "yes" if row["signs"] else "no",
                "found" if row["private_key_found"] else "MISSING",
                row["retired_at"] or "-",
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


@group.command()
@click.argument("kid", metavar="KID")
def retire(kid: str) -> None:
    """Withdraw a key that does not sign any more: everything under it is revoked at once.

    For a private key that may have been stolen; `keys rotate` comes first. Machines whose license
    is under it register anew at the next sign-in of a client user.
    """
    with changing() as session:
        done = retire_signing_key(
            session,
            actor=COMMAND_LINE,
            kid=kid,
            now=utcnow(),
            limits=current_config().agent_limits,
        )
    click.echo(
        f"{kid} was retired. Keys revoked: {done.keys}; machines that register anew: "
        f"{done.machines}."
    )


def _has_private_key(kid: str) -> bool:
    try:
        private_key(current_config().signing_keys, kid)
    except SigningKeyMissing:
        return False
    return True
