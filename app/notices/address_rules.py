"""Where webhooks may be: out in the open, and at no other spelling of this machine or network."""

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import urlsplit

from app.core.errors import InvalidInput
from app.core.text import ADDRESS_LENGTH

PORTS = {"http": 80, "https": 443}
_ALLOWED = re.compile(r"[!-~]+")
_NAME = re.compile(
    r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""The last part of a name that some programs take for an IPv4 address."""
_CLOSED = tuple(
    ip_network(network)
    for network in (
        "192.0.0.0/24",  # protocols' own; some clouds answer for themselves here
        "192.88.99.0/24",  # 6to4 relays, of once
        "168.63.129.16/32",  # Azure answers its machines here, with their secrets
        "3fff::/20",  # documentation
    )
)
"""What Python's tables have as open, or have in newer versions alone."""
_ISATAP = (0x00005EFE, 0x02005EFE)
"""Above the last 32 bits: those are an IPv4 address, to which a tunnel leads."""
_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
_UNICAST = IPv6Network("2000::/3")
"""All that is given out to the world."""
Ip = IPv4Address | IPv6Address


class Receiver(NamedTuple):
    """The address of a webhook, taken apart; `host` is a name, or an IP address without brackets.

    `target` is what is asked for there: the path with the query.
    """

    scheme: str
    host: str
    port: int
    target: str


def read_address(text: str) -> Receiver:
    """Take the address of a webhook apart. Raises InvalidInput (field "address") for any other."""
    parts = _split(text)
    if parts is None:
        raise _refused("Write an address such as https://hooks.example/portal, in ASCII.")
    scheme, host, port, target, is_plain = parts
    if not is_plain:
        raise _refused("Leave out user name, password and what follows a #: none of it is sent.")
    ip = literal_ip(host)
    if ip is None and _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        raise _refused("Write an IPv4 address as four decimal numbers, such as 198.51.100.7.")
    if ip is None and not _NAME.fullmatch(host):
        raise _refused("Write the name of its machine as the DNS has it, in ASCII.")
    return Receiver(scheme, host, port, target)


def _split(text: str) -> tuple[str, str, int, str, bool] | None:
    if len(text) > ADDRESS_LENGTH or not _ALLOWED.fullmatch(text) or set(text) & set('\\"<>^`{|}'):
        return None
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return None
    if parts.scheme not in PORTS or not host or port == 0 or "%" in parts.netloc:
        return None
    if ("[" in parts.netloc) is not (":" in host):
        return None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    is_plain = "@" not in parts.netloc and "#" not in text
    return parts.scheme, host, port or PORTS[parts.scheme], target, is_plain


def literal_ip(host: str) -> Ip | None:
    """The IP address that `host` is, in its one usual spelling; None if it is a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def check_host(host: str) -> None:
    """Raise InvalidInput if `host` is, by its spelling alone, no machine out in the open."""
    ip, name = literal_ip(host), host.rstrip(".")
    is_here = name == "localhost" or name.endswith((".localhost", ".local", ".internal"))
    if is_here or (ip is not None and not is_open(ip)):
        raise _refused(PRIVATE)


def check_open(host: str, found: list[Ip]) -> None:
    """Raise InvalidInput if any address that `host` was found to have is not out in the open."""
    check_host(host)
    if not all(map(is_open, found)):
        raise _refused(PRIVATE)


PRIVATE = (
    "That is an address of this machine or of a private network. The person who runs this portal "
    "can allow those with PORTAL_WEBHOOK_PRIVATE=on."
)


def is_open(ip: Ip) -> bool:
    """Whether an IP address is one of the open internet.

    An IPv4 address within an IPv6 one (mapped, compatible, NAT64, 6to4, ISATAP) counts as what it
    leads to.
    """
    if any(ip.version == network.version and ip in network for network in _CLOSED):
        return False
    if isinstance(ip, IPv4Address):
        return ip.is_global and not ip.is_multicast and not ip.is_reserved
    within = ip.ipv4_mapped or ip.sixtofour
    is_tunnel = int(ip) >> 32 & 0xFFFFFFFF in _ISATAP
    if within is None and (ip in _NAT64 or ip in _COMPATIBLE or is_tunnel):
        within = IPv4Address(int(ip) & 0xFFFFFFFF)
    if within is not None:
        return is_open(within)
    return ip in _UNICAST and ip.is_global and ip.teredo is None


def _refused(sentence: str) -> InvalidInput:
    return InvalidInput("address", sentence)
