"""`flask serve`: set up the database, keys and first users, then start the server."""

import os
import socket
import sys

import click
from flask.cli import with_appcontext

from app.accounts.passwords import hash_password
from app.accounts.users import create_user, has_super_admin
from app.agents.registration import ensure_machine_salt
from app.cli.common import changing, print_table, reading, refuse
from app.cli.sample import has_organisations, load_sample_data, new_sample_users
from app.cli.setup import upgrade_database
from app.config import Config, current_config
from app.core.actor import SYSTEM
from app.core.clock import utcnow
from app.core.errors import ConfigError, SigningKeyMissing
from app.core.permissions import Role
from app.licenses.keyring import ensure_signing_key, private_key


@click.command()
@with_appcontext
def serve() -> None:
    """Create or upgrade the database, make keys and first users, then serve."""
    settings = current_config()
    _refuse_taken_port(settings)
    _set_up(settings)
    _say_address(settings)
    sys.stdout.flush()
    arguments = [
        "gunicorn",
        "wsgi:app",
        *("--bind", f"{settings.bind.host}:{settings.bind.port}", "--reuse-port"),
        *("--workers", str(settings.workers), "--threads", str(settings.threads)),
        *("--worker-class", "app.cli.worker.BufferingWorker", "--log-level", "warning"),
        "--no-control-socket",
    ]
    os.execv(sys.executable, [sys.executable, "-m", *arguments])  # noqa: S606 (no shell is wanted)


def _say_address(settings: Config) -> None:
    """Say where the portal is, as people reach it, and what is dangerous about how they do."""
    address = settings.public_url or f"http://{settings.bind}"
    if settings.https and not settings.public_url:
        address = f"https://{settings.hosts[0] if settings.hosts else 'YOUR-NAME'}"
    click.echo(f"Rolling Window serves on {address}/")
    click.echo(f"The OP Agent in the browser: {address}/agent")
    if settings.https or settings.public_url:
        click.echo(f"The proxy in front passes requests on to {settings.bind}")
    if not (settings.bind.is_loopback or settings.https):
        click.echo(
            f"PORTAL_BIND: {settings.bind} can be reached from other machines without encryption: "
            "whoever is on the way reads passwords and keys. Put HTTPS in front and set "
            "PORTAL_HTTPS=on, or bind to 127.0.0.1.",
            err=True,
        )


def _set_up(settings: Config) -> None:
    try:
        upgrade_database(settings, utcnow())
    except ConfigError as error:
        refuse(error.detail)
    with changing() as session:
        kid = ensure_signing_key(session, signing_keys=settings.signing_keys, now=utcnow())
        ensure_machine_salt(session)
    _warn_without_private_key(settings, kid)
    _make_first_admin(settings)
    _load_sample_data(settings)


def _warn_without_private_key(settings: Config, kid: str) -> None:
    """Warn, but start: without the private key, keys can still be listed and revoked."""
    try:
        private_key(settings.signing_keys, kid)
    except SigningKeyMissing as error:
        click.echo(f"PORTAL_SIGNING_KEYS: {error.detail}", err=True)


def _make_first_admin(settings: Config) -> None:
    with reading() as session:
        needed = bool(settings.admin_email) and not has_super_admin(session)
    if not needed:
        return
    password_hash = hash_password(settings.admin_password)
    with changing() as session:
        create_user(
            session,
            email=settings.admin_email,
            role=Role.SUPER_ADMIN,
            password_hash=password_hash,
            actor=SYSTEM,
            now=utcnow(),
        )
    click.echo(f"Made the first super admin: {settings.admin_email}")


def _load_sample_data(settings: Config) -> None:
    with reading() as session:
        needed = settings.sample_data and not has_organisations(session)
    if not needed:
        return
    users = new_sample_users(settings.sample_password)
    with changing() as session:
        made = load_sample_data(session, users=users, config=settings, now=utcnow())
    click.echo("Loaded the sample data. These sign-ins were made, and are told this once:")
    print_table(
        ("E-mail", "Password", "Role"), [(who.email, who.password, who.role) for who in made]
    )


def _refuse_taken_port(settings: Config) -> None:
    """Refuse a port in use: with --reuse-port, gunicorn would share it with another portal."""
    host = settings.bind.host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, settings.bind.port))
        except OSError as error:
            refuse(
                f"PORTAL_BIND: {settings.bind.host}:{settings.bind.port} cannot be used "
                f"({error.strerror}); stop what uses it or choose another address."
            )
