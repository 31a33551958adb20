"""Lists for spreadsheets, in which no text is taken for a formula."""

import csv
import re
from collections.abc import Iterable
from io import StringIO

_FORMULA = re.compile(r"(\A|[;|\t])(?=[=+\-@\t\r\0＝＋－＠﹢﹣﹦﹫])")
"""Where a spreadsheet would begin to work something out: at the beginning of a text, wide letters
too, and after what some programs part cells by, whatever a file is parted by."""


def csv_line(values: Iterable[object]) -> str:
    """A line of CSV (RFC 4180); texts that people wrote must be made safe before."""
    line = StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue()


def spreadsheet_safe(value: object) -> object:
    """A value that no spreadsheet takes for a formula: such a text gets an apostrophe in front."""
    return _FORMULA.sub(r"\1'", value) if isinstance(value, str) else value
