"""What is served to browsers: vendored files are those listed, and nothing comes from elsewhere."""

import hashlib
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "static"
VENDOR = STATIC / "vendor"
TEMPLATES = ROOT / "templates"

OWN_FILES = sorted(
    path
    for folder in (TEMPLATES, STATIC)
    for path in folder.rglob("*")
    if path.suffix in {".html", ".css", ".js", ".svg"} and VENDOR not in path.parents
)
NAMESPACES = {"http://www.w3.org"}  # names an XML vocabulary; nothing is fetched from it


def listed() -> dict[str, str]:
    entries = json.loads((VENDOR / "vendor.json").read_text(encoding="utf-8"))
    return {name: digest for entry in entries for name, digest in entry["files"].items()}


def test_every_vendored_file_is_listed_and_unchanged() -> None:
    there = {
        path.relative_to(VENDOR).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name != "vendor.json"
    }
    assert there == listed()


def test_every_vendored_package_has_a_version_and_its_licence() -> None:
    for entry in json.loads((VENDOR / "vendor.json").read_text(encoding="utf-8")):
        assert re.fullmatch(r"\d+\.\d+\.\d+", entry["version"]), entry["name"]
        assert entry["licence"], entry["name"]
        assert any(name.endswith("/LICENSE") for name in entry["files"]), entry["name"]


def test_vendored_files_point_to_no_source_map() -> None:
    for name in listed():
        assert "sourceMappingURL" not in (VENDOR / name).read_text(encoding="utf-8"), name


def test_no_page_names_another_origin() -> None:
    origin = re.compile(r"""(?:https?:)?//[\w-]+(?:\.[\w-]+)+""")
    named = {
        f"{path.relative_to(ROOT)}: {found}"
        for path in OWN_FILES
        for found in origin.findall(path.read_text(encoding="utf-8"))
        if found not in NAMESPACES
    }
    assert named == set()


def test_no_page_needs_more_than_the_content_security_policy_allows() -> None:
    forbidden = re.compile(
        r"""<[^<>]*\sstyle\s*=\s*["']|<style|<script(?![^>]*\ssrc=)|\son[a-z]+\s*=\s*["']|hx-on|"""
        r"""["']js:|javascript:|"""
        r"""hx-trigger=(?:"[^"]*\[|'[^']*\[)""",
        re.IGNORECASE,
    )
    found = {
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in OWN_FILES
        if path.suffix == ".html"
        for match in forbidden.finditer(_without_comments(path))
    }
    assert found == set()


def test_every_icon_that_a_page_names_is_drawn() -> None:
    drawn = set(re.findall(r"""^\s*["']([a-z-]+)["']: ["']<""", _icons(), flags=re.MULTILINE))
    named = {
        name
        for path in TEMPLATES.rglob("*.html")
        for name in re.findall(
            r"""\bicon(?:_name)?(?:\(|=)["']([a-z-]+)["']""", _without_comments(path)
        )
    }
    assert named - drawn == set()


def test_every_asset_that_a_page_names_is_there() -> None:
    for path in TEMPLATES.rglob("*.html"):
        for name in re.findall(r"""asset\(["']([^"']+)["']\)""", _without_comments(path)):
            assert (STATIC / name).is_file(), f"{path.relative_to(ROOT)}: {name}"


def _without_comments(path: Path) -> str:
    return re.sub(r"\{#.*?#\}", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def _icons() -> str:
    return (TEMPLATES / "macros" / "icons.html").read_text(encoding="utf-8")
