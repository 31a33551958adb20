"""The page that an address asks for (templates/macros/paging.html)."""

import re

from flask import request

from app.core.paging import MAX_PAGE, Page, page_of


def requested_number() -> int:
    """What `?page=` says, from the end if it is negative; 1 if it is not a number."""
    text = request.args.get("page", "")
    number = int(text) if re.fullmatch(r"-?[0-9]{1,9}", text) else 1
    return max(-MAX_PAGE, min(number, MAX_PAGE)) or 1


def requested_page(*, size: int, total: int) -> Page:
    """The page that `?page=` asks for: the first if it makes no sense, at most the last."""
    return page_of(requested_number(), size, total)
