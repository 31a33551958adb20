"""Which machine this is."""

import socket
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolling_window_client import machine
from rolling_window_client.errors import WrongUse
from rolling_window_client.machine import (
    derived_mac_id,
    find_mac_id,
    find_machine_id,
    parse_mac_id,
    this_machine,
)

MACHINE_ID = "0123456789abcdef0123456789abcdef"
RANDOM_NODE = 0x0100_0000_0001 | 0x5A << 8


@pytest.fixture(autouse=True)
def no_node_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """uuid.getnode finds nothing: then it makes a number up, with the multicast bit."""
    monkeypatch.setattr(uuid, "getnode", lambda: RANDOM_NODE)


def card(
    folder: Path,
    name: str,
    address: str,
    *,
    physical: bool = True,
    up: bool = True,
    permanent: bool = True,
    kind: str = "1",
) -> None:
    (folder / name).mkdir()
    (folder / name / "address").write_text(f"{address}\n")
    (folder / name / "type").write_text(f"{kind}\n")
    (folder / name / "operstate").write_text("up\n" if up else "down\n")
    (folder / name / "addr_assign_type").write_text("0\n" if permanent else "1\n")
    if physical:
        (folder / name / "device").mkdir()


@pytest.mark.parametrize(
    "text",
    ["00:1A:2B:3C:4D:5E", "00-1a-2b-3c-4d-5e", "001A.2B3C.4D5E", "001a2b3c4d5e",
     "  00:1a:2B:3c:4D:5e\n"],
)  # fmt: skip
def test_the_usual_spellings_are_one(text: str) -> None:
    assert parse_mac_id(text) == "00:1A:2B:3C:4D:5E"


@pytest.mark.parametrize(
    "text",
    ["", "00:1A:2B:3C:4D", "00:1A:2B:3C:4D:5E:6F", "00:1A-2B:3C-4D:5E", "001A.2B3C4D5E",
     "00:1A:2B:3C:4D:5G", "0:1A:2B:3C:4D:5E", "00 1A 2B 3C 4D 5E", "00:1A:2B:3C:4D:5E x",
     "٠٠:1A:2B:3C:4D:5E", "00:00:00:00:00:00", "FF:FF:FF:FF:FF:FF", "01:00:5E:00:00:01",
     "33:33:00:00:00:01"],
)  # fmt: skip
def test_what_names_no_machine_is_refused(text: str) -> None:
    with pytest.raises(WrongUse, match="MAC ID"):
        parse_mac_id(text)


def test_a_physical_card_goes_first(tmp_path: Path) -> None:
    card(tmp_path, "br0", "00:1A:2B:00:00:01", physical=False)
    card(tmp_path, "eth0", "00:1A:2B:00:00:02")
    assert find_mac_id(None, tmp_path) == ("00:1A:2B:00:00:02", "eth0")


def test_of_physical_cards_the_one_with_its_makers_address(tmp_path: Path) -> None:
    card(tmp_path, "a0", "02:1A:2B:00:00:01")
    card(tmp_path, "b0", "00:1A:2B:00:00:02", up=False)
    assert find_mac_id(None, tmp_path)[1] == "b0"


def test_then_one_whose_address_was_not_made_up_then_one_that_is_up_then_by_name(
    tmp_path: Path,
) -> None:
    card(tmp_path, "a0", "00:1A:2B:00:00:01", permanent=False)
    card(tmp_path, "b0", "00:1A:2B:00:00:02", up=False)
    assert find_mac_id(None, tmp_path)[1] == "b0"
    card(tmp_path, "d0", "00:1A:2B:00:00:04")
    card(tmp_path, "c0", "00:1A:2B:00:00:03")
    assert find_mac_id(None, tmp_path)[1] == "c0"


def test_a_virtual_machines_card_will_do(tmp_path: Path) -> None:
    card(tmp_path, "ens3", "52:54:00:12:34:56")
    assert find_mac_id(MACHINE_ID, tmp_path)[1] == "ens3"


