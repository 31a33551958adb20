"""Finding the encoding of a text file: UTF-8, UTF-16, or clearly Windows-1252."""

import codecs
import re
from functools import partial
from typing import BinaryIO

from app.projects.tables import refusal

WINDOWS = "windows-1252"

_PORTION = 1 << 16
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

_UTF_8_WITHIN = re.compile(rb"[\xc3-\xc5\xd0\xd1][\x80-\xbf]|\xe2\x80")
"""Characters in UTF-8; read as Windows-1252 they would be "Ã¤" or "â€“"."""

_NOT_WESTERN = re.compile(
    r"""[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]                  # no text at all
    | (?:[^\W\d_](?<![A-Za-z])){4}                        # words of another script
    | [^\W\d_][¢£¤¥¦¬¯±³¸¹¼½¾×÷ˆ˜†‡ƒ¿¡] | [£¤¥¦¬¯±³¸¹¼½¾÷ˆ˜†‡ƒ][^\W\d_]
    | (?<=[^\W\d_])[‚„“”…†‡‰](?=[^\W\d_])          # DOS: "ö" is "”" there
    | [a-z][ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝÞŠŽŸŒ]           # Macintosh: "é" is "Ž" there
    """,
    re.VERBOSE,
)
"""Text that no list of western European names contains: it has another encoding."""


def find_encoding(file: BinaryIO) -> str:
    """Python's name of a file's encoding; the file is rewound.

    Raises InvalidInput (field "file") if it is another one, or the file is damaged.
    """
    start = file.read(_PORTION)
    file.seek(0)
    encoding = "utf-16" if start.startswith(_UTF_16) else _without_mark(start) or "utf-8-sig"
    if _is_written_in(encoding, file):
        return encoding
    if encoding != "utf-8-sig":
        raise refusal("The file is UTF-16, and damaged. Save it as “CSV UTF-8” and try again.")
    if _is_plainly_windows(file):
        return WINDOWS
    raise refusal(
        f"Line {_first_line_not_utf_8(file)} is not UTF-8 text. "
        "Save the file as “CSV UTF-8” and try again."
    )


def _without_mark(start: bytes) -> str | None:
    """The kind of UTF-16 without a byte order mark, in which every other byte is zero, or None."""
    even, odd = start[:200:2], start[1:200:2]
    if len(odd) > 1 and odd.count(0) > len(odd) // 2 and not even.count(0):
        return "utf-16-le"
    if len(odd) > 1 and even.count(0) > len(even) // 2 and not odd.count(0):
        return "utf-16-be"
    return None


def _is_written_in(encoding: str, file: BinaryIO) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for portion in iter(partial(file.read, _PORTION), b""):
            decoder.decode(portion)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    finally:
        file.seek(0)
    return True


def _is_plainly_windows(file: BinaryIO) -> bool:
    try:
        for portion in iter(partial(file.read, _PORTION), b""):
            if _UTF_8_WITHIN.search(portion) or _NOT_WESTERN.search(portion.decode(WINDOWS)):
                return False
    except UnicodeDecodeError:
        return False
    finally:
        file.seek(0)
    return True


def _first_line_not_utf_8(file: BinaryIO) -> int:
    for number, line in enumerate(file, start=1):
        try:
            line.decode()
        except UnicodeDecodeError:
            return number
    return 1
