"""Long lists in pages, and how many things there are."""

from dataclasses import dataclass

MAX_PAGE = 1_000_000


@dataclass(frozen=True)
class Total:
    """How many things there are: `number`, or about as many, or more than that.

    Written out it is "1,733", "about 57,000" or "more than 2,000".
    """

    number: int
    about: bool = False
    more: bool = False

    @property
    def is_exact(self) -> bool:
        return not (self.about or self.more)

    def __bool__(self) -> bool:
        return self.number > 0

    def __str__(self) -> str:
        if self.more:
            return f"more than {self.number:,}"
        if self.about:
            magnitude = 10 ** max(len(str(self.number)) - 2, 0)
            return f"about {round(self.number / magnitude) * magnitude:,}"
        return f"{self.number:,}"


@dataclass(frozen=True)
class Page:
    """Page `number` of a list with `total` items and `size` items on each page.

    The first page has number 1. If the total is not exact, the last has number -1, the one before
    it -2; `more` says whether others follow, further from that end of the list.
    """

    number: int
    size: int
    total: Total
    more: bool = False

    @property
    def pages(self) -> int:
        return max(1, -(-self.total.number // self.size))

    @property
    def offset(self) -> int:
        """The number of items before this page, or after it if it is counted from the end."""
        return (abs(self.number) - 1) * self.size

    @property
    def first_item(self) -> int:
        return self.offset + 1

    @property
    def last_item(self) -> int:
        end = self.offset + self.size
        return min(end, self.total.number) if self.total.is_exact else end


def page_of(number: int, size: int, total: int) -> Page:
    """The page of a list of exactly `total` items that is asked for, or the last there is."""
    page = Page(max(number, 1), size, Total(total))
    return page if page.number <= page.pages else Page(page.pages, size, Total(total))
