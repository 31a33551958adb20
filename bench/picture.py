"""The results of a benchmark as a picture (SVG): a bar an operation, as a part of the floor."""

from collections.abc import Sequence
from html import escape
from typing import Protocol

ROW, LEFT, WIDTH = 24, 230, 460


class Measured(Protocol):
    @property
    def operation(self) -> str: ...
    @property
    def of_floor(self) -> float | None: ...
    @property
    def requests_a_second(self) -> float: ...


def picture(lines: Sequence[Measured]) -> str:
    """Readable on light and on dark; half of the floor is marked."""
    shown = [line for line in lines if line.of_floor]
    height = ROW * (len(shown) + 2)
    longest = max((line.of_floor or 0 for line in shown), default=1)
    longest = max(longest, 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 110} {height}" '
        'font-family="sans-serif" font-size="13" fill="#7a7a7a" role="img">',
        "<title>Requests a second, as a part of what a bare view with the same SQL and template "
        "answers</title>",
    ]
    for number, line in enumerate(shown):
        top = ROW * number + 8
        part = line.of_floor or 0
        length = WIDTH * part / longest
        parts += [
            f'<text x="{LEFT - 8}" y="{top + 12}" text-anchor="end">',
            f"{escape(line.operation)}</text>",
            f'<rect x="{LEFT}" y="{top}" width="{length:.0f}" height="16" fill="#4263eb"/>',
            f'<text x="{LEFT + length + 6:.0f}" y="{top + 12}">{part:.2f} '
            f"({line.requests_a_second:.0f}/s)</text>",
        ]
    half = LEFT + WIDTH * 0.5 / longest
    bottom = ROW * len(shown) + 8
    parts += [
        f'<line x1="{half:.0f}" x2="{half:.0f}" y1="0" y2="{bottom}" stroke="#e8590c"/>',
        f'<text x="{half + 4:.0f}" y="{bottom + 14}">half of the floor</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"
