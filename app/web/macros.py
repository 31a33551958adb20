"""The macros of templates/macros/: every template has them, and imports none.

An import costs each rendering more than most of the macros do.
"""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Flask

FOLDER = "macros"
OFTEN_THE_SAME = {"icon", "badge", "plan_badge", "status_badge"}
"""Pages have these many times with the same few arguments, on which alone they depend."""
KEPT = 500
"""How many of each are kept."""


class _Macro:
    """A macro, whose file is read when it is first called."""

    def __init__(self, app: Flask, file: str, name: str) -> None:
        self._app, self._file, self._name = app, file, name
        self._macro: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> str:
        if self._macro is None:
            module = self._app.jinja_env.get_template(self._file).module
            self._macro = getattr(module, self._name)
        rendered: str = self._macro(*args, **kwargs)
        return rendered


def init_app(app: Flask) -> None:
    """Give templates the macros of every file in templates/macros/."""
    folder = Path(app.root_path, str(app.template_folder), FOLDER)
    for path in sorted(folder.glob("*.html")):
        for name in re.findall(r"{%-? macro (\w+)\(", path.read_text(encoding="utf-8")):
            macro = _Macro(app, f"{FOLDER}/{path.name}", name)
            # Typed: what is marked as safe equals the same text that is not, and is not escaped.
            kept = lru_cache(KEPT, typed=True)
            app.jinja_env.globals[name] = kept(macro) if name in OFTEN_THE_SAME else macro
