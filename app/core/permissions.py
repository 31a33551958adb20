"""Roles, permissions, and the table of which role has which permission."""

from enum import StrEnum


class Role(StrEnum):
    SUPER_ADMIN = "super_admin"
    AUDITOR = "auditor"
    PARTNER = "partner"
    DEVELOPER = "developer"
    CLIENT = "client"


ROLE_LABELS = {
    Role.SUPER_ADMIN: "Super admin",
    Role.AUDITOR: "Auditor",
    Role.PARTNER: "Partner",
    Role.DEVELOPER: "Developer",
    Role.CLIENT: "Client user",
}


class Permission(StrEnum):
    VIEW_PORTAL = "view_portal"
    MANAGE_PROJECTS = "manage_projects"
    ISSUE_LICENSES = "issue_licenses"
    REVOKE_LICENSES = "revoke_licenses"
    SEE_LICENSE_KEYS = "see_license_keys"
    END_SESSIONS = "end_sessions"
    MANAGE_AGENTS = "manage_agents"
    EXPORT_AUDIT = "export_audit"
    VIEW_USERS = "view_users"
    MANAGE_USERS = "manage_users"
    VIEW_POLICY = "view_policy"
    MANAGE_POLICY = "manage_policy"
    VIEW_REQUESTS = "view_requests"
    VIEW_WEBHOOKS = "view_webhooks"
    MANAGE_WEBHOOKS = "manage_webhooks"
    DECIDE_REQUESTS = "decide_requests"
    OWN_ACCOUNT = "own_account"
    """Signing in to the portal, and one's own account there."""
    OWN_ACCESS = "own_access"
    """The keys that were made for oneself, and asking for more."""


ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.SUPER_ADMIN: frozenset(Permission) - {Permission.OWN_ACCESS},
    Role.AUDITOR: frozenset(
        {
            Permission.VIEW_PORTAL,
            Permission.EXPORT_AUDIT,
            Permission.VIEW_USERS,
            Permission.VIEW_POLICY,
            Permission.VIEW_REQUESTS,
            Permission.VIEW_WEBHOOKS,
            Permission.OWN_ACCOUNT,
        }
    ),
    Role.PARTNER: frozenset({Permission.OWN_ACCESS, Permission.OWN_ACCOUNT}),
    Role.DEVELOPER: frozenset({Permission.OWN_ACCESS, Permission.OWN_ACCOUNT}),
    Role.CLIENT: frozenset(),
}

TEMPORARY_KEY_ROLES = frozenset({Role.PARTNER, Role.DEVELOPER})
"""The roles that sign in on an OP Agent only with a temporary license key."""


PROVIDED_ROLES = (Role.SUPER_ADMIN, Role.AUDITOR, Role.PARTNER, Role.DEVELOPER)
"""What an identity provider may give, the highest first; a client user needs an organisation."""


def allows(role: Role, permission: Permission) -> bool:
    """Whether `role` has `permission`."""
    return permission in ROLE_PERMISSIONS[role]


class SecondFactorPolicy(StrEnum):
    """Who must have a second factor on the portal."""

    SUPER_ADMIN = "super_admin"
    EVERYONE = "everyone"
    OFF = "off"


def needs_second_factor(policy: SecondFactorPolicy, role: Role) -> bool:
    """Whether somebody of `role` must have a second factor."""
    if policy is SecondFactorPolicy.OFF:
        return False
    return policy is SecondFactorPolicy.EVERYONE or role is Role.SUPER_ADMIN
