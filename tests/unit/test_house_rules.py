"""The house rules of the architecture, kept by tests: who imports whom, and what pages hold."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
APP = ROOT / "app"
MODULES = sorted(APP.rglob("*.py"))
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
FEATURES = ("accounts", "agents", "audit", "home", "licenses", "projects")
PAGES = ("views", "api", "console", "pages", "forms")
"""The modules of a feature that belong to its screens."""
PURE = ("rules", "ttl", "signing", "mac", "errors", "permissions", "clock", "tags", "words")
SIGNING_ALSO = {"itsdangerous", "cryptography"}


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


def is_page(name: str) -> bool:
    """Whether `name` lies in a module of screens, or in app/web."""
    parts = name.split(".")
    return parts[:2] == ["app", "web"] or (
        parts[0] == "app" and len(parts) > 2 and parts[1] in FEATURES and parts[2] in PAGES
    )


@pytest.mark.parametrize(
    "file", [f for f in MODULES if f.stem in PURE and f.parent.name != "web"], ids=name_of
)
def test_rules_import_the_standard_library_and_each_other_only(file: Path) -> None:
    for name in imports(file):
        top, *rest = name.split(".")
        allowed = (
            top in sys.stdlib_module_names
            or (top == "app" and rest[0] != "web" and rest[-2] in PURE)
            or (file.stem == "signing" and top in SIGNING_ALSO)
        )
        assert allowed, f"{name_of(file)} imports {name}"


@pytest.mark.parametrize("file", [f for f in MODULES if f.stem == "services"], ids=name_of)
def test_services_know_nothing_of_requests_and_pages(file: Path) -> None:
    for name in imports(file):
        assert name.split(".")[0] not in {"flask", "flask_login", "flask_wtf", "wtforms", "jinja2"}
        assert not is_page(name), f"{name_of(file)} imports {name}"
        assert not name.startswith("app.cli"), f"{name_of(file)} imports {name}"


@pytest.mark.parametrize("file", [f for f in MODULES if f.parent.name == "models"], ids=name_of)
def test_models_know_nothing_of_the_features(file: Path) -> None:
    for name in imports(file):
        if name.startswith("app."):
            assert name.startswith(("app.models", "app.permissions")), name


@pytest.mark.parametrize(
    "file", [f for f in MODULES if f.parent.name in (*FEATURES, "web")], ids=name_of
)
def test_a_feature_never_reaches_into_the_screens_of_another(file: Path) -> None:
    for name in imports(file):
        parts = name.split(".")
        if is_page(name) and parts[1] != "web":
            assert parts[1] == file.parent.name, f"{name_of(file)} imports {name}"


@pytest.mark.parametrize("file", [f for f in MODULES if f.parent.name == "cli"], ids=name_of)
def test_commands_call_services_and_no_screens(file: Path) -> None:
    for name in imports(file):
        parts = name.split(".")
        if is_page(name):
            assert parts[1:3] == ["web", "database_errors"], f"{name_of(file)} imports {name}"


def test_what_runs_on_the_other_side_imports_nothing_of_the_portal() -> None:
    for file in (ROOT / "clients").rglob("*.py"):
        assert not any(name.split(".")[0] == "app" for name in imports(file)), name_of(file)


def test_only_the_clock_asks_what_time_it_is() -> None:
    for file in MODULES:
        if file != APP / "clock.py":
            text = file.read_text(encoding="utf-8")
            assert not re.search(r"datetime\.(now|utcnow|today)\(|date\.today\(|time\.time\(", text)


def test_services_never_commit() -> None:
    for file in MODULES:
        if file.stem == "services":
            assert ".commit()" not in file.read_text(encoding="utf-8"), name_of(file)


def test_create_app_only_wires() -> None:
    assert len((APP / "__init__.py").read_text(encoding="utf-8").splitlines()) < 100


def test_no_note_to_self_is_left_behind() -> None:
    files = [*MODULES, *TEMPLATES, *(ROOT / "static" / "js").rglob("*.js")]
    for file in files:
        assert not re.search(r"\b(TODO|FIXME|XXX)\b", file.read_text(encoding="utf-8")), file


INLINE = re.compile(
    r"""<style|\sstyle\s*=|\son[a-z]+\s*=|javascript:|<script(?![^>]*\ssrc=)|hx-on|\bjs:""",
    re.IGNORECASE,
)
OUTSIDE = re.compile(r"""(?:src|href|action)\s*=\s*["'](?:https?:)?//""", re.IGNORECASE)


@pytest.mark.parametrize("file", TEMPLATES, ids=name_of)
def test_a_template_holds_nothing_that_the_content_security_policy_forbids(file: Path) -> None:
    text = re.sub(r"\{#.*?#\}", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    text = re.sub(r"\{%.*?%\}|\{\{.*?\}\}", "", text, flags=re.DOTALL)
    assert not INLINE.search(text)
    assert not OUTSIDE.search(text)


@pytest.mark.parametrize("file", TEMPLATES, ids=name_of)
def test_a_template_escapes_whatever_it_is_given(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    if file.name == "icons.html":
        assert text.count("|safe") == 1, "the drawings of our own icons"
    else:
        assert not re.search(r"\|\s*safe\b|autoescape\s+false|Markup\(", text)
    assert not re.search(r"hx-[a-z]+\s*=\s*[^\"'{\s]", text), "an attribute without quotes"


def test_no_code_marks_text_as_safe() -> None:
    for file in MODULES:
        assert "Markup" not in file.read_text(encoding="utf-8"), name_of(file)
        assert "render_template_string" not in file.read_text(encoding="utf-8"), name_of(file)
