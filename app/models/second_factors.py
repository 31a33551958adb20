"""Second factors: authenticator apps, recovery codes, passkeys."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class Authenticator(Base):
    """An authenticator app (RFC 6238) that a user has set up: one at most."""

    __tablename__ = "authenticators"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    sealed_secret: Mapped[bytes] = mapped_column(LargeBinary(100))
    """Encrypted under the portal's secret key: a stolen database makes no codes."""
    set_up_at: Mapped[datetime]


class UsedCode(Base):
    """A step whose code was used: a code counts once. Kept as long as the code would count."""

    __tablename__ = "used_codes"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class RecoveryCode(Base):
    """A code for whoever has lost their second factor; stored hashed, deleted when used."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    code_hash: Mapped[str] = mapped_column(String(64), primary_key=True)


class Passkey(Base):
    """A passkey (WebAuthn) of a user."""

    __tablename__ = "passkeys"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    credential_id: Mapped[bytes] = mapped_column(LargeBinary(1023), unique=True)
    public_key: Mapped[bytes] = mapped_column(LargeBinary(2000))
    sign_count: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str] = mapped_column(String(100))
    added_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]


class UsedChallenge(Base):
    """A challenge that a passkey has answered: an answer counts once."""

    __tablename__ = "used_challenges"

    challenge_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[datetime]
