"""Opaque tokens: what a cookie or an agent holds is random, what the database holds is a hash."""

import hashlib
import secrets


def new_token() -> str:
    """A token with 256 random bits, safe in a header, a cookie and an address."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """The SHA-256 (hex) under which a token is stored; it has too many bits to be guessed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
