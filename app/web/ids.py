"""Ids in addresses: `<id:project_id>`, `?before=7`."""

import re

from flask import request
from werkzeug.routing import BaseConverter

from app.models.types import HIGHEST_ID


class IdConverter(BaseConverter):
    """A number in an address, of any length; 0, which is never an id, if it is out of range.

    The view then answers with its own 404, as for any other unknown id.
    """

    regex = "[0-9]+"

    def to_python(self, value: str) -> int:
        digits = value.lstrip("0")
        number = int(digits) if 0 < len(digits) <= len(str(HIGHEST_ID)) else 0
        return number if number <= HIGHEST_ID else 0


def requested_id(name: str) -> int | None:
    """The id that a query argument names; None if it is missing, or none at all."""
    text = request.args.get(name, "")
    return int(text) if re.fullmatch(r"[0-9]{1,10}", text) and int(text) <= HIGHEST_ID else None
