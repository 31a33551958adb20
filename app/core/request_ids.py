"""The ID of the request that is being answered: in its log line, its audit events, its answer."""

from contextvars import ContextVar

_request_id: ContextVar[str] = ContextVar("request_id", default="")


def current_request_id() -> str:
    """The ID of the request that is being answered; "" outside of one."""
    return _request_id.get()


def set_request_id(request_id: str) -> None:
    """Name the request that is answered from now on in this context."""
    _request_id.set(request_id)
