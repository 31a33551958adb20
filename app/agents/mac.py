"""MAC IDs: normalising their usual spellings, and making a local one."""

import re
import secrets
from typing import Protocol

from app.core.errors import InvalidInput

_SPELLINGS = re.compile(
    r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}"
    r"|[0-9a-f]{2}(?:-[0-9a-f]{2}){5}"
    r"|[0-9a-f]{4}(?:\.[0-9a-f]{4}){2}"
    r"|[0-9a-f]{12}",
    re.IGNORECASE,
)
_LONGEST = 17
_SEPARATORS = re.compile(r"[:.-]")

_MULTICAST_BIT = 0x01
_LOCAL_BIT = 0x02
_NO_ADDRESS = bytes(6)
_BROADCAST = b"\xff" * 6


def normalise_mac(text: str) -> str:
    """A MAC ID in the spelling in which it is stored: "00:1A:2B:3C:4D:5E".

    Accepts `00:1a:2b:3c:4d:5e`, `00-1A-2B-3C-4D-5E`, `001A.2B3C.4D5E` and `001A2B3C4D5E` in
    either case, with surrounding white space. Raises InvalidInput (field "mac_id") for anything
    else, and for the broadcast, multicast and all-zero addresses, which do not identify a machine.
    """
    text = text.strip()
    if len(text) > _LONGEST or not _SPELLINGS.fullmatch(text):
        raise InvalidInput(
            "mac_id", "This is not a MAC ID. Write twelve hexadecimal digits: 00:1A:2B:3C:4D:5E."
        )
    octets = bytes.fromhex(_SEPARATORS.sub("", text))
    if octets == _NO_ADDRESS:
        raise InvalidInput("mac_id", "The all-zero MAC ID belongs to no machine.")
    if octets == _BROADCAST:
        raise InvalidInput("mac_id", "The broadcast MAC ID belongs to every machine, not to one.")
    if octets[0] & _MULTICAST_BIT:
        raise InvalidInput("mac_id", "A multicast MAC ID belongs to many machines, not to one.")
    return octets.hex(":").upper()


def new_local_mac() -> str:
    """A random MAC ID, as it is stored, for a machine whose own cannot be read.

    Locally administered and unicast (IEEE 802), so it is not that of any network card.
    """
    first, *others = secrets.token_bytes(6)
    return bytes([(first | _LOCAL_BIT) & ~_MULTICAST_BIT, *others]).hex(":").upper()


class NamedMachine(Protocol):
    """A registration, a session or a request to sign in."""

    @property
    def hostname(self) -> str: ...
    @property
    def mac_id(self) -> str: ...


def machine_name(machine: NamedMachine) -> str:
    """A machine as its people know it: its host name and its MAC ID."""
    return f"{machine.hostname} ({machine.mac_id})" if machine.hostname else machine.mac_id
