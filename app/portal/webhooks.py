"""Webhooks: who listens, what they have answered, and what could not be delivered."""

from dataclasses import dataclass

from flask import Blueprint, Response, flash, make_response, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from wtforms import SelectMultipleField, StringField

from app.audit.notice_kinds import KINDS, NoticeKind
from app.config import current_config
from app.core.clock import utcnow
from app.core.errors import Conflict, InvalidInput
from app.core.paging import Page
from app.core.permissions import Permission
from app.extensions import db
from app.models import Delivery, Webhook
from app.notices.deliveries import (
    DELIVERED_KEPT,
    GIVEN_UP_KEPT,
    count_not_delivered,
    last_deliveries,
    not_delivered,
)
from app.notices.webhooks import (
    TEST,
    add_test,
    add_webhook,
    check_address,
    get_webhook,
    list_webhooks,
    remove_webhook,
)
from app.portal.gate import begin_checked_write
from app.web.access import current_actor, needs_proof, requires
from app.web.forms_again import entered, shown_again_by
from app.web.htmx import fingerprint, is_seen, redirect_see_other, render
from app.web.paging import requested_page
from app.web.transaction import defer_write

blueprint = Blueprint("webhooks", __name__, url_prefix="/settings/webhooks")
LAST_SHOWN = 10
PAGE_SIZE = 50


class WebhookForm(FlaskForm):
    """A new webhook; the service checks it."""

    address = StringField(
        "Address",
        render_kw={
            "aria-required": "true",
            "autocomplete": "off",
            "spellcheck": "false",
            "autocapitalize": "off",
            "inputmode": "url",
            "dir": "ltr",
        },
    )
    events = SelectMultipleField("Events", validate_choice=False)


@dataclass(frozen=True)
class Told:
    """The webhooks, each with what it was told last, and a page of what was not delivered."""

    webhooks: list[tuple[Webhook, list[Delivery]]]
    not_delivered: list[Delivery]
    page: Page

    @property
    def fingerprint(self) -> str:
        """A hash that changes when anything shown changes."""
        lists = [each for _, each in self.webhooks] + [self.not_delivered]
        webhooks = [webhook.id for webhook, _ in self.webhooks]
        tries = [[(one.id, one.tried_at, one.given_up_at) for one in each] for each in lists]
        return fingerprint([self.page, webhooks, tries])


@blueprint.get("")
@requires(Permission.VIEW_WEBHOOKS)
def show() -> ResponseReturnValue:
    told = _told()
    if is_seen(told.fingerprint):
        return "", 204
    return _page(WebhookForm(formdata=entered()), told)


@blueprint.post("")
@requires(Permission.MANAGE_WEBHOOKS)
@needs_proof
@defer_write
def add() -> ResponseReturnValue:
    form, config = WebhookForm(), current_config()
    address = (form.address.data or "").strip()
    db.session.rollback()
    try:
        check_address(address, config)
        begin_checked_write()
        webhook, secret = add_webhook(
            db.session(),
            actor=current_actor(),
            address=address,
            events=form.events.data or list(KINDS),
            config=config,
            now=utcnow(),
        )
    except InvalidInput as error:
        form[error.field].errors = [error.detail]
        return _page(form, _told(), error.status)
    except Conflict as error:
        form.address.errors = [error.detail]
        return _page(form, _told(), error.status)
    return _show_secret(webhook, secret)


@blueprint.post("/<id:webhook_id>/test")
@requires(Permission.MANAGE_WEBHOOKS)
@shown_again_by(lambda **_: show())
def test(webhook_id: int) -> ResponseReturnValue:
    webhook = get_webhook(db.session(), webhook_id)
    add_test(db.session(), webhook, actor=current_actor(), now=utcnow())
    flash("A test is on its way. Its answer will stand with the webhook.", "success")
    return redirect_see_other(url_for("webhooks.show"))


@blueprint.post("/<id:webhook_id>/remove")
@requires(Permission.MANAGE_WEBHOOKS)
@needs_proof
@shown_again_by(lambda **_: show())
def remove(webhook_id: int) -> ResponseReturnValue:
    webhook = get_webhook(db.session(), webhook_id)
    remove_webhook(db.session(), webhook, actor=current_actor(), now=utcnow())
    flash("The webhook was removed.", "success")
    return redirect_see_other(url_for("webhooks.show"))


def _told() -> Told:
    session = db.session()
    webhooks = list_webhooks(session)
    page = requested_page(size=PAGE_SIZE, total=count_not_delivered(session))
    return Told(
        [(each, last_deliveries(session, each.id, limit=LAST_SHOWN)) for each in webhooks],
        not_delivered(session, limit=page.size, offset=page.offset),
        page,
    )


def _page(form: WebhookForm, told: Told, status: int = 200) -> Response:
    return render(
        "webhooks/page.html",
        "webhooks/_told.html",
        status,
        form=form,
        told=told,
        kinds=list(NoticeKind),
        labels={TEST: "A test", **{kind.value: kind.label for kind in NoticeKind}},
        days_kept=(DELIVERED_KEPT.days, GIVEN_UP_KEPT.days),
        mail_server=current_config().mail_server,
    )


def _show_secret(webhook: Webhook, secret: str) -> Response:
    """The secret of a new webhook, this once."""
    page = render_template("webhooks/secret.html", webhook=webhook, secret=secret)
    return make_response(page, {"Cache-Control": "no-store"})
