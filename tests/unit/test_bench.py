"""The pure parts of the benchmark."""

from xml.etree import ElementTree

from bench.floor import short
from bench.operations import Operation
from bench.picture import picture
from bench.results import Line, percentile, table, with_table

P = ("p50", "p95", "p99")
LINES = [
    Line("search, one letter", 300.4, 0.61, 1.25, 2, 9, None, 4, 4321),
    Line("<revoke>", 0, None, 20, 30, 40, 1.1, 9, 0),
]


def test_a_percentile_is_one_of_the_values() -> None:
    assert [percentile([1, 2, 3, 4], part) for part in (0, 0.5, 0.99, 1)] == [1, 3, 4, 4]


def test_the_table_stands_in_columns() -> None:
    head, first, second = table(LINES).splitlines()
    assert head.split() == [
        "operation",
        "req/s",
        "of",
        "floor",
        *P,
        "of",
        "small",
        "queries",
        "bytes",
    ]
    assert (
        first == "search, one letter    300      0.61   1.2   2.0   9.0         -        4   4321"
    )
    assert len(head) == len(first) == len(second)


def test_the_document_gets_the_table_in_its_place() -> None:
    page = "Before.\n<!-- sqlite -->\nold\n<!-- end -->\n<!-- postgresql -->\nold\n<!-- end -->\n"
    new = with_table(page, "sqlite", LINES, {"MB a worker": 80.123})
    assert new.startswith("Before.\n<!-- sqlite -->\n\n| operation | req/s |")
    assert "| search, one letter | 300 | 0.61 | 1.2 | 2.0 | 9.0 | - | 4 | 4321 |\n" in new
    assert "\n\nMB a worker: 80.12\n\n<!-- end -->" in new
    assert new.endswith("<!-- postgresql -->\nold\n<!-- end -->\n")


def test_the_picture_is_an_image_of_what_was_asked_of_the_floor() -> None:
    drawn = ElementTree.fromstring(picture(LINES))  # of our own making
    assert "<revoke>" not in picture(LINES)
    bars = drawn.findall("{http://www.w3.org/2000/svg}rect")
    assert [bar.get("width") for bar in bars] == ["281"]


def test_a_form_gets_the_token_of_who_is_signed_in() -> None:
    form = Operation("generate", ["/a", "/b"], "POST", 303, bodies=["ttl=1d"], form=True)
    assert list(form.requests("T")) == [
        ("/a", "ttl=1d&csrf_token=T"),
        ("/b", "ttl=1d&csrf_token=T"),
    ]
    assert short("search, Key ID") == "search-key-id"
