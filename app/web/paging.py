"""Lists that are shown page by page (templates/macros/paging.html)."""

import re
from dataclasses import dataclass

from flask import request

MAX_PAGE = 1_000_000


@dataclass(frozen=True)
class Page:
    """Where in a list of `total` items a page stands, `size` items a page, the first being 1."""

    number: int
    size: int
    total: int

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.size))

    @property
    def offset(self) -> int:
        """How many items stand before this page."""
        return (self.number - 1) * self.size

    @property
    def first_item(self) -> int:
        return self.offset + 1

    @property
    def last_item(self) -> int:
        return min(self.offset + self.size, self.total)


def page_asked_for(*, size: int, total: int) -> Page:
    """The page that `?page=` names; the first if it names none, the last if there are not so many.

    Whatever is written there, the answer is a page that exists.
    """
    text = request.args.get("page", "")
    number = min(int(text), MAX_PAGE) if re.fullmatch(r"[0-9]{1,9}", text) else 1
    page = Page(max(number, 1), size, total)
    return page if page.number <= page.pages else Page(page.pages, size, total)
