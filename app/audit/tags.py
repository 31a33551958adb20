"""Everything that the audit log can say: a closed vocabulary."""

from enum import StrEnum


class AuditTag(StrEnum):
    """What happened. `label` is how a page says it."""

    label: str

    SIGNED_IN = "portal.signed_in", "Signed in to the portal"
    SIGN_IN_REFUSED = "portal.sign_in_refused", "Refused at the portal's sign-in"
    SIGNED_OUT = "portal.signed_out", "Signed out of the portal"
    NOT_ALLOWED = "portal.not_allowed", "Tried what their role does not allow"
    USER_CREATED = "user.created", "Created a user"
    USER_DISABLED = "user.disabled", "Disabled a user"
    PASSWORD_RESET = "user.password_reset", "Reset a password"
    PROJECT_CREATED = "project.created", "Created a project"
    PROJECT_UPDATED = "project.updated", "Edited a project"
    PROJECT_ARCHIVED = "project.archived", "Archived a project"
    PROJECT_RESTORED = "project.restored", "Restored a project"
    PROJECT_DELETED = "project.deleted", "Deleted a project"
    PROJECTS_IMPORTED = "project.imported", "Imported projects"
    SIGNING_KEY_CREATED = "signing_key.created", "Created a signing key"
    SIGNING_KEY_CHOSEN = "signing_key.chosen", "Chose an older signing key to sign with"
    LICENSE_ISSUED = "license.issued", "Generated a temporary key"
    LICENSE_REVOKED = "license.revoked", "Revoked a temporary key"
    AGENT_SIGNED_IN = "agent.signed_in", "Signed in on an OP Agent"
    AGENT_SIGN_IN_REFUSED = "agent.sign_in_refused", "Refused at an OP Agent's sign-in"
    AGENT_SESSION_ENDED = "agent.session_ended", "OP Agent session ended"
    MACHINE_REGISTERED = "machine.registered", "Registered a machine"
    MACHINE_DETACHED = "machine.detached", "Detached a machine"
    MACHINE_ATTACHED = "machine.attached", "Attached a machine"
    MACHINE_DISSOCIATED = "machine.dissociated", "Dissociated a machine"
    PERMANENT_LICENSE_REVOKED = "license.permanent_revoked", "Revoked a permanent license"
    CONFIGURATION_SAVED = "agent.configuration_saved", "Saved configuration data"
    CONFIGURATION_REFUSED = "agent.configuration_refused", "Refused to save configuration data"

    def __new__(cls, value: str, label: str) -> "AuditTag":
        tag = str.__new__(cls, value)
        tag._value_ = value
        tag.label = label
        return tag
