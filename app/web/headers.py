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


_LOWER = {name.lower(): (name, value) for name, value in HEADERS.items()}
VARY = ("Cookie", "HX-Request", "HX-Request-Type", "HX-Target")


def add_headers(response: Response) -> Response:
    """After every request: add the headers that every response must have."""
    headers = response.headers
    given = {name.lower() for name in headers.keys()}  # noqa: SIM118 (not a dict: pairs)
    headers.extend([pair for name, pair in _LOWER.items() if name not in given])
    https = current_config().https
    if https:
        headers["Strict-Transport-Security"] = "max-age=31536000"
    if https or request.is_secure or request.host.startswith(THIS_MACHINE):
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
    if is_publicly_cacheable(response):
        return response
    if "cache-control" not in given:
        headers["Cache-Control"] = "private, no-cache"
    headers["X-Server-Now"] = utcnow().isoformat(timespec="milliseconds")
    if "vary" in given:
        response.vary.update(VARY)
    else:
        headers["Vary"] = ", ".join(VARY)
    return response


def is_publicly_cacheable(response: Response) -> bool:
    """Whether caches that several people share may keep a response."""
    return "public" in response.headers.get("Cache-Control", "")
