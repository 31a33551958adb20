"""Pages are sent compressed, where that gives nothing away.

A page holds secrets (a whole key, the token of its forms) beside what its address says (a search).
Compressed, its length over HTTPS would tell of a secret to whoever makes a browser ask again and
again with guesses (BREACH). So a page is compressed where no other site has made the browser ask;
and without HTTPS, where there is nothing to give away.
"""

import gzip

from flask import Response, request

from app.config import current_config

LEAST_BYTES = 1000
LEVEL = 5
OWN_PAGES = ("same-origin", "none")
"""What browsers say (Sec-Fetch-Site) if this site's pages, or the person at the browser, ask."""


def compress(response: Response) -> Response:
    """After a request: compress a page if the browser takes it and nothing is given away."""
    is_page = response.headers.get("Content-Type", "").startswith("text/html")
    if not is_page or "Content-Encoding" in response.headers:
        return response
    response.vary.add("Accept-Encoding")
    content = response.get_data()
    if len(content) >= LEAST_BYTES and request.accept_encodings["gzip"] > 0 and _is_safe():
        response.set_data(gzip.compress(content, LEVEL, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
    return response


def _is_safe() -> bool:
    encrypted = request.is_secure or current_config().https
    return not encrypted or request.headers.get("Sec-Fetch-Site") in OWN_PAGES
