"""Opaque random tokens for cookies and agents; the database stores only their hashes."""

import hashlib
import secrets


def new_token() -> str:
    """A token of 256 random bits, safe in a header, a cookie and a URL."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """The SHA-256 (hex) that is stored for a token, which is too long to need a slow hash."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
