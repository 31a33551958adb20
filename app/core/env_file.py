"""Reading a `.env` file: each value as it is written, to the end of its line."""

import re

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)")


def parse_env_file(content: bytes) -> dict[str, str]:
    """The names and values of a `.env` file.

    A byte order mark and the kind of line ends do not matter; blank lines, and lines that begin
    with `#`, say nothing. Quotes and `#` within a line are part of the value. Raises ValueError,
    with a sentence, for bytes that are not UTF-8 and for a line that is no `NAME=value`.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text; save it as UTF-8.") from None
    values = {}
    for number, line in enumerate(text.splitlines(), start=1):
        written = line.strip()
        if not written or written.startswith("#"):
            continue
        match = _LINE.fullmatch(written)
        if match is None:
            raise ValueError(f"line {number} is no setting; write NAME=value.")
        values[match[1]] = match[2].strip()
    return values
