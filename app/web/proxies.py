"""What the portal believes about how it was reached: its name, its scheme, its path prefix."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from flask import has_request_context, request, url_for
from werkzeug.middleware.proxy_fix import ProxyFix

from app.config import current_config
from app.core.errors import UnknownHost

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]
HEALTH = ("/healthz", "/readyz")
"""Whoever watches the portal asks for these by any name."""
PREFIX_STEP = re.compile(r"[A-Za-z0-9._~-]*[A-Za-z0-9_~-][A-Za-z0-9._~-]*")
USUAL_PORTS = {"http": 80, "https": 443}


def believe_proxies(app: Wsgi, hops: int) -> ProxyFix:
    """`app`, which takes the `X-Forwarded-` headers of the `hops` proxies in front for true."""

    def with_plain_prefix(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ["SCRIPT_NAME"] = plain_prefix(environ.get("SCRIPT_NAME", ""))
        return app(environ, start_response)

    return ProxyFix(with_plain_prefix, x_for=hops, x_proto=hops, x_host=hops, x_prefix=hops)


def plain_prefix(text: str) -> str:
    """`text` without a slash at its end if it is a plain path such as "/portal", else ""."""
    first, *steps = text.removesuffix("/").split("/")
    plain = first == "" and len(text) <= 200 and all(map(PREFIX_STEP.fullmatch, steps))
    return "/".join(("", *steps)) if plain and steps else ""


def path_prefix() -> str:
    """The path under which a proxy serves the portal, such as "/portal"; mostly ""."""
    return request.script_root if has_request_context() else ""


def check_host() -> None:
    """Before every request: raises UnknownHost (421) unless the portal answers to its Host."""
    hosts = current_config().answered_hosts
    if hosts and request.path not in HEALTH and not _is_listed(request.host, hosts):
        raise UnknownHost(
            "This portal does not answer to that name. Open it by its own address; if this is its "
            "address, the person who runs the portal must add the name to PORTAL_HOSTS."
        )


def public_address(endpoint: str) -> str | None:
    """The whole address of a page, for a link that leaves the portal; None if nobody has said it.

    It does not come from a Host that was not checked: whoever chose that would choose where the
    link leads that is sent along with a key.
    """
    root = public_root()
    return None if root is None else root + url_for(endpoint).removeprefix(path_prefix())


def reached_root() -> str:
    """The portal's whole address without a slash at its end, as this request has reached it.

    For what only its sender sees: whoever else reads it is told `public_root()`.
    """
    return public_root() or f"{request.scheme}://{request.host}{path_prefix()}"


def public_root() -> str | None:
    """The portal's whole address without a slash at its end, or None if nobody has said it."""
    config = current_config()
    if config.public_url:
        return config.public_url
    # Behind a proxy, the address that the portal is bound to leads nobody to it.
    if config.bind.is_loopback and not (config.https or config.trusted_proxies):
        return f"http://{config.bind}"
    if _is_listed(request.host, config.hosts):
        scheme = "https" if config.https else request.scheme
        return f"{scheme}://{request.host}{path_prefix()}"
    return None


def _is_listed(host: str, hosts: tuple[str, ...]) -> bool:
    """Whether `hosts` has `host` (Werkzeug has taken a usual port off it) or its name."""
    name = re.sub(r":[0-9]+$", "", host.lower())
    with_usual_port = f"{host.lower()}:{USUAL_PORTS.get(request.scheme)}"
    return not {host.lower(), name, with_usual_port}.isdisjoint(hosts)
