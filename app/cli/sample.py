"""Sample data for trying out the portal: fifty organisations, users of each role, keys."""

import csv
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from app.accounts.passwords import hash_new_password, random_password
from app.accounts.users import create_user, find_user
from app.audit.tree import newest_checkpoint
from app.config import Config
from app.core.actor import Actor
from app.core.permissions import Role
from app.licenses.option_rules import KeyOptions
from app.licenses.services import issue_license, revoke_license
from app.models import AuditEvent, Notice, Organisation, User
from app.notices.key_watch import skip_past, watch_key
from app.projects.fields import ProjectFields
from app.projects.services import create_project

PROJECTS = Path(__file__).with_name("sample.csv")
ROLES = {
    "admin@example.com": Role.SUPER_ADMIN,
    "auditor@example.com": Role.AUDITOR,
    "partner@example.com": Role.PARTNER,
    "developer@example.com": Role.DEVELOPER,
    "client@example.com": Role.CLIENT,
}
SAMPLER = Actor(user_id=None, email="sample data", role=Role.SUPER_ADMIN, address="command line")


class Key(NamedTuple):
    """A sample key: the numbers of its organisation and of its TTL, and its age.

    `ttl` counts the TTLs on offer from the shortest, 0. `age`, and `revoked` if it was revoked,
    are multiples of the key's TTL since its issue.
    """

    organisation: int
    ttl: int
    age: float
    revoked: float | None = None
    starts_in: int | None = None
    """In seconds from now, for one that was issued just now."""


KEYS = (
    Key(organisation=30, ttl=6, age=2.5),
    Key(organisation=1, ttl=6, age=1.6, revoked=0.4),
    Key(organisation=5, ttl=6, age=1.3),
    Key(organisation=1, ttl=6, age=0.55),
    Key(organisation=13, ttl=6, age=0.3),
    Key(organisation=28, ttl=6, age=0.5, revoked=0.2),
    Key(organisation=24, ttl=5, age=0.7),
    Key(organisation=1, ttl=5, age=1.1),
    Key(organisation=13, ttl=3, age=0.8),
    Key(organisation=8, ttl=2, age=0.25),
    Key(organisation=30, ttl=1, age=0.6),
    Key(organisation=1, ttl=1, age=0.35),
    Key(organisation=5, ttl=0, age=0.2),
    Key(organisation=13, ttl=0, age=0, starts_in=2 * 86_400),
)


@dataclass(frozen=True)
class SampleUser:
    """A sample user to be created, with the password, which is printed once."""

    email: str
    role: Role
    password: str
    password_hash: str


def new_sample_users(password: str) -> list[SampleUser]:
    """The sample users, with `password` or else random ones. Slow, because it hashes.

    Raises InvalidInput for a password that nobody may have.
    """
    users = []
    for email, role in ROLES.items():
        own = password or random_password()
        users.append(SampleUser(email, role, own, hash_new_password(own, email=email)))
    return users


def has_organisations(session: Session) -> bool:
    """Whether the database has organisations; if so, no sample data is added."""
    return session.scalar(select(Organisation.id).limit(1)) is not None


def load_sample_data(
    session: Session, *, users: list[SampleUser], config: Config, now: datetime
) -> list[SampleUser]:
    """Fill an empty database with sample data; returns the users that were created.

    Does nothing if there are organisations. Leaves out users whose e-mail is taken, and the
    super admin if there is one already.
    """
    if has_organisations(session):
        return []
    began = now - timedelta(days=300)
    last_event = session.scalar(select(func.max(AuditEvent.id))) or 0
    organisation_ids = _make_projects(session, began, now)
    has_admin = _super_admin(session) is not None
    wanted = [who for who in users if not (has_admin and who.role is Role.SUPER_ADMIN)]
    made = [who for who in wanted if find_user(session, who.email) is None]
    for who in made:
        create_user(
            session,
            email=who.email,
            role=who.role,
            password_hash=who.password_hash,
            actor=SAMPLER,
            now=began,
            organisation_id=organisation_ids[0] if who.role is Role.CLIENT else None,
        )
    key_ids = _issue_keys(session, organisation_ids, config, now)
    _tell_nobody(session, last_event, key_ids, now)
    _log_as_of_now(session, last_event, now)
    return made


def _tell_nobody(session: Session, last_event: int, key_ids: list[str], now: datetime) -> None:
    """What was made up to have happened is no news; of what comes next people are told."""
    session.execute(delete(Notice).where(Notice.event_id > last_event))
    for key_id in key_ids:
        watch_key(session, key_id, now)
    skip_past(session, now=now)


def _log_as_of_now(session: Session, last_event: int, now: datetime) -> None:
    """The tree of a log that was signed takes no events that say they are older: these are new."""
    if newest_checkpoint(session) is not None:
        session.execute(
            update(AuditEvent).where(AuditEvent.id > last_event).values(happened_at=now)
        )


def _make_projects(session: Session, began: datetime, now: datetime) -> list[str]:
    """Create the projects in the file; returns their Organisation IDs, in its order."""
    with PROJECTS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = list(dict.fromkeys(row["organisation"] for row in rows))
    ids = {name: f"ORG-{number:06}" for number, name in enumerate(names, start=1)}
    for number, row in enumerate(rows):
        days = row["ends_in_days"]
        fields = ProjectFields(
            organisation_id=ids[row["organisation"]],
            organisation_name=row["organisation"],
            name=row["project"],
            contact_email=row["contact"],
            plan=row["plan"],
            plan_expires_on=now.date() + timedelta(days=int(days)) if days else None,
            status=row["status"],
        )
        moment = began + timedelta(days=4 * number)
        create_project(session, actor=SAMPLER, fields=fields, now=moment)
    return list(ids.values())


def _issue_keys(
    session: Session, organisation_ids: list[str], config: Config, now: datetime
) -> list[str]:
    """Generate the sample keys; returns their Key IDs."""
    user = _super_admin(session)
    if user is None:
        return []
    admin = Actor(user.id, user.email, user.role, SAMPLER.address)
    ttls, key_ids = sorted(config.license_ttls), []
    for key in KEYS:
        ttl = ttls[min(key.ttl, len(ttls) - 1)]
        issued_at = now - timedelta(seconds=ttl * key.age)
        license, _ = issue_license(
            session,
            actor=admin,
            organisation_id=organisation_ids[key.organisation - 1],
            options=KeyOptions(ttl, starts_at=_start(key, now)),
            limits=config.key_limits,
            signing_keys=config.signing_keys,
            now=issued_at,
        )
        key_ids.append(license.key_id)
        if key.revoked is not None:
            revoked_at = issued_at + timedelta(seconds=ttl * key.revoked)
            revoke_license(session, actor=admin, key_id=license.key_id, now=revoked_at)
    return key_ids


def _start(key: Key, now: datetime) -> datetime | None:
    return None if key.starts_in is None else now + timedelta(seconds=key.starts_in)


def _super_admin(session: Session) -> User | None:
    return session.scalar(
        select(User)
        .where(User.role == Role.SUPER_ADMIN, User.disabled_at.is_(None))
        .order_by(User.id)
        .limit(1)
    )