def test_what_is_no_network_card_is_passed_over(tmp_path: Path) -> None:
    card(tmp_path, "lo", "00:00:00:00:00:00", kind="772")
    card(tmp_path, "tun0", "", kind="65534")
    card(tmp_path, "odd", "01:00:5e:00:00:01")
    (tmp_path / "gone").mkdir()
    (tmp_path / "bonding_masters").write_text("")
    with pytest.raises(WrongUse, match="--mac-id"):
        find_mac_id(None, tmp_path)


def test_a_containers_shared_address_goes_last(tmp_path: Path) -> None:
    card(tmp_path, "eth0", "02:42:AC:11:00:02", physical=False)
    assert find_mac_id(MACHINE_ID, tmp_path) == (
        derived_mac_id(MACHINE_ID),
        "derived from the machine ID",
    )
    assert find_mac_id(None, tmp_path)[1] == "eth0"


def test_elsewhere_than_on_linux_the_system_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uuid, "getnode", lambda: 0x001A2B3C4D5E)
    found = find_mac_id(MACHINE_ID, tmp_path / "none")
    assert found == ("00:1A:2B:3C:4D:5E", "the operating system")


@pytest.mark.parametrize("node", [RANDOM_NODE, 0x021A2B3C4D5E, 0])
def test_an_address_that_was_made_up_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, node: int
) -> None:
    monkeypatch.setattr(uuid, "getnode", lambda: node)
    assert find_mac_id(MACHINE_ID, tmp_path)[0] == derived_mac_id(MACHINE_ID)


def test_the_derived_address_is_what_the_readme_says() -> None:
    assert derived_mac_id(MACHINE_ID) == "DE:E6:81:51:47:23"


@given(st.text(max_size=128))
def test_every_derived_address_is_locally_administered_and_one_machines(machine_id: str) -> None:
    mac_id = derived_mac_id(machine_id.encode("utf-8", "replace").decode())
    assert parse_mac_id(mac_id) == mac_id
    assert int(mac_id[:2], 16) & 0x03 == 0x02


@pytest.mark.skipif(sys.platform != "linux", reason="Linux keeps its machine ID in a file")
@pytest.mark.parametrize(
    ("contents", "expected"),
    [((MACHINE_ID + "\n", None), MACHINE_ID), ((None, MACHINE_ID), MACHINE_ID),
     (("", MACHINE_ID), MACHINE_ID), (("uninitialized\n", None), None), ((None, None), None),
     (("x" * 129, None), None)],
)  # fmt: skip
def test_the_machine_id_of_linux(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    contents: tuple[str | None, str | None],
    expected: str | None,
) -> None:
    files = (tmp_path / "machine-id", tmp_path / "dbus")
    for file, content in zip(files, contents, strict=True):
        if content is not None:
            file.write_text(content)
    monkeypatch.setattr(machine, "_MACHINE_ID_FILES", files)
    assert find_machine_id() == expected


IOREG = b"""+-o J314sAP  <class IOPlatformExpertDevice>
    "IOPlatformUUID" = "5A3B0C1D-1111-2222-3333-444455556666"
"""


@pytest.mark.parametrize(
    ("printed", "expected"),
    [(IOREG, "5A3B0C1D-1111-2222-3333-444455556666"), (b"", None), (b"\xff", None)],
)
def test_the_machine_id_of_macos(
    monkeypatch: pytest.MonkeyPatch, printed: bytes, expected: str | None
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    done = subprocess.CompletedProcess[bytes]([], 0, stdout=printed)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert find_machine_id() == expected


def test_a_macos_that_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(subprocess, "run", fails)
    assert find_machine_id() is None


def test_what_is_given_goes_before_what_is_found() -> None:
    found = this_machine("00-1a-2b-3c-4d-5e", " my-machine ")
    assert found.mac_id == "00:1A:2B:3C:4D:5E"
    assert found.machine_id == "my-machine"
    assert found.host_name == socket.gethostname()


@pytest.mark.parametrize("given_id", ["", "  ", "x" * 129, "a\0b", "a\nb"])
def test_a_machine_id_that_cannot_be_is_refused(given_id: str) -> None:
    with pytest.raises(WrongUse, match="machine ID"):
        this_machine("00:1A:2B:3C:4D:5E", given_id)


def test_this_very_machine_has_a_name() -> None:
    assert parse_mac_id(this_machine().mac_id)
