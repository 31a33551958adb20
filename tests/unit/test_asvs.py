"""docs/asvs.md names every requirement once, and only tests that there are."""

import ast
import re

import pytest

from app.config import ROOT

TEXT = (ROOT / "docs" / "asvs.md").read_text(encoding="utf-8")
ROWS = re.findall(
    r"^\| ([\d.]+) \| ([12]) \| ([^|]+) \| ([^|]+) \| ([^|]*) \|$", TEXT, re.MULTILINE
)
STATES = ("met", "not met yet", "not met", "not applicable")
TESTS = sorted(set(re.findall(r"`(\w+/[\w/]+\.py)((?:::\w+)*)`", TEXT)))


def test_every_requirement_stands_there_once() -> None:
    """112 of levels 1 and 2 in the six chapters of version 5.0.0."""
    assert len(ROWS) == len({number for number, *_ in ROWS}) == 112


def test_the_sums_are_right_and_what_is_met_is_shown() -> None:
    states = [state for _, _, _, state, _ in ROWS]
    said = ", ".join(f"{states.count(state)} {state}" for state in STATES)
    assert f"\n{said}.\n" in TEXT
    assert not [number for number, _, _, state, shown in ROWS if state == "met" and not shown]


@pytest.mark.parametrize(("file", "names"), TESTS)
def test_the_tests_that_are_named_are_there(file: str, names: str) -> None:
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    there = {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    assert set(names.split("::")[1:]) <= there
