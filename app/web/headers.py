"""Security headers, and default caching headers."""

from flask import Response, request

from app.config import current_config
from app.core.clock import utcnow

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Resource-Policy": "same-origin",
}
THIS_MACHINE = ("127.", "localhost", "[::1]")
"""Hosts on which browsers accept Cross-Origin-Opener-Policy without HTTPS."""


def add_headers(response: Response) -> Response:
    """After every request: add the headers that every response must have."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    https = current_config().https
    if https:
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
    if https or request.is_secure or request.host.startswith(THIS_MACHINE):
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    if not response.cache_control.public:
        response.headers.setdefault("Cache-Control", "private, no-cache")
        response.headers["X-Server-Now"] = utcnow().isoformat(timespec="milliseconds")
        response.vary.update(("Cookie", "HX-Request", "HX-Request-Type"))
    return response
