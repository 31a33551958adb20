"""The words of a countdown in a browser, held against the vectors that Python is held against."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page

from app.config import ROOT

VECTORS = json.loads((ROOT / "tests/vectors/countdown.json").read_text(encoding="utf-8"))
NOW = datetime(2026, 11, 24, 15, 40, tzinfo=UTC)
STAND_STILL = """
Date.now = performance.now = () => 0;
performance.getEntriesByType = () => [];
"""


@pytest.mark.usefixtures("watch")
def test_a_countdown_says_what_python_says(page: Page) -> None:
    ends = [NOW + timedelta(seconds=seconds) for seconds, _ in VECTORS]
    spans = [f'<span data-countdown-until="{end.isoformat()}"></span>' for end in ends]
    page.set_content(f'<body data-server-now="{NOW.isoformat()}">{"".join(spans)}</body>')
    page.add_script_tag(content=STAND_STILL)
    for name in ("page.js", "countdown.js"):
        page.add_script_tag(path=ROOT / "static" / "js" / name)
    assert page.locator("span").all_text_contents() == [words for _, words in VECTORS]
