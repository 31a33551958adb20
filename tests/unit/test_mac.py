"""MAC IDs: the usual spellings, one way to store them, and what is no machine's."""

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agents.mac import new_local_mac, normalise_mac
from app.core.errors import InvalidInput

STORED = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){5}")


@pytest.mark.parametrize(
    "text",
    [
        "00:1A:2B:3C:4D:5E",
        "00:1a:2b:3c:4d:5e",
        "00-1A-2B-3C-4D-5E",
        "00-1a-2b-3c-4d-5e",
        "001A.2B3C.4D5E",
        "001a.2b3c.4d5e",
        "001A2B3C4D5E",
        "  00:1A:2B:3C:4D:5E\r\n",
    ],
)
def test_the_usual_spellings_are_stored_as_one(text: str) -> None:
    assert normalise_mac(text) == "00:1A:2B:3C:4D:5E"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "00:1A:2B:3C:4D",
        "00:1A:2B:3C:4D:5E:6F",
        "00:1A:2B:3C:4D:5G",
        "00:1A-2B:3C-4D:5E",
        "00:1A:2B:3C:4D:5E:",
        "0:1A:2B:3C:4D:5E",
        "001A:2B3C:4D5E",
        "00 1A 2B 3C 4D 5E",
        "00:1A:2B:3C:4D:5E\x00",
        "００:1A:2B:3C:4D:5E",
        "٠٠:1A:2B:3C:4D:5E",
        "00:1A:2B:3C:4D:5E" * 60_000,
    ],
)
def test_what_is_no_mac_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="not a MAC ID") as refusal:
        normalise_mac(text)
    assert refusal.value.field == "mac_id"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("FF:FF:FF:FF:FF:FF", "broadcast"),
        ("ffff.ffff.ffff", "broadcast"),
        ("00:00:00:00:00:00", "all-zero"),
        ("01:00:5E:00:00:FB", "multicast"),
        ("33-33-00-00-00-01", "multicast"),
    ],
)
def test_addresses_of_no_single_machine_are_refused_each_with_its_sentence(
    text: str, why: str
) -> None:
    with pytest.raises(InvalidInput, match=why) as refusal:
        normalise_mac(text)
    assert refusal.value.field == "mac_id"


@given(st.binary(min_size=6, max_size=6).filter(lambda octets: octets[0] & 1 == 0 and any(octets)))
def test_every_spelling_of_every_address_comes_to_the_same(octets: bytes) -> None:
    digits = octets.hex()
    stored = normalise_mac(digits)
    assert STORED.fullmatch(stored)
    dotted = ".".join(digits[at : at + 4] for at in (0, 4, 8))
    for spelling in (octets.hex(":"), octets.hex("-").upper(), dotted, stored):
        assert normalise_mac(spelling) == stored


@given(st.text(max_size=40))
def test_any_text_is_either_stored_in_the_one_spelling_or_refused(text: str) -> None:
    with suppress(InvalidInput):
        assert STORED.fullmatch(normalise_mac(text))


def test_a_browser_gets_a_locally_administered_address_of_its_own() -> None:
    made = {new_local_mac() for _ in range(200)}
    assert len(made) == 200
    for mac_id in made:
        assert normalise_mac(mac_id) == mac_id
        assert int(mac_id[:2], 16) & 0b11 == 0b10
