"""The house rules of the architecture, kept by tests: who imports whom, and what pages hold."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
APP = ROOT / "app"
MODULES = sorted(APP.rglob("*.py"))
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))

FACES = {"portal", "browser_agent", "api", "cli"}
LAYERS = [
    FACES,
    {"access", "notices"},
    {"agents"},
    {"licenses"},
    {"projects", "accounts"},
    {"audit", "throttle"},
    {"web"},
    {"config", "extensions"},
    {"settings"},
    {"models", "keyformat"},
    {"core"},
]
"""The rooms of app/, from the top down: each imports those below it, and none beside it."""
WIRING = {"__init__", "__main__"}
DOMAIN = {"access", "notices", "agents", "licenses", "projects", "accounts", "audit", "throttle"}
PURE_ALSO = {"itsdangerous", "cryptography"}


def imports(file: Path) -> Iterator[str]:
    """The dotted names that a module imports, at its top or within a function."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 or APP not in file.parents, f"{file}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def room_of(file: Path) -> str:
    return file.relative_to(APP).parts[0].removesuffix(".py")


def wrong_imports(rooms: set[str], forbidden: set[str]) -> list[str]:
    """Each import of a forbidden package by a module of `rooms`."""
    return [
        f"{name_of(file)} imports {name}"
        for file in MODULES
        if room_of(file) in rooms
        for name in imports(file)
        if name.split(".")[0] in forbidden
    ]


def test_every_room_has_its_layer() -> None:
    assert {room_of(file) for file in MODULES} - WIRING == set().union(*LAYERS)


def test_imports_run_downwards_only() -> None:
    """An arrow that runs up, or to a room beside, is how seven rooms became one circle."""
    rank = {room: number for number, layer in enumerate(LAYERS) for room in layer}
    wrong = []
    for file in MODULES:
        here = room_of(file)
        for name in imports(file):
            parts = name.split(".")
            there = parts[1] if parts[0] == "app" else here
            if here in WIRING | {there}:
                continue
            if rank[there] <= rank[here] or (there == "web" and here not in FACES):
                wrong.append(f"{name_of(file)} imports {name}")
    assert wrong == []


def test_no_page_and_no_command_is_known_below_the_faces() -> None:
    forbidden = {"flask", "flask_login", "flask_wtf", "wtforms", "jinja2", "htmx_flask", "click"}
    assert wrong_imports(DOMAIN | {"models", "keyformat", "core"}, forbidden) == []


def test_rules_the_ground_and_the_key_format_do_no_input_and_output() -> None:
    """They import the standard library, each other and, for keys, what signs them."""
    pure = [
        file
        for file in MODULES
        if room_of(file) in ("core", "keyformat") or file.stem.endswith("rules")
    ]
    for file in pure:
        for name in imports(file):
            top = name.split(".")[0]
            known = top in sys.stdlib_module_names or top == "app"
            assert known or (room_of(file) == "keyformat" and top in PURE_ALSO), (
                f"{name_of(file)} imports {name}"
            )
            assert not name.startswith("app.models"), f"{name_of(file)} imports {name}"


def test_what_runs_on_the_other_side_imports_nothing_of_the_portal() -> None:
    for file in (ROOT / "clients").rglob("*.py"):
        assert not any(name.split(".")[0] == "app" for name in imports(file)), name_of(file)


def test_only_the_clock_asks_what_time_it_is() -> None:
    for file in MODULES:
        if file != APP / "core" / "clock.py":
            text = file.read_text(encoding="utf-8")
            assert not re.search(r"datetime\.(now|utcnow|today)\(|date\.today\(|time\.time\(", text)


def test_services_never_commit() -> None:
    for file in MODULES:
        if room_of(file) in DOMAIN:
            assert ".commit()" not in file.read_text(encoding="utf-8"), name_of(file)


def test_numbers_in_addresses_are_ids() -> None:
    """`<int:...>` lets numbers through that no database can hold."""
    for file in MODULES:
        assert "<int:" not in file.read_text(encoding="utf-8"), name_of(file)


def test_create_app_only_wires() -> None:
    assert len((APP / "__init__.py").read_text(encoding="utf-8").splitlines()) < 100


def test_no_note_to_self_is_left_behind() -> None:
    files = [*MODULES, *TEMPLATES, *(ROOT / "static" / "js").rglob("*.js")]
    for file in files:
        assert not re.search(r"\b(TODO|FIXME|XXX)\b", file.read_text(encoding="utf-8")), file


def test_every_template_escapes_whatever_it_is_given() -> None:
    for file in TEMPLATES:
        text = file.read_text(encoding="utf-8")
        if file.name == "icons.html":
            assert text.count("|safe") == 1, "the drawings of our own icons"
        else:
            assert not re.search(r"\|\s*safe\b|autoescape\s+false|Markup\(", text), name_of(file)
        assert not re.search(r"hx-[a-z]+\s*=\s*[^\"'{\s]", text), f"no quotes in {name_of(file)}"


def test_no_code_marks_text_as_safe() -> None:
    for file in MODULES:
        assert "Markup" not in file.read_text(encoding="utf-8"), name_of(file)
        assert "render_template_string" not in file.read_text(encoding="utf-8"), name_of(file)


def test_csv_is_written_in_one_place() -> None:
    """A client's name that begins with a sign is stored as it is: "@Home (NL)" is a name.

    Whoever writes a list for spreadsheets must first see to it that none of them runs it:
    `core/spreadsheets.py` does.
    """
    for file in MODULES:
        if file.name == "spreadsheets.py":
            continue
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"csv\.writer|DictWriter|QUOTE_[A-Z]+|\.save\(", text), file
    for file in [*MODULES, *TEMPLATES]:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"(mimetype|content_type|Content-Type).*(csv|excel|sheet)", text), file
