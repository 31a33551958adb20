"""Second factors: setting them up, proving them, taking them away."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, exists, func, insert, select
from sqlalchemy.orm import Session

from app import throttle
from app.accounts.second_factor_rules import CODES_A_DAY, RECOVERY_CODES, forgotten_before
from app.accounts.totp import (
    hash_recovery_code,
    matching_step,
    new_recovery_code,
    seal,
    unseal,
)
from app.audit.log import log_event
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.durations import Rate
from app.core.errors import InvalidInput, NotFound
from app.models import Authenticator, Passkey, RecoveryCode, UsedCode, User

WRONG_CODE = "That code is not right, or was used before. Wait for the next one and enter that."


@dataclass(frozen=True)
class Factors:
    """What somebody can prove themselves by besides their password."""

    authenticator: bool
    passkeys: int
    recovery_codes: int

    @property
    def any(self) -> bool:
        return self.authenticator or self.passkeys > 0


def factors_of(session: Session, user_id: int) -> Factors:
    """The second factors of a user."""
    app, passkeys, codes = session.execute(
        select(
            exists().where(Authenticator.user_id == user_id),
            select(func.count(Passkey.id)).where(Passkey.user_id == user_id).scalar_subquery(),
            select(func.count(RecoveryCode.code_hash))
            .where(RecoveryCode.user_id == user_id)
            .scalar_subquery(),
        )
    ).one()
    return Factors(bool(app), passkeys, codes)


def set_up_authenticator(
    session: Session,
    *,
    user: User,
    secret: str,
    code: str,
    secret_key: str,
    actor: Actor,
    now: datetime,
) -> list[str]:
    """Let `secret` be the user's authenticator app, in place of any before.

    `user` must be locked. Returns the recovery codes if the user had none, else []. Raises
    InvalidInput (field "code") unless `code` is one of the app: it was set up then.
    """
    step = matching_step(secret, code, now)
    if step is None:
        raise InvalidInput(
            "code",
            "That is not the code that the app shows now. Enter the six digits that it shows; if "
            "they are refused again, set the phone's clock right.",
        )
    session.execute(delete(Authenticator).where(Authenticator.user_id == user.id))
    session.execute(delete(UsedCode).where(UsedCode.user_id == user.id))
    session.add(
        Authenticator(
            user_id=user.id, sealed_secret=seal(secret_key, user.id, secret), set_up_at=now
        )
    )
    session.add(UsedCode(user_id=user.id, step=step))
    log_event(session, AuditTag.AUTHENTICATOR_SET_UP, actor=actor, now=now, subject=user.email)
    return ensure_recovery_codes(session, user=user, secret_key=secret_key)


def ensure_recovery_codes(session: Session, *, user: User, secret_key: str) -> list[str]:
    """New recovery codes if the user has none left, else []; they are shown once."""
    if factors_of(session, user.id).recovery_codes:
        return []
    codes = [new_recovery_code() for _ in range(RECOVERY_CODES)]
    session.execute(
        insert(RecoveryCode),
        [
            {"user_id": user.id, "code_hash": hash_recovery_code(secret_key, user.id, code)}
            for code in codes
        ],
    )
    return codes


def renew_recovery_codes(
    session: Session, *, user: User, secret_key: str, actor: Actor, now: datetime
) -> list[str]:
    """New recovery codes in place of all before."""
    session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user.id))
    log_event(session, AuditTag.RECOVERY_CODES_RENEWED, actor=actor, now=now, subject=user.email)
    return ensure_recovery_codes(session, user=user, secret_key=secret_key)


@dataclass(frozen=True)
class Attempt:
    """The outcome of entering a code: right, or not, or not even looked at for so many seconds.

    `of_the_day`: the app's codes alone are not, since there were too many wrong ones in a day.
    """

    right: bool
    wait_seconds: int = 0
    of_the_day: bool = False


def check_code(
    session: Session,
    *,
    user: User,
    code: str,
    recovery: bool,
    secret_key: str,
    limit: Rate,
    now: datetime,
) -> Attempt:
    """Whether `code` is one that counts, which it then does never again.

    It is one of the user's authenticator app, or with `recovery` a recovery code. `user` must be
    locked, so that of two who enter the same code one is told that it was used. Wrong ones are
    limited as passwords are, but for the user whatever address they come from: whoever enters one
    knows the password, and may have many addresses. Those of the app are limited for a day as well;
    recovery codes, which nobody guesses, then still let their owner in. The caller logs the
    refusal.
    """
    address = f"user {user.id}"
    throttle.wait_for_turn(session, address=address)
    limits = {address: limit} if recovery else {_day_of(user): CODES_A_DAY, address: limit}
    attempts: list[int] = []
    for counted, rate in limits.items():
        attempt_id, wait = throttle.begin_attempt(
            session,
            account="second factor",
            address=counted,
            secret=secret_key,
            now=now,
            limit=rate,
        )
        if wait:
            _take_back(session, attempts)
            return Attempt(right=False, wait_seconds=wait, of_the_day=counted != address)
        attempts.append(attempt_id)
    use = _use_recovery_code if recovery else _use_code
    if not use(session, user, code, secret_key, now):
        return Attempt(right=False)
    _take_back(session, attempts)
    return Attempt(right=True)


def _day_of(user: User) -> str:
    return f"{throttle.OF_THE_DAY}user {user.id}"


def _take_back(session: Session, attempts: list[int]) -> None:
    for attempt_id in attempts:
        throttle.take_back_attempt(session, attempt_id)


def _use_code(session: Session, user: User, code: str, secret_key: str, now: datetime) -> bool:
    sealed = session.scalar(
        select(Authenticator.sealed_secret).where(Authenticator.user_id == user.id)
    )
    secret = unseal(secret_key, user.id, sealed) if sealed else None
    step = matching_step(secret, code, now) if secret else None
    if step is None:
        return False
    of_user = UsedCode.user_id == user.id
    if session.scalar(select(exists().where(of_user, UsedCode.step == step))):
        return False
    session.execute(delete(UsedCode).where(of_user, UsedCode.step < forgotten_before(now)))
    session.add(UsedCode(user_id=user.id, step=step))
    return True


def _use_recovery_code(
    session: Session, user: User, code: str, secret_key: str, now: datetime
) -> bool:
    used = session.execute(
        delete(RecoveryCode).where(
            RecoveryCode.user_id == user.id,
            RecoveryCode.code_hash == hash_recovery_code(secret_key, user.id, code),
        )
    )
    if used.rowcount != 1:  # type: ignore[attr-defined]
        return False
    actor = Actor(user.id, user.email, user.role, "")
    left = factors_of(session, user.id).recovery_codes
    log_event(
        session, AuditTag.RECOVERY_CODE_USED, actor=actor, now=now, subject=user.email, left=left
    )
    return True


def remove_authenticator(session: Session, *, user: User, actor: Actor, now: datetime) -> None:
    """Forget the user's authenticator app; does nothing if there is none."""
    removed = session.execute(delete(Authenticator).where(Authenticator.user_id == user.id))
    if removed.rowcount:  # type: ignore[attr-defined]
        _forget_codes_of_nothing(session, user)
        log_event(session, AuditTag.AUTHENTICATOR_REMOVED, actor=actor, now=now, subject=user.email)


