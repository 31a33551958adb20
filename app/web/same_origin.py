"""Forms are taken from the portal's own pages only.

Two checks: the CSRF token that belongs to the session, and where the browser says that the form
comes from. The second one holds where somebody could plant a cookie, and with it a token (from
another name under the same domain, or from http:// into https://).
"""

import logging
from urllib.parse import SplitResult, urlsplit

from flask import g, request

from app.config import current_config
from app.core.errors import PortalError
from app.extensions import csrf
from app.web.proxies import USUAL_PORTS

log = logging.getLogger(__name__)


class FormFromElsewhere(PortalError):
    """A form with the right token that another address has sent, as far as the portal can tell."""

    code = "form_from_elsewhere"
    title = "This form did not come from this address"


def check_form() -> None:
    """Before a view that changes something: raises CSRFError or FormFromElsewhere (both 400)."""
    csrf.protect(apply_exemptions=True)
    if g.get("csrf_valid") and not _comes_from_here():
        # The token was right, so a proxy that hides the portal's own address is likelier than an
        # attack.
        log.warning(
            "a form was refused: the browser sent it from %.200r (Origin %.200r, Sec-Fetch-Site "
            "%.20r), but by its Host the portal is at %.200r. Let the proxy pass the Host on with "
            "its port, as deploy/nginx.conf does, with PORTAL_TRUSTED_PROXIES, or say the "
            "portal's address in PORTAL_PUBLIC_URL.",
            request.referrer,
            request.headers.get("Origin"),
            request.headers.get("Sec-Fetch-Site"),
            f"{request.scheme}://{request.host}",
        )
        raise FormFromElsewhere(
            "Nothing was done. Open the portal by its own address, and send the form from there. "
            "If it happens again, tell the person who runs this portal: its log says which "
            "setting is missing."
        )


def _comes_from_here() -> bool:
    """What the browser says, by the most exact header that it sends.

    Over HTTPS one of them must be there: every browser sends one with a form. `Origin: null` is
    that of a page which hides where it is from, and says nothing.
    """
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    if origin and origin != "null":
        return _is_own(origin)
    if site:
        return site in ("same-origin", "none")
    if request.referrer:
        return _is_own(request.referrer)
    return not origin and not request.is_secure


def _is_own(address: str) -> bool:
    """Whether `address` is on this portal, as the Host or PORTAL_PUBLIC_URL say."""
    try:
        given = urlsplit(address)
        here = urlsplit(f"//{request.host}")
        return _is_same(given, here) or _is_public(given)
    except ValueError:
        return False


def _is_same(given: SplitResult, here: SplitResult) -> bool:
    """Scheme, name and port; https is believed where a proxy does not say that it is there."""
    usual = USUAL_PORTS.get(given.scheme)
    return (
        given.scheme in (request.scheme, "https")
        and bool(given.hostname)
        and (given.hostname, given.port or usual) == (here.hostname, here.port or usual)
    )


def _is_public(given: SplitResult) -> bool:
    public = urlsplit(current_config().public_url)
    usual = USUAL_PORTS.get(given.scheme)
    return (given.scheme, given.hostname, given.port or usual) == (
        public.scheme,
        public.hostname,
        public.port or usual,
    )
