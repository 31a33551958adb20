"""The kinds of events in the audit log: a closed list."""

from collections.abc import Mapping
from enum import StrEnum

from app.audit.notice_kinds import NoticeKind
from app.audit.wording import Datum, code, instant, ttl

_PROJECT = {"project_id": None}
OF_COMMANDS: Mapping[str, Datum | None] = {
    "system_user": Datum("run by"),
    "on_behalf_of": Datum("on behalf of"),
}
"""What every event that a command made says besides."""
_REQUEST = {
    "asked_by": Datum("asked for by"),
    "reason": Datum("reason"),
    "key_id": Datum("Key ID"),
}
_MACHINE = {"mac_id": Datum("MAC ID", in_subject=True), "key_id": Datum("Key ID")}


class AuditTag(StrEnum):
    """What happened. `label` is its text on pages, `verb` what follows who did it in a sentence.

    `data` has the names of the event's further data, each with its wording on pages, or None if
    no page shows it. Names and their meanings must not change: old events are read with them.
    """

    label: str
    data: Mapping[str, Datum | None]

    @property
    def verb(self) -> str:
        return _VERBS.get(self, self.label[0].lower() + self.label[1:])

    SIGNED_IN = (
        "portal.signed_in",
        "Signed in to the portal",
        {
            "way": Datum("by", code(provider="the identity provider")),
            "new_browser": Datum("from a new browser"),
        },
    )
    SIGN_IN_REFUSED = (
        "portal.sign_in_refused",
        "Refused at the portal's sign-in",
        {
            "reason": Datum(
                "reason",
                code(
                    wrong="wrong e-mail or password",
                    throttled="too many wrong passwords",
                    role="works on the OP Agent, not on the portal",
                    answer="the identity provider's answer was not accepted",
                    no_role="the identity provider gives no role here",
                    no_email="the identity provider vouches for no e-mail",
                    taken="the e-mail belongs to somebody else at the identity provider",
                    disabled="disabled",
                    last="the last super admin, to whom the identity provider gives another role",
                ),
            )
        },
    )
    SIGNED_OUT = "portal.signed_out", "Signed out of the portal"
    NOT_ALLOWED = (
        "portal.not_allowed",
        "Tried what their role does not allow",
        {"permission": Datum("permission")},
    )
    FORM_REFUSED = (
        "portal.form_refused",
        "Sent a form that was out of date, or not this portal's",
    )
    USER_CREATED = "user.created", "Created a user", {"role": Datum("role", code())}
    USER_INVITED = "user.invited", "Invited a user", {"role": Datum("role", code())}
    USER_UPDATED = (
        "user.updated",
        "Changed a user",
        {"changed": Datum("changed"), "email_before": Datum("e-mail before")},
    )
    USER_ROLE_CHANGED = (
        "user.role_changed",
        "Changed a user's role",
        {"role_before": Datum("from", code()), "role": Datum("to", code())},
    )
    USER_SIGNED_OUT = "user.signed_out", "Signed a user out everywhere"
    USER_DISABLED = "user.disabled", "Disabled a user"
    USER_ENABLED = "user.enabled", "Enabled a user"
    PASSWORD_RESET = "user.password_reset", "Reset a password"
    PASSWORD_LINK_MADE = (
        "user.password_link_made",
        "Made a one-time link for a password",
        {"expires_at": Datum("works until", instant)},
    )
    PASSWORD_SET = "user.password_set", "Set their password by a one-time link"
    PASSWORD_CHANGED = "account.password_changed", "Changed their own password"
    PASSWORD_REFUSED = (
        "account.password_refused",
        "Gave a wrong password for a new one of their own",
    )
    BROWSERS_SIGNED_OUT = (
        "account.browsers_signed_out",
        "Signed other browsers of theirs out",
        {"browsers": Datum("browsers")},
    )
    SECOND_FACTOR_REFUSED = (
        "portal.second_factor_refused",
        "Refused at the second factor",
        {"reason": Datum("reason", code(wrong="wrong code", throttled="too many wrong codes"))},
    )
    PROVEN_AGAIN = "portal.proven_again", "Proved again who they are"
    AUTHENTICATOR_SET_UP = "user.authenticator_set_up", "Set up an authenticator app"
    AUTHENTICATOR_REMOVED = "user.authenticator_removed", "Removed an authenticator app"
    PASSKEY_ADDED = "user.passkey_added", "Added a passkey", {"name": Datum("name")}
    PASSKEY_REMOVED = "user.passkey_removed", "Removed a passkey", {"name": Datum("name")}
    RECOVERY_CODE_USED = "user.recovery_code_used", "Used a recovery code", {"left": Datum("left")}
    RECOVERY_CODES_RENEWED = "user.recovery_codes_renewed", "Made new recovery codes"
    IDENTITY_TIED = "user.identity_tied", "Tied a user to an identity", {"issuer": Datum("of")}
    IDENTITY_UNTIED = "user.identity_untied", "Untied a user from an identity"
    SIGNED_OUT_BY_PROVIDER = (
        "user.signed_out_by_provider",
        "Signed a user out, as the identity provider asked",
        {"browsers": Datum("browsers")},
    )
    SECOND_FACTOR_RESET = "user.second_factor_reset", "Reset a second factor"
    PROJECT_CREATED = "project.created", "Created a project", _PROJECT
    PROJECT_UPDATED = (
        "project.updated",
        "Edited a project",
        _PROJECT | {"changed": Datum("changed")},
    )
    PROJECT_ARCHIVED = "project.archived", "Archived a project", _PROJECT
    PROJECT_RESTORED = "project.restored", "Restored a project", _PROJECT
    PROJECT_DELETED = "project.deleted", "Deleted a project", _PROJECT
    PROJECTS_IMPORTED = (
        "project.imported",
        "Imported projects",
        {
            "created": Datum("created"),
            "updated": Datum("updated"),
            "unchanged": Datum("unchanged"),
            "organisations_created": Datum("organisations created"),
        },
    )
    SIGNING_KEY_CREATED = "signing_key.created", "Created a signing key"
    SIGNING_KEY_CHOSEN = "signing_key.chosen", "Chose an older signing key to sign with"
    SIGNING_KEY_RETIRED = (
        "signing_key.retired",
        "Retired a signing key",
        {"keys": Datum("keys revoked"), "machines": Datum("machines to register anew")},
    )
    LICENSE_ISSUED = (
        "license.issued",
        "Generated a temporary key",
        {
            "ttl": Datum("TTL", ttl),
            "starts_at": Datum("starts", instant),
            "expires_at": Datum("ends", instant),
            "recipient": Datum("for"),
            "reason": Datum("reason"),
            "ticket": Datum("ticket"),
            "sign_ins": Datum("sign-ins"),
            "first_machine": Datum("only the first machine"),
            "use_by": Datum("to be used by", instant),
        },
    )
    LICENSE_EXTENDED = (
        "license.extended",
        "Extended a temporary key",
        {
            "ended_before": Datum("ended at first", instant),
            "expires_at": Datum("ends now", instant),
            "reason": Datum("reason"),
        },
    )
    LICENSE_VIEWED = "license.viewed", "Viewed a temporary key"
    LICENSE_COLLECTED = "license.collected", "Collected a temporary key"
    LICENSE_COPIED = "license.copied", "Copied a temporary key"
    LICENSE_REVOKED = (
        "license.revoked",
        "Revoked a temporary key",
        {"expires_at": Datum("ends", instant), "reason": Datum("reason")},
    )
    LICENSES_REVOKED = (
        "license.many_revoked",
        "Revoked many temporary keys",
        {
            "keys": Datum("keys"),
            "reason": Datum("reason"),
            "recipient": Datum("for"),
            "issued_by": Datum("issued by"),
            "key_ids": None,
        },
    )
    AGENT_SIGNED_IN = "agent.signed_in", "Signed in on an OP Agent", _MACHINE
    AGENT_SIGN_IN_REFUSED = (
        "agent.sign_in_refused",
        "Refused at an OP Agent's sign-in",
        {"code": Datum("reason", code(throttled="too many wrong passwords"))} | _MACHINE,
    )
    AGENT_SESSION_ENDED = (
        "agent.session_ended",
        "OP Agent session ended",
        {
            "code": Datum("reason", code()),
            "cause": Datum("cause", code(), unless_said=True),
            "user": Datum("user", in_subject=True),
            "ended_at": Datum("ended at", instant),
        }
        | _MACHINE,
    )
    MACHINE_REGISTERED = "machine.registered", "Registered a machine", _MACHINE
    MACHINE_DETACHED = "machine.detached", "Detached a machine", _MACHINE
    MACHINE_ATTACHED = "machine.attached", "Attached a machine", _MACHINE
    MACHINE_DISSOCIATED = "machine.dissociated", "Dissociated a machine", _MACHINE
    PERMANENT_LICENSE_REVOKED = (
        "license.permanent_revoked",
        "Revoked a machine's license",
        _MACHINE | {"reason": Datum("reason")},
    )
    CONFIGURATION_SAVED = "agent.configuration_saved", "Saved configuration data", _MACHINE
    CONFIGURATION_REFUSED = (
        "agent.configuration_refused",
        "Refused to save configuration data",
        _MACHINE,
    )
    POLICY_CHANGED = (
        "policy.changed",
        "Changed a policy",
        {"before": Datum("before"), "after": Datum("after")},
    )
    WEBHOOK_ADDED = "webhook.added", "Added a webhook", {"events": Datum("events")}
    WEBHOOK_REMOVED = "webhook.removed", "Removed a webhook"
    WEBHOOK_TESTED = "webhook.tested", "Sent a test to a webhook"
    NOTICE_GIVEN_UP = (
        "notice.given_up",
        "Gave up sending a notice",
        {"kind": Datum("notice"), "answer": Datum("answer")},
    )
    REQUEST_MADE = (
        "request.made",
        "Asked for a temporary key",
        {
            "ttl": Datum("TTL", ttl),
            "recipient": Datum("for"),
            "reason": Datum("reason"),
            "ticket": Datum("ticket"),
            "extends": Datum("extending"),
        },
    )
    REQUEST_APPROVED = "request.approved", "Approved a request", _REQUEST
    REQUEST_REFUSED = "request.refused", "Refused a request", _REQUEST
    REQUEST_WITHDRAWN = "request.withdrawn", "Withdrew a request", _REQUEST
    REQUEST_LAPSED = "request.lapsed", "Request lapsed undecided", _REQUEST
    BACKED_UP = "portal.backed_up", "Made a copy of everything"
    RESTORED = (
        "portal.restored",
        "Restored a copy",
        {
            "made_at": Datum("the copy is of", instant),
            "journal": Datum(
                "journal",
                code(
                    complete="complete",
                    missing="missing",
                    stops_early="stops early",
                    damaged="damaged",
                ),
            ),
            "rest": Datum(
                "what could still be used",
                code(left="left", ended="ended", trusted="left, since the copy was trusted"),
            ),
            "keys": Datum("keys revoked"),
            "sessions": Datum("sessions ended"),
            "users": Datum("users disabled"),
            "machines": Datum("machines withdrawn"),
            "signing_keys": Datum("signing keys retired"),
        },
    )
    AUDIT_CUT_OFF = (
        "audit.cut_off",
        "Cut off the oldest of the audit log",
        {"until": Datum("up to index")},
    )
    AUDIT_EXPORTED = "audit.exported", "Exported the audit log"
    VISITS_EXPORTED = "visits.exported", "Exported visits"
    VISIT_SIGNED = (
        "visits.signed",
        "Downloaded the signed record of a visit",
        {"record_id": Datum("record"), "key_id": Datum("Key ID")},
    )
    VISITS_SHOWN = "visits.shown", "Let clients see visits"
    VISITS_HIDDEN = "visits.hidden", "Stopped letting clients see visits"

    def __new__(
        cls, value: str, label: str, data: Mapping[str, Datum | None] | None = None
    ) -> "AuditTag":
        tag = str.__new__(cls, value)
        tag._value_ = value
        tag.label = label
        tag.data = data or {}
        return tag


