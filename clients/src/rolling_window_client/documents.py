"""What the portal publishes, from a file or from its address."""

from pathlib import Path

from .api import MAX_LIST, fetch
from .errors import PortalUnreachable
from .transport import Transport


def read_document(where: str, transport: Transport) -> bytes:
    """What is in a file or at an address. Raises WrongUse, PortalUnreachable."""
    if "://" in where:
        return fetch(transport, where)
    try:
        with Path(where).open("rb") as file:
            document = file.read(MAX_LIST + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no file name"
        raise PortalUnreachable(f"{where} cannot be read: {reason}.") from None
    if len(document) > MAX_LIST:
        raise PortalUnreachable(f"{where} has more than {MAX_LIST} bytes.")
    return document
