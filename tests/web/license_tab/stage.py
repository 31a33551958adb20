"""What tests of the License tab share: keys, and reading the page."""

import re
from html import unescape
from typing import Any

from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from app.core.clock import utcnow
from app.extensions import db
from app.licenses.option_rules import KeyOptions
from app.licenses.services import revoke_license
from app.models import TemporaryLicense, WebSession
from tests.agents import stage
from tests.conftest import Cast, Clock, Visitor

HOUR = 3600
POLL = {
    "HX-Request": "true",
    "HX-Request-Type": "partial",
    "HX-Target": "section#keys",
    "X-Timer": "1",
}


def issue(
    app: Flask,
    cast: Cast,
    *,
    ttl: int = 3 * HOUR,
    organisation_id: str = Cast.acme,
    **carried: Any,
) -> TemporaryLicense:
    with app.app_context():
        options = KeyOptions(ttl, **carried)
        license = stage.issue(db.session(), cast, organisation_id, utcnow(), ttl, options=options)
        db.session.refresh(license)
        db.session.expunge_all()
        return license


def revoke(app: Flask, cast: Cast, license: TemporaryLicense) -> None:
    with app.app_context():
        revoke_license(
            db.session(), actor=cast.actor(cast.ada), key_id=license.key_id, now=utcnow()
        )
        db.session.commit()


def later(app: Flask, clock: Clock, **duration: float) -> None:
    """Turn the clock, for people who are at work meanwhile."""
    clock.advance(**duration)
    with app.app_context():
        for signed_in in db.session().scalars(select(WebSession)):
            signed_in.last_active_at = clock.instant
        db.session.commit()


def stored(app: Flask) -> list[TemporaryLicense]:
    with app.app_context():
        return list(db.session().scalars(select(TemporaryLicense)))


def form_token(answer: TestResponse) -> str:
    return re.search(r'name="form_token"[^>]*value="([^"]+)"', answer.text)[1]


def generate(
    visitor: Visitor, tab: str, ttl: str = "3h", *, htmx: bool = False, **fields: str
) -> TestResponse:
    token = form_token(visitor.get(tab))
    return visitor.post(tab, {"ttl": ttl, "form_token": token, **fields}, htmx=htmx)


def shown_key(answer: TestResponse) -> str | None:
    match = re.search(r"<textarea[^>]*>([^<]*)</textarea>", answer.text)
    return match[1].strip() if match else None


def options(answer: TestResponse) -> list[str]:
    dropdown = answer.text.partition('id="license-keys"')[2].partition("</select>")[0]
    found = re.findall(r'<optgroup label="(\w+)"|<option[^>]*>([^<]+)<', dropdown)
    return [group or unescape(text).strip() for group, text in found]


def chosen(answer: TestResponse) -> str:
    dropdown = answer.text.partition('id="license-keys"')[2].partition("</select>")[0]
    [key_id] = re.findall(r'value="([^"]+)"(?:(?!<option)[^>])*\sselected', dropdown)
    return key_id


def seen(answer: TestResponse) -> str:
    return re.search(r'name="seen" value="([^"]+)"', answer.text)[1]
