"""`rolling-window doctor`: looks at an installation, and says what to mend."""

import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import click
from flask.cli import with_appcontext
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.accounts.oidc_provider import Provider, ProviderDown
from app.accounts.second_factor import factors_of
from app.audit.checkpoints import last_head
from app.audit.log_key import FILE as LOG_KEY
from app.audit.log_key import public_log_key, read_private_log_key, stored_log_key
from app.audit.notes import NoteInvalid
from app.audit.tree import count_pending, newest_checkpoint
from app.cli.common import json_option, print_json, reading
from app.cli.copies import automatic_copies
from app.cli.sample import ROLES as SAMPLE_ACCOUNTS
from app.cli.setup import migration_of, newest_migration
from app.config import Config, current_config
from app.core.clock import utcnow
from app.core.errors import SigningKeyMissing
from app.core.permissions import Role, SecondFactorPolicy
from app.core.text import counted
from app.extensions import db
from app.licenses.keyring import PEM_START, list_signing_keys, private_key
from app.models import AuditEvent, User
from app.models.database_errors import explain_database_error
from app.notices.deliveries import count_overdue, last_mail_failure

LEAST_FREE = 500 * 1024 * 1024
MOST_CLOCK_DIFFERENCE = timedelta(seconds=30)
BEHIND = timedelta(minutes=1)


class Finding(NamedTuple):
    """What one check found: the sentence says what is there, or what to do."""

    check: str
    ok: bool
    sentence: str


class Broken(Exception):
    """Something must be mended; its text says what to do."""


Check = Callable[[Config, Session], str]
"""Returns what is there. Raises Broken."""


def _file_modes(config: Config, _session: Session) -> str:
    private = [config.instance, config.instance / "secret-key", config.instance / LOG_KEY]
    if config.database_file:
        private.append(config.database_file)
    if not config.signing_keys.startswith(PEM_START):
        folder = Path(config.signing_keys)
        private += [folder, *folder.glob("*.pem")]
    open_to_others = [file for file in private if file.exists() and _is_open(file)]
    if open_to_others:
        raise Broken(f"Others may read {', '.join(map(str, open_to_others))}: chmod go= them.")
    return "Only their owner may read the instance's files."


