"""Users, who they are at a provider, their sessions on the portal, links, wrong passwords."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import (
    ColumnElement,
    Enum,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    and_,
    false,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.core.permissions import Role
from app.core.text import EMAIL_LENGTH, NAME_LENGTH
from app.models.base import Base


class UserState(StrEnum):
    ACTIVE = "active"
    INVITED = "invited"
    """Has not chosen a password yet."""
    DISABLED = "disabled"


def _values(roles: type[Role]) -> list[str]:
    return [role.value for role in roles]


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(EMAIL_LENGTH), unique=True)
    """Lower case; the login ID on the portal and on OP Agents."""
    name: Mapped[str] = mapped_column(String(NAME_LENGTH), default="")
    search_text: Mapped[str] = mapped_column(Text, default="")
    """What a search looks through: e-mail and name, folded."""
    password_hash: Mapped[str] = mapped_column(String(255))
    """Blank: an invited user has not chosen a password yet."""
    role: Mapped[Role] = mapped_column(
        Enum(Role, native_enum=False, length=20, values_callable=_values)
    )
    organisation_id: Mapped[str | None] = mapped_column(ForeignKey("organisations.id"))
    """The organisation of a client user; None for every other role."""
    created_at: Mapped[datetime]
    last_sign_in_at: Mapped[datetime | None]
    """On the portal or on an OP Agent."""
    disabled_at: Mapped[datetime | None]
    more_options: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether "More options" of the License tab are open."""
    last_ttl: Mapped[int | None]
    """The TTL, in seconds, that they chose last on the License tab."""
    projects_as_rows: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether Manage Projects lists rows, and not cards."""

    @property
    def state(self) -> UserState:
        if self.disabled_at is not None:
            return UserState.DISABLED
        return UserState.ACTIVE if self.password_hash else UserState.INVITED

    @classmethod
    def is_in(cls, state: UserState) -> ColumnElement[bool]:
        """The condition that a user is in `state`."""
        if state is UserState.DISABLED:
            return cls.disabled_at.is_not(None)
        has_password = cls.password_hash != ""
        return and_(
            cls.disabled_at.is_(None), has_password if state is UserState.ACTIVE else ~has_password
        )


class WebSession(Base):
    """One browser signed in to the portal. The cookie's token is stored hashed."""

    __tablename__ = "web_sessions"

    id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    started_at: Mapped[datetime] = mapped_column(index=True)
    last_active_at: Mapped[datetime]
    proven_at: Mapped[datetime]
    """When the person last proved who they are: at the sign-in, or since."""
    ended_at: Mapped[datetime | None]
    address: Mapped[str] = mapped_column(String(45), default="")
    browser: Mapped[str] = mapped_column(String(50), default="")
    """In words: "Firefox on Linux"."""
    provider_session: Mapped[str | None] = mapped_column(String(255), index=True)
    """What the identity provider calls the sign-in there, "" if it says nothing; None: no such."""

    user: Mapped[User] = relationship(lazy="joined")


class KnownBrowser(Base):
    """A browser that a user has signed in to the portal with, known by a cookie of its own."""

    __tablename__ = "known_browsers"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    last_seen_at: Mapped[datetime] = mapped_column(index=True)


class OneTimeLink(Base):
    """A link with which a person sets their password, once. Its token is stored hashed."""

    __tablename__ = "one_time_links"

    id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    made_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    """When it was used, or replaced by a newer one, or its user disabled."""
    lets_in: Mapped[bool] = mapped_column(default=False)
    """Whether it also signs in: one made by a command, where the portal takes no passwords."""


class Identity(Base):
    """Who a user is at an OpenID provider: the subject there, for good, whatever their e-mail."""

    __tablename__ = "identities"
    __table_args__ = (UniqueConstraint("issuer", "subject"), UniqueConstraint("user_id", "issuer"))

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    issuer: Mapped[str] = mapped_column(String(255))
    subject: Mapped[str] = mapped_column(String(255))
    tied_at: Mapped[datetime]


class SignInFailure(Base):
    """One wrong password, or one that is being looked at; kept for as long as it counts."""

    __tablename__ = "sign_in_failures"
    __table_args__ = (
        Index(None, "account_hash", "address", "failed_at"),
        Index(None, "address", "failed_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    account_hash: Mapped[str] = mapped_column(String(64))
    """Keyed: what is typed as an account may be a password."""
    address: Mapped[str] = mapped_column(String(45))
    failed_at: Mapped[datetime]
