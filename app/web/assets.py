"""Static files: compressed once, cached for a year, at addresses that contain a fingerprint."""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache

from flask import Blueprint, Response, request, url_for

from app.config import ROOT
from app.core.errors import NotFound
from app.web.access import public
from app.web.proxies import path_prefix

blueprint = Blueprint("assets", __name__)
STATIC = ROOT / "static"
COMPRESSED_TYPES = ("text/", "application/javascript", "image/svg+xml")
CACHED_FOR_ONE_YEAR = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Asset:
    content: bytes
    compressed: bytes | None
    media_type: str
    fingerprint: str


@cache
def load(name: str) -> Asset:
    """The static file `name`, kept in memory. Raises FileNotFoundError."""
    path = STATIC / name
    content = path.read_bytes()
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    compressed = gzip.compress(content) if media_type.startswith(COMPRESSED_TYPES) else None
    return Asset(content, compressed, media_type, hashlib.sha256(content).hexdigest()[:12])


def asset_address(name: str) -> str:
    """The address of the static file `name`, which changes with its content."""
    return _address(path_prefix(), name)


@cache
def _address(_prefix: str, name: str) -> str:
    """Worked out once for each path prefix: a page has twenty of them."""
    return url_for("assets.asset", fingerprint=load(name).fingerprint, name=name)


@blueprint.get("/static/<fingerprint>/<path:name>")
@public
def asset(fingerprint: str, name: str) -> Response:
    if name not in _names() or load(name).fingerprint != fingerprint:
        raise NotFound("There is no such file.")
    file = load(name)
    zipped = file.compressed is not None and request.accept_encodings["gzip"] > 0
    response = Response(
        file.compressed if zipped and file.compressed else file.content, mimetype=file.media_type
    )
    if zipped:
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Cache-Control"] = CACHED_FOR_ONE_YEAR
    response.vary.add("Accept-Encoding")
    return response


@cache
def _names() -> frozenset[str]:
    """The names of all static files: any other name reaches neither the disk nor `load`."""
    files = (path for path in STATIC.rglob("*") if path.is_file())
    return frozenset(path.relative_to(STATIC).as_posix() for path in files)
