"""The application object that answers requests."""

from collections.abc import Callable
from typing import Any

from flask import Flask
from flask.typing import ResponseReturnValue

from app.web.deadline import late_answer
from app.web.transaction import one_transaction


class Portal(Flask):
    """Flask, with one database transaction around each view."""

    def dispatch_request(self) -> ResponseReturnValue:
        with one_transaction():
            response = super().dispatch_request()
        return late_answer() or response

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func  # Flask examines every function of every request; none of ours is asynchronous
