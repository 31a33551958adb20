"""The session cookie, for pages only."""

from flask import Flask, Response
from flask.sessions import SecureCookieSessionInterface, SessionMixin

from app.web.proxies import path_prefix


class PageSessions(SecureCookieSessionInterface):
    """Session cookies that publicly cacheable responses do not set, so that caches keep them.

    Over HTTPS and without a path prefix the name begins with `__Host-`: browsers then take the
    cookie from this very host only, not from another one under the same domain.
    """

    def get_cookie_name(self, app: Flask) -> str:
        name = super().get_cookie_name(app)
        return f"__Host-{name}" if self.get_cookie_secure(app) and not path_prefix() else name

    def get_cookie_path(self, app: Flask) -> str:
        return path_prefix() or "/"

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if not response.cache_control.public:
            super().save_session(app, session, response)