def remove_passkey(
    session: Session, *, user: User, passkey_id: int, actor: Actor, now: datetime
) -> None:
    """Forget one of the user's own passkeys. Raises NotFound if it is none of theirs."""
    passkey = session.get(Passkey, passkey_id)
    if passkey is None or passkey.user_id != user.id:
        raise NotFound("There is no such passkey of yours.")
    session.delete(passkey)
    session.flush()
    _forget_codes_of_nothing(session, user)
    tag, name = AuditTag.PASSKEY_REMOVED, passkey.name
    log_event(session, tag, actor=actor, now=now, subject=user.email, name=name)


def _forget_codes_of_nothing(session: Session, user: User) -> None:
    """Recovery codes stand in for another factor; without one they are no second factor."""
    if not factors_of(session, user.id).any:
        session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user.id))


def reset_second_factor(session: Session, *, user: User, actor: Actor, now: datetime) -> None:
    """Forget everything that the user proves themselves by besides their password.

    Where one is required they set one up at their next sign-in.
    """
    for table in (Authenticator, UsedCode, RecoveryCode, Passkey):
        session.execute(delete(table).where(table.user_id == user.id))
    throttle.forget_attempts(session, address=_day_of(user))
    log_event(session, AuditTag.SECOND_FACTOR_RESET, actor=actor, now=now, subject=user.email)
