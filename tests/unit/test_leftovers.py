"""Nothing is left behind: icons, macros and classes are there because something uses them."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from jinja2 import Environment, nodes

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "static"
TEMPLATES = {
    file.relative_to(ROOT / "templates").as_posix(): file.read_text(encoding="utf-8")
    for file in sorted((ROOT / "templates").rglob("*.html"))
}
SCRIPTS = "\n".join(
    file.read_text(encoding="utf-8") for file in sorted((STATIC / "js").glob("*.js"))
)
OWN_STYLES = sorted((STATIC / "css").glob("*.css"))
TABLER = STATIC / "vendor" / "tabler" / "tabler.min.css"

ICON_ARGUMENT = {"icon": 0, "badge": 2, "empty_state": 2, "tile": 3, "submit": 1}
"""The macros that take an icon's name, and the place of it among their arguments."""
HOOKS = {"agent-log-in", "filter"}
"""Classes that no style sheet knows: attributes of htmx find elements by them."""
SET_BY_HTMX = {"htmx-request"}
WORD = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*\Z")


@cache
def parsed(name: str) -> nodes.Template:
    return Environment().parse(TEMPLATES[name])


def texts(node: nodes.Node) -> set[str]:
    """The strings in an expression: in "key" if new else "lock" there are two."""
    constants = [node, *node.find_all(nodes.Const)]
    return {each.value for each in constants if isinstance(getattr(each, "value", None), str)}


def named_icons(name: str) -> Iterator[str]:
    """The icons that a template names: in a call, or in a table of icons."""
    for call in parsed(name).find_all(nodes.Call):
        place = ICON_ARGUMENT.get(getattr(call.node, "name", ""))
        if place is not None:
            given = [*call.args[place : place + 1]]
            given += [word.value for word in call.kwargs if word.key == "icon_name"]
            yield from (text for argument in given for text in texts(argument))
    for table in parsed(name).find_all(nodes.Assign):
        if getattr(table.target, "name", "") == "icons":
            yield from (
                text for pair in table.node.find_all(nodes.Pair) for text in texts(pair.value)
            )


def test_every_icon_is_used() -> None:
    drawn = set(re.findall(r'^  "([a-z-]+)": \'<', TEMPLATES["macros/icons.html"], re.MULTILINE))
    assert len(drawn) > 30
    assert drawn - {icon for name in TEMPLATES for icon in named_icons(name)} == set()


def loaded(node: nodes.Node) -> list[str]:
    return [name.name for name in node.find_all(nodes.Name) if name.ctx == "load"]


def test_every_macro_is_used_outside_itself() -> None:
    uses = [use for name in TEMPLATES for use in loaded(parsed(name))]
    for name in TEMPLATES:
        for macro in parsed(name).find_all(nodes.Macro):
            assert uses.count(macro.name) > loaded(macro).count(macro.name), f"{name}: {macro.name}"


def test_every_argument_that_a_macro_may_be_given_is_given_somewhere() -> None:
    calls = [call for name in TEMPLATES for call in parsed(name).find_all(nodes.Call)]
    for name in TEMPLATES:
        for macro in parsed(name).find_all(nodes.Macro):
            own = [call for call in calls if getattr(call.node, "name", "") == macro.name]
            places = max((len(call.args) for call in own), default=0)
            given = {word.key for call in own for word in call.kwargs}
            needed = len(macro.args) - len(macro.defaults)
            never = [arg.name for arg in macro.args[max(needed, places) :] if arg.name not in given]
            assert never == [], f"{name}: {macro.name}"


def without_comments(text: str) -> str:
    return re.sub(r"\{#.*?#\}|/\*.*?\*/", "", text, flags=re.DOTALL)


def styled(sheet: Path) -> set[str]:
    """The classes that a style sheet has rules for."""
    text = re.sub(r'url\(.*?\)|"[^"]*"', "", without_comments(sheet.read_text(encoding="utf-8")))
    selectors = " ".join(re.findall(r"([^{};]*)\{", text))
    return set(re.findall(r"\.(-?[A-Za-z_][\w-]*)", selectors))


CLASSES = re.compile(r"""\bclass_?\s*=\s*(["'])((?:\{[{%].*?[%}]\}|(?!\1).)*)\1""", re.DOTALL)
EXPRESSION = re.compile(r"\{\{(.*?)\}\}|\{%.*?%\}", re.DOTALL)
OTHER_ARGUMENT = re.compile(r"""\b(?:wrapper|class_?)=(["'])([^"'{}]*)\1""")
IN_SCRIPTS = re.compile(r"""(?:classList\.\w+\(|className = )"([^"]+)\"""")


def named_classes(text: str) -> set[str]:
    """The classes that a template names in full: of "alert-{{ kind }}" nothing is told."""
    words: set[str] = set()
    text = without_comments(text)
    bodies = re.findall(r"\{% block (?:body|main)_class %\}()(.*?)\{% endblock %\}", text)
    for _, value in [*CLASSES.findall(text), *OTHER_ARGUMENT.findall(text), *bodies]:
        for expression in EXPRESSION.findall(value):
            words.update(" ".join(re.findall(r"""["']([^"']*)["']""", expression)).split())
        words.update(re.sub(r"\{\{.*?\}\}", "\0", re.sub(r"\{%.*?%\}", " ", value)).split())
    return {word for word in words if WORD.match(word)}


def test_every_class_that_our_style_sheets_know_is_used() -> None:
    used = SET_BY_HTMX.union(IN_SCRIPTS.findall(SCRIPTS), *map(named_classes, TEMPLATES.values()))
    assert {sheet.name: styled(sheet) - used for sheet in OWN_STYLES if styled(sheet) - used} == {}


def test_every_class_that_is_named_has_a_style() -> None:
    known = HOOKS.union(styled(TABLER), *map(styled, OWN_STYLES))
    named = {name: named_classes(text) for name, text in TEMPLATES.items()}
    named["the scripts"] = set(IN_SCRIPTS.findall(SCRIPTS))
    assert all(named[name] for name in ("base.html", "the scripts"))
    assert {name: classes - known for name, classes in named.items() if classes - known} == {}


def test_no_style_sheet_of_ours_is_long() -> None:
    for sheet in OWN_STYLES:
        assert len(sheet.read_text(encoding="utf-8").splitlines()) <= 250, sheet.name