_VERBS = {
    AuditTag.SIGN_IN_REFUSED: "was refused at the portal's sign-in",
    AuditTag.SECOND_FACTOR_REFUSED: "was refused at the second factor",
    AuditTag.AGENT_SIGN_IN_REFUSED: "was refused at the sign-in on an OP Agent",
    AuditTag.REQUEST_LAPSED: "let a request lapse undecided",
    AuditTag.AGENT_SESSION_ENDED: "had an OP Agent session end",
}
"""Of those whose label is no verb."""
TAGS = {tag.value: tag for tag in AuditTag}
"""Each tag by its stored value."""

_NOTICES = {
    AuditTag.REQUEST_MADE: NoticeKind.REQUEST_MADE,
    AuditTag.REQUEST_APPROVED: NoticeKind.REQUEST_APPROVED,
    AuditTag.REQUEST_REFUSED: NoticeKind.REQUEST_REFUSED,
    AuditTag.LICENSE_ISSUED: NoticeKind.KEY_GENERATED,
    AuditTag.LICENSE_EXTENDED: NoticeKind.KEY_EXTENDED,
    AuditTag.LICENSE_REVOKED: NoticeKind.KEY_REVOKED,
    AuditTag.USER_INVITED: NoticeKind.USER_INVITED,
    AuditTag.SIGNING_KEY_CREATED: NoticeKind.SIGNING_KEY_ROTATED,
    AuditTag.SIGNING_KEY_CHOSEN: NoticeKind.SIGNING_KEY_ROTATED,
}
"""Those that people, or other programs, are told of."""


def notice_of(tag: AuditTag, data: Mapping[str, str | int | None]) -> NoticeKind | None:
    """What is told of an event, or None."""
    if tag is AuditTag.SIGNED_IN and "new_browser" in data:
        return NoticeKind.NEW_BROWSER
    return _NOTICES.get(tag)


_OF_A_KEY = frozenset(
    {
        AuditTag.LICENSE_ISSUED,
        AuditTag.LICENSE_VIEWED,
        AuditTag.LICENSE_COLLECTED,
        AuditTag.LICENSE_COPIED,
        AuditTag.LICENSE_EXTENDED,
        AuditTag.LICENSE_REVOKED,
    }
)
"""The kinds whose subject is a Key ID."""


def key_id_of(tag: AuditTag, subject: str, data: Mapping[str, str | int | None]) -> str:
    """The Key ID of the license that an event is about, or ""."""
    return subject if tag in _OF_A_KEY else str(data.get("key_id") or "")
