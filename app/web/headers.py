"""Security headers, and what may be cached by whom."""

from flask import Response, current_app, request

from app.clock import utcnow

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
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def add_headers(response: Response) -> Response:
    """After every request: the headers that every answer carries."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if current_app.extensions["config"].https:
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
    if request.endpoint != "assets.asset":
        response.headers.setdefault("Cache-Control", "private, no-cache")
        response.headers["X-Server-Now"] = utcnow().isoformat(timespec="milliseconds")
        response.vary.update(("Cookie", "HX-Request", "HX-Request-Type"))
    return response
