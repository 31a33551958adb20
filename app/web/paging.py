"""Long lists in pages (templates/macros/paging.html)."""

import re
from dataclasses import dataclass

from flask import request

MAX_PAGE = 1_000_000


@dataclass(frozen=True)
class Page:
    """Page `number` (from 1) of a list with `total` items and `size` items on each page."""

    number: int
    size: int
    total: int

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.size))

    @property
    def offset(self) -> int:
        """The number of items before this page."""
        return (self.number - 1) * self.size

    @property
    def first_item(self) -> int:
        return self.offset + 1

    @property
    def last_item(self) -> int:
        return min(self.offset + self.size, self.total)


def requested_page(*, size: int, total: int) -> Page:
    """The page that `?page=` asks for: the first if it is not a number, at most the last."""
    text = request.args.get("page", "")
    number = min(int(text), MAX_PAGE) if re.fullmatch(r"[0-9]{1,9}", text) else 1
    page = Page(max(number, 1), size, total)
    return page if page.number <= page.pages else Page(page.pages, size, total)
