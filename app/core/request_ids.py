"""The ID of the request that is being answered, by which a line of the log is found again."""

import os
import re
from contextvars import ContextVar

_current: ContextVar[str] = ContextVar("request_id", default="")
_TRUSTED = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def current_request_id() -> str:
    """The ID of the request that is being answered here, "" outside of one."""
    return _current.get()


def begin_request(given: str | None) -> str:
    """The request's ID from now on: the one that a trusted proxy has `given`, else a new one."""
    request_id = given if given and _TRUSTED.fullmatch(given) else os.urandom(12).hex()
    _current.set(request_id)
    return request_id


def end_request() -> None:
    """The request was answered."""
    _current.set("")
