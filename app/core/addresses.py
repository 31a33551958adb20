"""Web addresses: whether what is sent to one is for its receiver's eyes alone."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_private_way(address: object) -> bool:
    """Whether what is sent to a web address is encrypted, or stays on this machine."""
    if not isinstance(address, str):
        return False
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and _is_here(host)))


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
