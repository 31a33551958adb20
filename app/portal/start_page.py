"""Where somebody is led once they are signed in."""

import re

from flask import url_for
from flask_login import current_user

from app.core.permissions import Permission, Role, allows
from app.web.proxies import path_prefix

OWN_START = "own_access.show"
OWN_PAGE = re.compile(r"/(access|account)(?=[/?#]|$)")


def start_page(role: Role, asked: str | None = None) -> str:
    """The page that was `asked` for (on this site), else the one on which somebody begins.

    Partners and developers are led to "My access" in the place of a page that would refuse them.
    """
    if allows(role, Permission.VIEW_PORTAL):
        return asked or url_for("home.index")
    own = asked and OWN_PAGE.match(asked.removeprefix(path_prefix()))
    return asked if asked and own else url_for(OWN_START)


def start_endpoint() -> str:
    """The page on which whoever is asking begins, for links."""
    user = current_user
    own = user.is_authenticated and not user.may(Permission.VIEW_PORTAL)
    return OWN_START if own else "home.index"