def _is_open(file: Path) -> bool:
    return bool(file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _secrets(config: Config, _session: Session) -> str:
    if len(config.secret_key) < 32:
        raise Broken("The secret key is too short: delete its file, or set PORTAL_SECRET_KEY anew.")
    if config.backups and len(config.backup_passphrase) < 12:
        raise Broken("PORTAL_BACKUP_PASSPHRASE is too short: give it 12 characters or more.")
    return "The secrets are long enough."


def _clock(_config: Config, session: Session) -> str:
    now = utcnow()
    if session.get_bind().dialect.name == "postgresql":
        there = session.scalar(select(func.now()))
    else:
        there = max(session.scalar(select(func.max(AuditEvent.happened_at))) or now, now)
    difference = abs(there - now) if there else timedelta(0)
    if difference > MOST_CLOCK_DIFFERENCE:
        seconds = counted(int(difference.total_seconds()), "second")
        raise Broken(
            f"This machine's clock and the database's differ by {seconds}: keys would end at the "
            "wrong time. Synchronise both."
        )
    return "The clock agrees with the database's."


def _migrations(_config: Config, session: Session) -> str:
    at, newest = migration_of(session.connection()), newest_migration()
    if at != newest:
        raise Broken(f"The database is at migration {at} and not at {newest}: start this version.")
    return f"The database is at the newest migration, {newest}."


def _free_disk(config: Config, _session: Session) -> str:
    free = shutil.disk_usage(config.instance).free
    if free < LEAST_FREE:
        raise Broken(f"Only {free // 2**20} MB are free in {config.instance}: make room.")
    return f"{free // 2**30} GB are free."


def _https(config: Config, _session: Session) -> str:
    if not config.bind.is_local and not config.https:
        raise Broken(
            f"{config.bind} can be reached from other machines without encryption: put HTTPS in "
            "front and set PORTAL_HTTPS=on, or bind to 127.0.0.1."
        )
    if config.https and not config.trusted_proxies:
        raise Broken("PORTAL_HTTPS is on, but no proxy is trusted: set PORTAL_TRUSTED_PROXIES.")
    if (config.https or config.trusted_proxies) and not config.public_url:
        raise Broken("Links cannot name the portal: set PORTAL_PUBLIC_URL to its address.")
    return f"Links begin with {config.public_url or f'http://{config.bind}'}."


def _mail(config: Config, session: Session) -> str:
    server = config.mail_server
    if server is None:
        return "No mail is sent (PORTAL_SMTP_URL is not set): one-time links are to be copied."
    if not config.known_root:
        raise Broken("Mails cannot name the portal: set PORTAL_PUBLIC_URL to its address.")
    if answer := last_mail_failure(session):
        raise Broken(f"The last mail was not taken by {server}: {answer}.")
    return f"Mail from {config.sender} is handed in at {server}."


def _second_factor(config: Config, session: Session) -> str:
    if config.second_factor is SecondFactorPolicy.OFF:
        if config.sample_data:
            return "Off, since sample data is on."
        raise Broken("A password alone opens the portal: set PORTAL_SECOND_FACTOR=super_admin.")
    query = select(User).where(User.role == Role.SUPER_ADMIN, User.disabled_at.is_(None))
    without = [
        user.email for user in session.scalars(query) if not factors_of(session, user.id).any
    ]
    if without:
        return f"Set up at the next sign-in: {', '.join(without)}."
    return "Every super admin has one."


def _provider(config: Config, _session: Session) -> str:
    provider = Provider.of(config)
    if provider is None:
        return "None: people sign in by password and passkey."
    try:
        provider.metadata(utcnow())
    except ProviderDown:
        raise Broken(
            f"{config.oidc_issuer} does not answer as a provider does; the line before says why."
        ) from None
    return f"{config.oidc_issuer} answers."


def _sample_accounts(config: Config, session: Session) -> str:
    if config.sample_data:
        return "Sample data is on."
    query = select(User.email).where(User.email.in_(SAMPLE_ACCOUNTS), User.disabled_at.is_(None))
    left = session.scalars(query.order_by(User.email)).all()
    if left:
        raise Broken(f"Sample accounts are left: `users disable` {', '.join(left)}.")
    return "No sample accounts are left."


def _backups(config: Config, _session: Session) -> str:
    if config.backups is None:
        raise Broken("No copies are made: set PORTAL_BACKUPS to a folder on another disk.")
    copies = automatic_copies(config.backups)
    if not copies:
        raise Broken(f"There is no copy in {config.backups} yet: is the background process there?")
    age = utcnow().timestamp() - max(copy.stat().st_mtime for copy in copies)
    if age > 2 * config.backup_every:
        raise Broken(f"The newest copy in {config.backups} is {age / 3600:.1f} hours old.")
    return f"{config.backups} has {len(copies)}, the newest {age:.0f} seconds old."


def _signing_keys(config: Config, session: Session) -> str:
    keys = list_signing_keys(session)
    try:
        private_key(config.signing_keys, keys[0].kid)
    except (SigningKeyMissing, IndexError):
        raise Broken("The private key that signs is missing: put its file back.") from None
    retired = [key.kid for key in keys if key.retired_at is not None]
    return f"{keys[0].kid} signs" + (f"; retired: {', '.join(retired)}." if retired else ".")


def _background(_config: Config, session: Session) -> str:
    now = utcnow()
    behind = count_pending(session, now, before=now - BEHIND)
    behind += count_overdue(session, before=now - BEHIND)
    if behind:
        raise Broken(
            f"The background process is behind by {counted(behind, 'event')}: start the portal, or "
            "`rolling-window jobs`, and look at its lines in the log."
        )
    return "The background process has done what there was to do."


def _checkpoints(config: Config, session: Session) -> str:
    newest, file = newest_checkpoint(session), config.checkpoints
    try:
        key = public_log_key(read_private_log_key(config.instance))
        head = last_head(file)
    except SigningKeyMissing as error:
        raise Broken(error.detail) from None
    except NoteInvalid as error:
        raise Broken(f"{file}: {error}; set it aside, and run `audit verify`.") from None
    except OSError as error:
        raise Broken(f"{file} cannot be read ({error.strerror}).") from None
    if str(key) != stored_log_key(session):
        raise Broken(f"{LOG_KEY} is not the key of this log: copy it from the first portal.")
    if (head.size if head else 0) != (newest.size if newest else 0):
        raise Broken(f"{file} and the database do not end with the same checkpoint.")
    if newest is None:
        raise Broken("Nothing of the audit log is signed yet: start the portal.")
    if not os.access(file, os.W_OK):
        raise Broken(f"{file} cannot be written.")
    return f"The newest is of {counted(newest.size, 'event')}."


CHECKS: dict[str, Check] = {
    "file modes": _file_modes,
    "secrets": _secrets,
    "clock": _clock,
    "migrations": _migrations,
    "free disk": _free_disk,
    "proxy and HTTPS": _https,
    "mail": _mail,
    "second factor": _second_factor,
    "identity provider": _provider,
    "sample accounts": _sample_accounts,
    "backups": _backups,
    "signing keys": _signing_keys,
    "background process": _background,
    "checkpoints": _checkpoints,
}


def findings(config: Config, session: Session) -> Iterator[Finding]:
    """What each check finds; a database that cannot be used is what that check found."""
    yield Finding("settings", True, "Every name that begins with PORTAL_ is known.")
    for name, check in CHECKS.items():
        try:
            yield Finding(name, True, check(config, session))
        except Broken as error:
            yield Finding(name, False, str(error))
        except DBAPIError as error:
            db.session.rollback()
            sentence = explain_database_error(error) or "The database refused to answer."
            yield Finding(name, False, sentence)


@click.command("doctor")
@json_option
@with_appcontext
def command(as_json: bool) -> None:
    """Look at this installation, and say what to mend; exit status 1 if anything must be."""
    with reading() as session:
        found = [*findings(current_config(), session)]
    if as_json:
        print_json([finding._asdict() for finding in found])
    else:
        for finding in found:
            click.echo(f"{'ok  ' if finding.ok else 'MEND'}  {finding.check}: {finding.sentence}")
    sys.exit(0 if all(finding.ok for finding in found) else 1)
