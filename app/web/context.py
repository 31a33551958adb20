"""Variables, functions and filters for all templates."""

from flask import Flask, has_request_context, request

from app.config import current_config
from app.core.clock import iso, utc_text, utcnow
from app.core.durations import format_length, time_left
from app.web.assets import asset_address
from app.web.proxies import path_prefix, public_address


def init_app(app: Flask) -> None:
    """Give templates what templates/base.html and those in it need, and four filters."""
    app.jinja_env.globals |= {"asset": asset_address, "public_address": public_address}
    app.jinja_env.filters |= {
        "iso": iso,
        "time_left": time_left,
        "ttl": format_length,
        "utc_text": utc_text,
    }
    app.context_processor(
        lambda: {
            "theme": _theme(),
            "times": _times(),
            "server_now": utcnow(),
            "path_prefix": path_prefix(),
            "sends_mail": bool(current_config().smtp_url),
        }
    )


def _theme() -> str | None:
    """The colour theme that the visitor has chosen, or None for that of their system."""
    theme = request.cookies.get("theme") if has_request_context() else None
    return theme if theme in ("light", "dark") else None


def _times() -> str:
    """Where JavaScript shows instants: in "utc", as the visitor has chosen, or in "local" time."""
    choice = request.cookies.get("times") if has_request_context() else None
    return "utc" if choice == "utc" else "local"
