"""What the policy's page and the card on a project's Overview show."""

from typing import Any

from werkzeug.datastructures import MultiDict

from app.access.policies import policy_in_force, policy_of
from app.access.policy_rules import RULES, Level, PolicyInForce, without_effect
from app.access.policy_texts import LENGTHS, WORDS
from app.accounts.users import has_one_super_admin
from app.config import current_config
from app.core.durations import format_ttl
from app.core.text import counted
from app.extensions import db
from app.portal.policy_form import (
    AS_INSTALLATION,
    InstallationForm,
    OrganisationForm,
    PolicyForm,
    values_of,
    values_of_installation,
)
from app.web.forms_again import entered

OF_SETTINGS = {
    "ceiling": "As the settings",
    "default_ttl": "As the settings",
    "use_within": "No limit",
    "approval_above": "",
}


def installation_form() -> InstallationForm:
    """The form as it stands, or with what was entered."""
    values = values_of_installation(policy_of(db.session()))
    return InstallationForm(formdata=_entered(), data=values)


def organisation_form(organisation_id: str) -> OrganisationForm:
    """The same of an organisation's policy."""
    values = values_of(policy_of(db.session(), organisation_id))
    return OrganisationForm(formdata=_entered(), data=values)


def _entered() -> MultiDict[str, str] | None:
    """What was entered in a policy's form; the Overview has other forms too."""
    form = entered()
    return form if form and "ticket_pattern" in form else None


def card(form: PolicyForm, organisation_id: str | None = None, tried: str = "") -> dict[str, Any]:
    """What the form is shown with; `tried` says whether a ticket fits."""
    level = Level.ORGANISATION if organisation_id else Level.INSTALLATION
    first = dict.fromkeys(LENGTHS, AS_INSTALLATION) if organisation_id else OF_SETTINGS
    form.offer(current_config().license_ttls, first)
    holds = policy_in_force(db.session(), current_config(), organisation_id)
    idle = without_effect(policy_of(db.session(), organisation_id), level, holds)
    return {
        "form": form,
        "nobody_approves": _nobody_approves(holds),
        "tried": tried,
        "blank": AS_INSTALLATION if organisation_id else "",
        "hints": {name: _hint(name, holds, idle=name in idle) for name in RULES},
        "rows": [(form[name].label.text, *_in_force(name, holds)) for name in RULES],
    }


def _nobody_approves(holds: PolicyInForce) -> bool:
    """Whether keys would wait for somebody that there is not: nobody approves their own."""
    waits = holds.approval_above.value < holds.ceiling.value
    return waits and has_one_super_admin(db.session())


def _hint(name: str, holds: PolicyInForce, *, idle: bool) -> str:
    value, level = _in_force(name, holds)
    begins = "This has no effect. In force" if idle else "In force"
    return f"{begins}: {value}, set by {level}."


def _in_force(name: str, holds: PolicyInForce) -> tuple[str, str]:
    """What holds, and who has set it, in words."""
    if name == "ticket_pattern":
        patterns = holds.ticket_patterns
        levels = " and ".join(level for _, level in patterns) or Level.SETTINGS.value
        return " and ".join(pattern for pattern, _ in patterns) or "none", levels
    value, level = getattr(holds, name)
    if value is None:
        return "no limit", level.value
    if name == "approval_above" and value in WORDS:
        return WORDS[value], level.value
    if name == "partners_may_ask":
        return ("yes" if value else "no"), level.value
    if isinstance(value, bool):
        return ("required" if value else "not required"), level.value
    return (counted(value, "character") if name == "reason_length" else format_ttl(value)), level
