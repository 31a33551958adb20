"""What tests of OP Agents share: keys to paste, and the two steps of a sign-in as one."""

from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from flask import Flask, current_app
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.passwords import hash_password
from app.accounts.users import create_user
from app.agents.codes import EndCause
from app.agents.heartbeats import LiveSession, heartbeat
from app.agents.registration import SignInRequest
from app.agents.session_rules import SessionEnd
from app.agents.sign_in import SignedIn, Throttled, sign_in
from app.agents.sign_in_rules import Refusal
from app.audit.tags import AuditTag
from app.config import current_config
from app.core.durations import KeyLimits, SessionLimits
from app.core.permissions import Role
from app.keyformat.signing_keys import kid_of
from app.licenses.extending import extend_license
from app.licenses.offline import published_keys
from app.licenses.option_rules import KeyOptions
from app.licenses.services import issue_license, key_text
from app.models import Agent, AgentSession, AuditEvent, FeedEvent, TemporaryLicense
from app.models.engine import reading_only
from tests.conftest import NOW, PASSWORD, Cast, authenticated, signing_keys

MAC = "00:1A:2B:3C:4D:5E"
HOUR = 3600
IDLE = 900
LIMITS = SessionLimits(heartbeat_seconds=5, idle_seconds=IDLE)


def issue(
    session: Session,
    cast: Cast,
    organisation_id: str = Cast.acme,
    now: datetime = NOW,
    ttl: int = HOUR,
    *,
    options: KeyOptions | None = None,
) -> TemporaryLicense:
    """A license, plain and of one hour unless said otherwise, issued by Ada and committed."""
    record, _ = issue_license(
        session,
        actor=cast.actor(cast.ada),
        organisation_id=organisation_id,
        options=options or KeyOptions(ttl),
        limits=KeyLimits((ttl,), 7 * 24 * HOUR),
        signing_keys=current_config().signing_keys,
        now=now,
    )
    session.commit()
    return session.get_one(TemporaryLicense, record.id)


def extend(
    session: Session, cast: Cast, license: TemporaryLicense, ends_at: datetime, now: datetime = NOW
) -> TemporaryLicense:
    """A later end of a key, given by Ada, within seven days of its start."""
    return extend_license(
        session,
        actor=cast.actor(cast.ada),
        key_id=license.key_id,
        ends_at=ends_at,
        reason="Not done yet",
        limits=KeyLimits((), 7 * 24 * HOUR),
        clock=lambda: now,
    )


def text_of(license: TemporaryLicense, app: Flask | None = None) -> str:
    """What a partner pastes."""
    return key_text(license, signing_keys(app or current_app))  # type: ignore[arg-type]


def try_to_sign_in(
    session: Session,
    login_id: str,
    registration_key: str = "",
    *,
    password: str = PASSWORD,
    address: str = "198.51.100.9",
    now: datetime = NOW,
    mac_id: str = MAC,
    machine_id: str = "",
    hostname: str = "",
) -> SignedIn | Refusal | Throttled:
    """Both steps of a sign-in, committed as a request would."""
    answer = sign_in(
        session,
        who=authenticated(session, login_id, password, address=address, now=now),
        request=SignInRequest(registration_key, mac_id, machine_id, hostname),
        signing_keys=signing_keys(current_app),  # type: ignore[arg-type]
        registrations=current_config().registrations,
        clock=lambda: now,
    )
    session.commit()
    return answer


def signed_in(
    session: Session,
    login_id: str,
    license: TemporaryLicense | None = None,
    now: datetime = NOW + timedelta(seconds=1),
    **presented: str,
) -> SignedIn:
    """Somebody in an environment: under a key, or a client user under none."""
    key = text_of(license) if license else ""
    answer = try_to_sign_in(session, login_id, key, now=now, **presented)
    assert isinstance(answer, SignedIn)
    return answer


def public_keys(session: Session) -> dict[str, Ed25519PublicKey]:
    """What anyone may check a license with, by `kid`."""
    return {kid_of(key): key for key in published_keys(session, NOW)}


def machine_of(here: SignedIn | AgentSession) -> Agent:
    """The registered machine that a session is on."""
    session = here.agent_session if isinstance(here, SignedIn) else here
    assert session.agent is not None
    return session.agent


BEA = "bea@example.com"


def add_bea(session: Session, cast: Cast) -> str:
    """A client user of Bolt's."""
    return add_client(session, cast, BEA, cast.bolt)


def add_client(session: Session, cast: Cast, email: str, organisation_id: str) -> str:
    create_user(
        session,
        email=email,
        role=Role.CLIENT,
        password_hash=hash_password(PASSWORD),
        actor=cast.actor(cast.ada),
        now=NOW,
        organisation_id=organisation_id,
    )
    session.commit()
    return email


def feed(session: Session, organisation_id: str = Cast.acme) -> list[tuple[str, str, str]]:
    """The lines of an organisation's Feed, the newest first: kind, actor, subject."""
    lines = session.scalars(
        select(FeedEvent)
        .where(FeedEvent.organisation_id == organisation_id)
        .order_by(FeedEvent.id.desc())
    )
    return [(line.kind, line.actor, line.subject) for line in lines]


def events(session: Session, tag: AuditTag) -> list[AuditEvent]:
    return list(
        session.scalars(
            select(AuditEvent).where(AuditEvent.tag == tag.value).order_by(AuditEvent.id)
        )
    )


def refusal_of(answer: object) -> Refusal:
    assert isinstance(answer, Refusal)
    return answer


def beat(
    session: Session, token: str, now: datetime, limits: SessionLimits = LIMITS
) -> LiveSession | SessionEnd:
    """A heartbeat, as a request makes it: with a session that only reads."""
    session.commit()
    with reading_only():
        answer = heartbeat(session, token=token, now=now, limits=limits)
        session.rollback()
    return answer


def end_of(session: Session, token: str, now: datetime) -> tuple[str, EndCause, datetime]:
    answer = beat(session, token, now)
    assert isinstance(answer, SessionEnd)
    return answer.code.value, answer.cause, answer.at
