"""What tests of the OP Agent in the browser share: logging in, and reading the window."""

import re

from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from app.extensions import db
from app.models import AgentSession
from tests.conftest import PASSWORD, Cast, Visitor


def log_in(visitor: Visitor, key: str = "", **fields: object) -> TestResponse:
    values = {"login_id": Cast.pat, "password": PASSWORD, "registration_key": key, **fields}
    return visitor.post("/agent", values)


def beside(answer: TestResponse, field: str) -> str:
    """The sentence beside a field, as a person reads it; "" if there is none."""
    match = re.search(rf'id="{field}-error">(.*?)</p>', answer.text, re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", "", match[1]).split()) if match else ""


def told(answer: TestResponse) -> str:
    """What the notice above the window's content says."""
    match = re.search(r'class="alert-heading">(.*?)</p>', answer.text, re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", "", match[1]).split()) if match else ""


def stored(app: Flask) -> list[AgentSession]:
    with app.app_context():
        return list(db.session.scalars(select(AgentSession).order_by(AgentSession.id)))


def cookie_of(answer: TestResponse, name: str) -> str:
    return next(
        value for value in answer.headers.getlist("Set-Cookie") if value.startswith(f"{name}=")
    )
