"""Every table of the portal."""

from app.models.accounts import SignInFailure, User, WebSession
from app.models.agents import AgentSession
from app.models.audit import AuditEvent
from app.models.base import Base
from app.models.licenses import SigningKey, TemporaryLicense
from app.models.projects import Organisation, Project

__all__ = [
    "AgentSession",
    "AuditEvent",
    "Base",
    "Organisation",
    "Project",
    "SignInFailure",
    "SigningKey",
    "TemporaryLicense",
    "User",
    "WebSession",
]
