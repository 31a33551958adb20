"""The session cookie, for pages only."""

from functools import cached_property

from flask import Flask, Response, current_app
from flask.sessions import SecureCookieSessionInterface, SessionMixin
from itsdangerous import URLSafeTimedSerializer

from app.web.headers import is_publicly_cacheable
from app.web.proxies import path_prefix


class PageSessions(SecureCookieSessionInterface):
    """Session cookies that publicly cacheable responses do not set, so that caches keep them.

    Over HTTPS and without a path prefix the name begins with `__Host-`: browsers then take the
    cookie from this very host only, not from another one under the same domain.
    """

    @cached_property
    def _serializer(self) -> URLSafeTimedSerializer | None:
        return super().get_signing_serializer(current_app)

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        """The same for every request: its key is derived once."""
        return self._serializer

    def get_cookie_name(self, app: Flask) -> str:
        name = super().get_cookie_name(app)
        return f"__Host-{name}" if self.get_cookie_secure(app) and not path_prefix() else name

    def get_cookie_path(self, app: Flask) -> str:
        return path_prefix() or "/"

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if not is_publicly_cacheable(response):
            super().save_session(app, session, response)
