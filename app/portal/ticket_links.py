"""Where a ticket can be looked up."""

from urllib.parse import quote

from app.config import current_config


def ticket_address(ticket: str) -> str:
    """The address of a ticket, "" if there is none."""
    return current_config().ticket_url.replace("{ticket}", quote(ticket, safe=""))
