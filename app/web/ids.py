"""Ids in addresses: `<id:project_id>`."""

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
