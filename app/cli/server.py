"""`flask serve`: set up the database, keys and first users, then start the server."""

import errno
import os
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import click
from flask.cli import with_appcontext

from app.accounts.passwords import hash_new_password
from app.accounts.users import create_user, find_user, has_super_admin, list_users
from app.agents.registration import ensure_machine_salt
from app.audit.log_key import ensure_log_key
from app.cli.common import changing, portal_address, print_table, reading, refuse
from app.cli.restoring import settle_if_put_back
from app.cli.sample import has_organisations, load_sample_data, new_sample_users
from app.cli.setup import one_at_a_time, say_running, upgrade_database
from app.config import Config, current_config, load_config
from app.core.actor import SYSTEM
from app.core.clock import utcnow
from app.core.errors import ConfigError, InvalidInput, SigningKeyMissing
from app.core.permissions import Role
from app.extensions import db
from app.licenses.keyring import ensure_signing_key, private_key
from app.models.copying import is_unfinished
from app.settings.sources import environment, real_environment

FIXED = ("bind", "metrics_bind", "instance", "database_url")
"""The settings that cannot change while the server runs."""
COMMAND = ".venv/bin/rolling-window"


@click.command()
@with_appcontext
def serve() -> None:
    """Create or upgrade the database, make keys and first users, then serve."""
    settings = current_config()
    _refuse_taken_address(settings)
    try:
        say_running(settings)
    except ConfigError as error:
        refuse(error.detail)
    set_up(settings)
    _say_address(settings)
    sys.stdout.flush()
    lead_server(settings)


def lead_server(settings: Config) -> None:
    """Become the process that leads the server, until it is told to stop.

    Its workers begin as copies of it, so that nothing is loaded twice; `worker.py` sees to it that
    a reload loads the portal anew.
    """
    from gunicorn.app.wsgiapp import WSGIApplication  # noqa: PLC0415 (other commands need it not)

    sys.argv = [
        "gunicorn",
        "wsgi:app",
        # Not --reuse-port: what is queued at a worker would be lost with it at a reload.
        *("--bind", str(settings.bind)),
        # The second one: worker.py serves the metrics there.
        *(("--bind", str(settings.metrics_bind)) if settings.metrics_bind else ()),
        *("--workers", str(settings.workers), "--threads", str(settings.threads)),
        # By its path: a reload executes it again.
        *("--config", str(Path(__file__).with_name("worker.py")), "--log-level", "warning"),
        "--no-control-socket",
    ]
    environ = _environment_of_server(settings)
    os.environ.clear()
    os.environ.update(environ)
    if settings.metrics_bind:
        # Where the workers leave their counts; the library of metrics reads this name.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = mkdtemp(prefix="rolling-window-metrics-")
    # Two processes must not use one connection.
    db.session.remove()
    db.engine.dispose()
    WSGIApplication(prog="gunicorn").run()


def _say_address(settings: Config) -> None:
    """Say where the portal is, as people reach it, and what is dangerous about how they do."""
    address = portal_address(settings)
    click.echo(f"Rolling Window serves on {address}/")
    click.echo(f"The OP Agent in the browser: {address}/agent")
    if settings.https or settings.public_url or settings.bind.path:
        click.echo(f"It listens on {settings.bind} for the proxy in front.")
    if not (settings.bind.is_local or settings.https):
        click.echo(
            f"PORTAL_BIND: {settings.bind} can be reached from other machines without encryption: "
            "whoever is on the way reads passwords and keys. Put HTTPS in front and set "
            "PORTAL_HTTPS=on, or bind to 127.0.0.1.",
            err=True,
        )


def _environment_of_server(settings: Config) -> dict[str, str]:
    """The environment without what came from `.env`, which the workers read anew at a reload.

    What cannot change while the server runs is fixed in it.
    """
    fixed = {
        "PORTAL_BIND": str(settings.bind),
        "PORTAL_METRICS_BIND": str(settings.metrics_bind or ""),
        "PORTAL_INSTANCE": str(settings.instance),
        "PORTAL_DATABASE_URL": f"sqlite:///{settings.database_file}"
        if settings.database_file
        else settings.database_url,
    }
    own = real_environment()
    own.pop("PORTAL_DATABASE_URL_FILE", None)
    return own | fixed


def check_reload() -> None:
    """In a process of its own, before the server reloads: are the settings right?

    Ends with exit status 1 and the one line of a ConfigError if not. Names what was changed and
    cannot be while the server runs.
    """
    try:
        running = load_config(environment())
        for name in FIXED:
            os.environ.pop(f"PORTAL_{name.upper()}", None)
        written = load_config(environment())
    except ConfigError as error:
        sys.exit(error.detail)
    for name in FIXED:
        if f"PORTAL_{name.upper()}" in environment() and (
            getattr(written, name) != getattr(running, name)
        ):
            click.echo(f"PORTAL_{name.upper()} cannot change while the server runs; it is kept.")


