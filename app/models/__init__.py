"""Every table of the portal."""

from app.models.accounts import (
    Identity,
    KnownBrowser,
    OneTimeLink,
    SignInFailure,
    User,
    UserState,
    WebSession,
)
from app.models.agents import (
    Agent,
    AgentSession,
    Configuration,
    FurtherMacId,
    Installation,
)
from app.models.audit import AuditCheckpoint, AuditEvent, AuditLeaf, AuditTile, FeedEvent
from app.models.base import Base
from app.models.licenses import KeyInspection, PermanentLicense, SigningKey, TemporaryLicense
from app.models.notices import Delivery, KeyWatch, Notice, Webhook
from app.models.policies import Request, StoredPolicy
from app.models.project_search import ProjectSearch
from app.models.projects import ImportDraft, Organisation, Project
from app.models.second_factors import (
    Authenticator,
    Passkey,
    RecoveryCode,
    UsedChallenge,
    UsedCode,
)
from app.models.visits import Visit

__all__ = [
    "Agent",
    "AgentSession",
    "AuditCheckpoint",
    "AuditEvent",
    "AuditLeaf",
    "AuditTile",
    "Authenticator",
    "Base",
    "Configuration",
    "Delivery",
    "FeedEvent",
    "FurtherMacId",
    "Identity",
    "ImportDraft",
    "Installation",
    "KeyInspection",
    "KeyWatch",
    "KnownBrowser",
    "Notice",
    "OneTimeLink",
    "Organisation",
    "Passkey",
    "PermanentLicense",
    "Project",
    "ProjectSearch",
    "RecoveryCode",
    "Request",
    "SignInFailure",
    "SigningKey",
    "StoredPolicy",
    "TemporaryLicense",
    "UsedChallenge",
    "UsedCode",
    "User",
    "UserState",
    "Visit",
    "WebSession",
    "Webhook",
]
