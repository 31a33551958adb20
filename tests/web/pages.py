"""What tests of pages share: a key that is there, and what a page says."""

import re
from datetime import datetime
from html import unescape

from flask import Flask
from werkzeug.test import TestResponse

from app.extensions import db
from tests.agents.stage import HOUR, issue
from tests.conftest import NOW, Cast


def issued(
    app: Flask, cast: Cast, organisation_id: str, *, ttl: int = HOUR, now: datetime = NOW
) -> str:
    """The Key ID of a key that Ada has generated."""
    with app.app_context():
        key_id = issue(db.session(), cast, organisation_id, now, ttl).key_id
        db.session.remove()
    return key_id


def words(page: TestResponse | str) -> str:
    """What a page says, as one line without tags."""
    text = page if isinstance(page, str) else page.text
    text = re.sub(r"<(script|style)\b.*?</\1>", " ", text, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())
