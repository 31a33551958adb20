"""The session cookie, for pages only."""

from flask import Flask, Response
from flask.sessions import SecureCookieSessionInterface, SessionMixin


class PageSessions(SecureCookieSessionInterface):
    """Session cookies that publicly cacheable responses do not set, so that caches keep them."""

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if not response.cache_control.public:
            super().save_session(app, session, response)