def set_up(settings: Config) -> None:
    """Everything that is made once, by one portal at a time."""
    try:
        with one_at_a_time(settings):
            upgrade_database(settings, utcnow())
            _refuse_unfinished_copy()
            settle_if_put_back(settings)
            _fill(settings)
    except ConfigError as error:
        refuse(error.detail)


def _refuse_unfinished_copy() -> None:
    with db.engine.connect() as connection:
        if is_unfinished(connection):
            raise ConfigError(
                "PORTAL_DATABASE_URL: the copy into this database has not been finished; finish "
                "it with the same `db copy` as before, or `restore --replace` if it was one, or "
                "name another database."
            )


def _fill(settings: Config) -> None:
    with changing() as session:
        kid = ensure_signing_key(session, signing_keys=settings.signing_keys, now=utcnow())
        ensure_machine_salt(session)
        ensure_log_key(session, instance=settings.instance)
    _warn_without_private_key(settings, kid)
    _make_first_admin(settings)
    _load_sample_data(settings)
    _tell_how_to_get_in(settings)


def _warn_without_private_key(settings: Config, kid: str) -> None:
    """Warn, but start: without the private key, keys can still be listed and revoked."""
    try:
        private_key(settings.signing_keys, kid)
    except SigningKeyMissing as error:
        click.echo(f"PORTAL_SIGNING_KEYS: {error.detail}", err=True)


def _make_first_admin(settings: Config) -> None:
    with reading() as session:
        needed = bool(settings.admin_email) and not has_super_admin(session)
        existing = find_user(session, settings.admin_email) if needed else None
        role = existing.role if existing else None
    if role is not None:
        click.echo(
            f"PORTAL_ADMIN_EMAIL: there is a user {settings.admin_email} ({role}) already, and "
            "they were left as they are.",
            err=True,
        )
    if not needed or role is not None:
        return
    with _wrong_setting("PORTAL_ADMIN_PASSWORD"):
        password_hash = hash_new_password(settings.admin_password, email=settings.admin_email)
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


@contextmanager
def _wrong_setting(name: str) -> Iterator[None]:
    try:
        yield
    except InvalidInput as error:
        raise ConfigError(f"{name}: {error.detail}") from None


def _load_sample_data(settings: Config) -> None:
    with reading() as session:
        needed = settings.sample_data and not has_organisations(session)
    if not needed:
        return
    with _wrong_setting("PORTAL_SAMPLE_PASSWORD"):
        users = new_sample_users(settings.sample_password)
    with changing() as session:
        made = load_sample_data(session, users=users, config=settings, now=utcnow())
    click.echo("Loaded the sample data. These sign-ins were made, and are shown only once:")
    print_table(
        ("E-mail", "Password", "Role"), [(who.email, who.password, who.role) for who in made]
    )


def _tell_how_to_get_in(settings: Config) -> None:
    """Say so if nobody can sign in, and how to mend it; else what to do without a password."""
    if any(given.role is Role.SUPER_ADMIN for given in settings.oidc_role_map):
        click.echo(f"Sign in with {settings.oidc_name}, whose answer decides who is a super admin.")
        return
    with reading() as session:
        emails = [
            user.email
            for user in list_users(session)
            if user.role is Role.SUPER_ADMIN and user.disabled_at is None
        ]
    if not emails:
        click.echo(
            "Nobody can sign in to the portal yet. Make a super admin with\n"
            f"  {COMMAND} users create --email admin@example.com --role super_admin\n"
            f"or let one of before in again with {COMMAND} users enable E-MAIL.",
            err=True,
        )
        return
    click.echo(f"To sign in as {emails[0]} without the password, give a new one with")
    click.echo(f"  {COMMAND} users reset-password {emails[0]}")


def _refuse_taken_address(settings: Config) -> None:
    """Refuse an address in use: gunicorn would share the port, or take the socket's file away."""
    for name in ("bind", "metrics_bind"):
        bind = getattr(settings, name)
        try:
            if bind and bind.path:
                _try_path(bind.path)
            elif bind:
                _try_port(bind.host.strip("[]"), bind.port)
        except OSError as error:
            refuse(
                f"PORTAL_{name.upper()}: {bind} cannot be used "
                f"({error.strerror}); stop what uses it or choose another address."
            )


def _try_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


def _try_path(path: str) -> None:
    """A socket that nobody listens on was left by a portal that was stopped hard."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            if not stat.S_ISSOCK(os.stat(path).st_mode):
                raise
        except FileNotFoundError:
            probe.bind(path)
            os.unlink(path)
        else:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
