"""What every template knows."""

from flask import Flask, has_request_context, request

from app.core.clock import utcnow
from app.web.assets import asset_address


def init_app(app: Flask) -> None:
    """Give templates `asset`, `theme` and `server_now` (see templates/base.html)."""
    app.jinja_env.globals["asset"] = asset_address
    app.context_processor(lambda: {"theme": _theme(), "server_now": utcnow()})


def _theme() -> str | None:
    """The looks that the visitor has chosen, or None: as the system says."""
    theme = request.cookies.get("theme") if has_request_context() else None
    return theme if theme in ("light", "dark") else None
