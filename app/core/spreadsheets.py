"""Lists for spreadsheets, in which no text is taken for a formula."""

import csv
from collections.abc import Iterable
from io import StringIO

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""With what a text begins that a spreadsheet would work out."""


def csv_line(values: Iterable[object]) -> str:
    """A line of CSV (RFC 4180); texts that people wrote must be made safe before."""
    line = StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue()


def spreadsheet_safe(value: object) -> object:
    """A value that no spreadsheet takes for a formula: such a text gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
