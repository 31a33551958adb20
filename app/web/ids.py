"""Ids in addresses: `<id:project_id>`."""

from werkzeug.routing import BaseConverter

from app.models.types import HIGHEST_ID


class IdConverter(BaseConverter):
    """A number in an address, of any length: 0, which is nobody's id, if no row can have it.

    So the view answers, and says what it is that there is not.
    """

    regex = "[0-9]+"

    def to_python(self, value: str) -> int:
        digits = value.lstrip("0")
        number = int(digits) if 0 < len(digits) <= len(str(HIGHEST_ID)) else 0
        return number if number <= HIGHEST_ID else 0
