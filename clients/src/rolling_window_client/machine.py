"""Which machine this is: its MAC ID, what its operating system calls it, its host name."""

import hashlib
import re
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import WrongUse

MAX_MACHINE_ID = 128
"""Characters of a machine ID that the portal takes."""

_NETWORK_INTERFACES = Path("/sys/class/net")
_MACHINE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_ETHERNET = "1"  # ARPHRD_ETHER, which Wi-Fi says too
_PERMANENT = "0"  # NET_ADDR_PERM: the address the hardware came with

_MULTICAST = 0x01
_LOCALLY_ADMINISTERED = 0x02

_SPELLINGS = (
    re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}"),
    re.compile(r"[0-9a-f]{2}(-[0-9a-f]{2}){5}"),
    re.compile(r"[0-9a-f]{4}(\.[0-9a-f]{4}){2}"),
    re.compile(r"[0-9a-f]{12}"),
)

_DERIVED_FROM = b"rolling-window/mac-id/v1\0"


@dataclass(frozen=True)
class Machine:
    """What an agent tells the portal of the machine it runs on. `mac_id_from` is for people."""

    mac_id: str
    mac_id_from: str
    machine_id: str | None
    host_name: str | None


def this_machine(mac_id: str | None = None, machine_id: str | None = None) -> Machine:
    """The machine, with what is given put in the place of what is found.

    Raises WrongUse if a given one cannot be used, or if nothing names this machine.
    """
    machine_id = _checked_machine_id(machine_id) if machine_id is not None else find_machine_id()
    if mac_id is not None:
        mac_id, mac_id_from = parse_mac_id(mac_id), "given"
    else:
        mac_id, mac_id_from = find_mac_id(machine_id)
    return Machine(mac_id, mac_id_from, machine_id, socket.gethostname()[:255] or None)


# MAC IDs


def parse_mac_id(text: str) -> str:
    """`text` in the form 00:1A:2B:3C:4D:5E. Raises WrongUse for what names no single machine."""
    plain = text.strip().lower()
    if not any(spelling.fullmatch(plain) for spelling in _SPELLINGS):
        raise WrongUse("That is not a MAC ID. Write one as 00:1A:2B:3C:4D:5E.")
    raw = bytes.fromhex(re.sub("[:.-]", "", plain))
    if not any(raw) or raw[0] & _MULTICAST:  # the broadcast address is a multicast one
        raise WrongUse(
            "That MAC ID is the all-zero, a multicast or the broadcast address, and no machine's."
        )
    return _spelt(raw)


def find_mac_id(machine_id: str | None, interfaces: Path = _NETWORK_INTERFACES) -> tuple[str, str]:
    """The MAC ID of this machine, and in words where it is from.

    In this order: the best network card that Linux lists; what Python's `uuid.getnode` finds, if
    its maker gave it; one derived from `machine_id`; any interface's. Raises WrongUse if there is
    nothing at all.
    """
    listed = sorted(_listed(interfaces), key=lambda card: card.rank)
    cards = [card for card in listed if card.names_a_machine]
    if cards:
        return cards[0].mac_id, cards[0].name
    node = uuid.getnode().to_bytes(6, "big")
    if any(node) and not node[0] & (_MULTICAST | _LOCALLY_ADMINISTERED):
        return _spelt(node), "the operating system"
    if machine_id is not None:
        return derived_mac_id(machine_id), "derived from the machine ID"
    if listed:
        return listed[0].mac_id, listed[0].name
    raise WrongUse("This machine has no MAC ID and no machine ID. Give one with --mac-id.")


def derived_mac_id(machine_id: str) -> str:
    """A locally administered MAC ID for a machine that has none; always the same for one machine.

    The first six bytes of SHA-256 over `rolling-window/mac-id/v1`, one zero byte and the machine ID
    in UTF-8, with the bit for "locally administered" set and the one for "multicast" not.
    """
    raw = bytearray(hashlib.sha256(_DERIVED_FROM + machine_id.encode()).digest()[:6])
    raw[0] = raw[0] & ~_MULTICAST | _LOCALLY_ADMINISTERED
    return _spelt(bytes(raw))


def _spelt(raw: bytes) -> str:
    return raw.hex(":").upper()


@dataclass(frozen=True)
class _Card:
    name: str
    mac_id: str
    physical: bool
    local: bool
    permanent: bool
    up: bool

    @property
    def names_a_machine(self) -> bool:
        """Whether its address is likely no other machine's: bridges of containers often share."""
        return self.physical or not self.local

    @property
    def rank(self) -> tuple[bool, bool, bool, bool, str]:
        """Small is good: physical, its maker's address, unchanged, up; then by name."""
        return not self.physical, self.local, not self.permanent, not self.up, self.name


def _listed(interfaces: Path) -> Iterator[_Card]:
    """The Ethernet-like interfaces under `interfaces` that have an address of their own."""
    for folder in interfaces.iterdir() if interfaces.is_dir() else ():
        if _word(folder / "type") != _ETHERNET:
            continue
        try:
            mac_id = parse_mac_id(_word(folder / "address"))
        except WrongUse:
            continue
        yield _Card(
            name=folder.name,
            mac_id=mac_id,
            physical=(folder / "device").exists(),
            local=bool(int(mac_id[:2], 16) & _LOCALLY_ADMINISTERED),
            permanent=_word(folder / "addr_assign_type") == _PERMANENT,
            up=_word(folder / "operstate") == "up",
        )


def _word(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:  # an interface may go while we look at it
        return ""


# Machine IDs


def find_machine_id() -> str | None:
    """What the operating system calls this machine; None where it does not say.

    Linux: /etc/machine-id. macOS: IOPlatformUUID. Windows: MachineGuid.
    """
    if sys.platform == "win32":
        found = _windows_machine_id()
    elif sys.platform == "darwin":
        found = _macos_machine_id()
    else:
        found = next(filter(None, map(_word, _MACHINE_ID_FILES)), "")
    usable = 0 < len(found) <= MAX_MACHINE_ID and found.isprintable()
    return found if usable and found != "uninitialized" else None  # systemd, before its first boot


def _checked_machine_id(text: str) -> str:
    machine_id = text.strip()
    if not 0 < len(machine_id) <= MAX_MACHINE_ID or not machine_id.isprintable():
        raise WrongUse(f"A machine ID has 1 to {MAX_MACHINE_ID} characters that can be printed.")
    return machine_id


def _macos_machine_id() -> str:
    command = ["/usr/sbin/ioreg", "-rd1", "-c", "IOPlatformExpertDevice"]
    try:
        printed = subprocess.run(command, capture_output=True, timeout=5, check=True).stdout  # noqa: S603 - fixed
    except (OSError, subprocess.SubprocessError):
        return ""
    match = re.search(r'"IOPlatformUUID" = "([^"]+)"', printed.decode("utf-8", "replace"))
    return match[1] if match else ""


def _windows_machine_id() -> str:
    if sys.platform != "win32":
        return ""
    import winreg  # noqa: PLC0415 - on Windows only

    path = r"SOFTWARE\Microsoft\Cryptography"
    access = winreg.KEY_READ | winreg.KEY_WOW64_64KEY
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, path, 0, access) as folder:
            return str(winreg.QueryValueEx(folder, "MachineGuid")[0])
    except OSError:
        return ""
