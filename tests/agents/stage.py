"""What tests of OP Agents share: keys to paste, and the two steps of a sign-in as one."""

from datetime import datetime, timedelta

from flask import Flask, current_app
from sqlalchemy.orm import Session

from app.accounts.services import check_password
from app.agents.rules import Refusal
from app.agents.services import SignedIn, Throttled, sign_in
from app.licenses.services import issue_license, key_text
from app.models import TemporaryLicense
from tests.conftest import NOW, PASSWORD, Cast, signing_keys

MAC = "00:1A:2B:3C:4D:5E"
HOUR = 3600
IDLE = 900


def issue(
    session: Session, cast: Cast, organisation_id: str = Cast.acme, now: datetime = NOW
) -> TemporaryLicense:
    """A license of one hour, issued by Ada and committed."""
    license = issue_license(
        session,
        actor=cast.actor(cast.ada),
        organisation_id=organisation_id,
        ttl=HOUR,
        choices=(HOUR,),
        now=now,
    )
    session.commit()
    return license


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
) -> SignedIn | Refusal | Throttled:
    """Both steps of a sign-in, committed as a request would."""
    limit = current_app.extensions["config"].signin_failures
    check = check_password(
        session, login_id=login_id, password=password, address=address, now=now, limit=limit
    )
    answer = sign_in(
        session,
        check=check,
        registration_key=registration_key,
        mac_id=mac_id,
        now=now,
        limit=limit,
    )
    session.commit()
    return answer


def signed_in(
    session: Session,
    login_id: str,
    license: TemporaryLicense,
    now: datetime = NOW + timedelta(seconds=1),
) -> SignedIn:
    answer = try_to_sign_in(session, login_id, text_of(license), now=now)
    assert isinstance(answer, SignedIn)
    return answer
