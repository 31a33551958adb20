"""Every table of the portal."""

from app.models.accounts import OneTimeLink, SignInFailure, User, UserState, WebSession
from app.models.agents import (
    Agent,
    AgentSession,
    Configuration,
    FurtherMacId,
    Installation,
)
from app.models.audit import AuditEvent, FeedEvent
from app.models.base import Base
from app.models.licenses import KeyInspection, PermanentLicense, SigningKey, TemporaryLicense
from app.models.project_search import ProjectSearch
from app.models.projects import ImportDraft, Organisation, Project

__all__ = [
    "Agent",
    "AgentSession",
    "AuditEvent",
    "Base",
    "Configuration",
    "FeedEvent",
    "FurtherMacId",
    "ImportDraft",
    "Installation",
    "KeyInspection",
    "OneTimeLink",
    "Organisation",
    "PermanentLicense",
    "Project",
    "ProjectSearch",
    "SignInFailure",
    "SigningKey",
    "TemporaryLicense",
    "User",
    "UserState",
    "WebSession",
]
