"""The options of the form on the License tab: what a key will do, for whom, whether they show."""

from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.access.policies import policy_in_force
from app.access.policy_rules import apply_policy
from app.accounts.users import get_user
from app.config import current_config
from app.core.clock import utcnow, whole_second
from app.core.errors import InvalidInput
from app.core.permissions import Permission
from app.extensions import db
from app.licenses.option_rules import checked_options, key_window
from app.licenses.recipients import find_recipient, offered_recipients
from app.licenses.wording import wording
from app.portal.license_form import GenerateForm
from app.projects.services import organisation_of_project
from app.web.access import requires
from app.web.transaction import defer_write

blueprint = Blueprint("license_options", __name__, url_prefix="/projects/<id:project_id>/license")


@blueprint.post("/preview")
@requires(Permission.ISSUE_LICENSES)
@defer_write
def preview(project_id: int) -> ResponseReturnValue:
    """What a key of the form would do; nothing is done."""
    organisation_id = organisation_of_project(db.session(), project_id)
    shown = preview_of(GenerateForm(), organisation_id, utcnow())
    return render_template("licenses/_preview.html", **shown)


@blueprint.get("/recipients")
@requires(Permission.ISSUE_LICENSES)
def recipients(project_id: int) -> ResponseReturnValue:
    """The people whose e-mail or name has what was typed under "For"."""
    organisation_of_project(db.session(), project_id)
    found = offered_recipients(db.session(), request.args.get("for", ""))
    return render_template("licenses/_recipients.html", recipients=found)


@blueprint.post("/options")
@requires(Permission.ISSUE_LICENSES)
def remember(project_id: int) -> ResponseReturnValue:
    """The person has opened or closed "More options"."""
    organisation_of_project(db.session(), project_id)
    get_user(db.session(), current_user.id).more_options = request.form.get("open") == "1"
    return "", 204


def preview_of(form: GenerateForm, organisation_id: str, now: datetime) -> dict[str, Any]:
    """What the preview shows for `form`: its sentence, or what is wrong; fills its dropdowns."""
    config = current_config()
    holds = policy_in_force(db.session(), config, organisation_id)
    used, asks = form.options_used, holds.asks
    form.obey(holds)
    at_first = holds.default_choice(config.license_ttls, current_user.last_ttl)
    ttl = form.offer(config.license_ttls, at_first)
    shown: dict[str, Any] = {
        "form": form,
        "now": now,
        "asks": asks,
        "ttl_seconds": config.license_ttls,
        "works_until": whole_second(now) + timedelta(seconds=ttl),
        "sentence": None,
        "cuts": (),
        "wrong": "",
    }
    bound = asks or holds.longest_freely < max(config.license_ttls)
    if not (used or bound):
        return shown
    try:
        options, shown["cuts"] = apply_policy(
            checked_options(form.options()), holds, cut=config.license_ttls
        )
        if options.recipient:
            find_recipient(db.session(), options.recipient)
        window = key_window(options, holds.limits(config.license_ttls), now)
        if holds.needs_approval(window.ttl):
            shown["cuts"] += (f"another super admin must approve: {holds.approval_above.level}",)
    except InvalidInput as error:
        label = getattr(form, error.field, form.ttl).label.text
        return shown | {"wrong": f"{label}: {error.detail}"}
    if bound or not options.is_plain:
        shown["sentence"] = wording(options, window, form.shown_in)
    return shown
