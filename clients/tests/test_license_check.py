"""`license-check`, as it is called."""

import io
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from signing import (
    FOREIGN_KEY,
    MAC_ID,
    OLDER_KEY,
    SIGNING_KEY,
    Json,
    jwk_set,
    kid,
    permanent_license,
    revocation_list,
    temporary_key,
)
from stub_portal import StubPortal

from rolling_window_client.license_check import main

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)
ACTIVE = temporary_key(issued_at=NOW - HOUR)
EXPIRED = temporary_key(issued_at=NOW - 4 * HOUR)
ENDLESS = temporary_key(issued_at=NOW - HOUR, ttl=10 * 365 * 86_400)
AHEAD = temporary_key(issued_at=NOW - HOUR, nbf=int((NOW + HOUR).timestamp()))
STARTED = temporary_key(issued_at=NOW - HOUR, nbf=int((NOW - HOUR / 2).timestamp()))
EARLY = temporary_key(issued_at=NOW + HOUR)
PERMANENT = permanent_license(issued_at=NOW - HOUR, machine="a-machine")


def seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def entry(key_id: str) -> Json:
    return {"jti": key_id, "revoked_at": seconds(NOW - HOUR / 2), "expires_at": None}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """keys.json, foreign.json, and lists: fresh.jws (names nobody), named.jws, stale.jws."""
    soon, late = seconds(NOW + HOUR), seconds(NOW - HOUR)
    lists = {
        "fresh.jws": revocation_list(iat=seconds(NOW), next_update=soon),
        "stale.jws": revocation_list(iat=late, next_update=late + 60),
        "retired.jws": revocation_list(
            iat=seconds(NOW), next_update=soon, private_key=OLDER_KEY, retired=[kid(SIGNING_KEY)]
        ),
        "itself.jws": revocation_list(
            iat=seconds(NOW), next_update=soon, retired=[kid(SIGNING_KEY)]
        ),
        "named.jws": revocation_list(
            entry("K7QF-3MXP"), entry("P4RM-22AA"), iat=seconds(NOW), next_update=soon
        ),
    }
    for name, content in lists.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "keys.json").write_bytes(jwk_set(SIGNING_KEY, OLDER_KEY))
    (tmp_path / "foreign.json").write_bytes(jwk_set(FOREIGN_KEY))
    return tmp_path


class Check:
    """Calls the command with a key on standard input, and keeps what it said."""

    def __init__(
        self, files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.files, self.monkeypatch, self.capsys = files, monkeypatch, capsys
        self.out = self.err = ""

    def __call__(self, key: str | bytes, *options: str, keys: str = "keys.json") -> int:
        raw = key if isinstance(key, bytes) else key.encode()
        self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
        self.monkeypatch.chdir(self.files)
        try:
            status = main(["--keys", keys, *options])
        except SystemExit as wrong_use:
            status = int(wrong_use.code or 0)
        self.out, self.err = self.capsys.readouterr()
        assert "Traceback" not in self.err
        text = key if isinstance(key, str) else ""
        assert not text or text not in self.out + self.err
        return status

    def json(self, key: str, *options: str) -> tuple[int, dict[str, Any]]:
        status = self(key, "--json", *options)
        return status, json.loads(self.out)


@pytest.fixture
def check(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Check:
    return Check(files, monkeypatch, capsys)


FRESH, STALE, NAMED, RETIRED = (
    ("--revoked", "fresh.jws"),
    ("--revoked", "stale.jws"),
    ("--revoked", "named.jws"),
    ("--revoked", "retired.jws"),
)


@pytest.mark.parametrize(
    ("key", "options", "status", "state"),
    [
        (ACTIVE, (), 0, "active"),
        (ACTIVE, FRESH, 0, "active"),
        (PERMANENT, FRESH, 0, "active"),
        (EXPIRED, (), 3, "expired"),
        (ACTIVE, NAMED, 4, "revoked"),
        (EXPIRED, NAMED, 3, "expired"),
        (PERMANENT, NAMED, 4, "revoked"),
        (ACTIVE, RETIRED, 4, "revoked"),
        (EXPIRED, RETIRED, 4, "revoked"),
        (EARLY, RETIRED, 4, "revoked"),
        (PERMANENT, RETIRED, 4, "revoked"),
        (EARLY, (), 5, "invalid"),
        (AHEAD, (), 9, "scheduled"),
        (AHEAD, STALE, 9, "scheduled"),
        (AHEAD, NAMED, 4, "revoked"),
        (STARTED, (), 0, "active"),
        (ENDLESS, (), 5, "invalid"),
        (f"{ACTIVE}\n{EXPIRED}", (), 5, "invalid"),
        ("rw1.no.key.at-all", (), 5, "invalid"),
        ("", (), 5, "invalid"),
        (ACTIVE, STALE, 6, "unknown"),
        (ACTIVE, (*STALE, "--accept-stale"), 0, "active"),
        (EXPIRED, STALE, 3, "expired"),
    ],
)
def test_the_exit_status_tells_the_state(
    check: Check, key: str, options: tuple[str, ...], status: int, state: str
) -> None:
    assert check(key, *options) == status
    assert f"State:        {state}" in check.out
    as_json = check.json(key, *options)
    assert (as_json[0], as_json[1]["state"]) == (status, state)


def test_the_json_says_everything(check: Check) -> None:
    _, said = check.json(ACTIVE, *FRESH)
    assert said == {
        "state": "active",
        "reason": "The key is active.",
        "matches": True,
        "revocation": "not_revoked",
        "revoked_at": None,
        "kind": "temporary",
        "key_id": "K7QF-3MXP",
        "organisation_id": "ORG-000123",
        "issued_at": f"{NOW - HOUR:%Y-%m-%dT%H:%M:%SZ}",
        "starts_at": f"{NOW - HOUR:%Y-%m-%dT%H:%M:%SZ}",
        "expires_at": f"{NOW + 2 * HOUR:%Y-%m-%dT%H:%M:%SZ}",
        "mac_id": None,
        "machine": None,
        "kid": "1IG2tMH7",
    }


def test_the_json_of_a_permanent_license(check: Check) -> None:
    _, said = check.json(PERMANENT)
    assert (said["kind"], said["mac_id"], said["machine"]) == ("permanent", MAC_ID, "a-machine")
    assert (said["expires_at"], said["revocation"]) == (None, "not_checked")


def test_a_key_issued_ahead_says_when_it_starts(check: Check) -> None:
    check(AHEAD)
    assert f"Starts:       {NOW + HOUR:%Y-%m-%d %H:%M:%S} UTC" in check.out
    _, said = check.json(AHEAD)
    assert (said["starts_at"], said["expires_at"]) == (
        f"{NOW + HOUR:%Y-%m-%dT%H:%M:%SZ}", f"{NOW + 4 * HOUR:%Y-%m-%dT%H:%M:%SZ}",
    )  # fmt: skip


def test_the_words_say_what_is_not_known(check: Check) -> None:
    check(ACTIVE)
    assert "Revocation:   not checked" in check.out
    check(ACTIVE, *STALE)
    assert "unknown whether revoked" in check.out
    check(PERMANENT)
    assert "never; valid while the organisation's subscription is" in check.out


@pytest.mark.parametrize(
    ("key", "options", "status"),
    [(ACTIVE, ("--organisation", "ORG-000123"), 0), (ACTIVE, ("--organisation", "ORG-1"), 8),
     (PERMANENT, ("--mac-id", "00-1a-2b-3c-4d-5e"), 0), (ACTIVE, ("--mac-id", MAC_ID), 8),
     (PERMANENT, ("--mac-id", "00:1A:2B:3C:4D:5F"), 8),
     (EXPIRED, ("--organisation", "ORG-1"), 3), ("no key", ("--organisation", "ORG-1"), 5)],
)  # fmt: skip
def test_a_key_is_held_against_what_is_meant(
    check: Check, key: str, options: tuple[str, ...], status: int
) -> None:
    assert check(key, *options) == status


@pytest.mark.parametrize(
    ("options", "keys"),
    [((), "missing.json"), ((), "fresh.jws"), ((), "http://127.0.0.1:9/keys"), ((), "."),
     (("--revoked", "missing.jws"), "keys.json"), (("--revoked", "keys.json"), "keys.json"),
     (("--revoked", "fresh.jws"), "foreign.json"), (("--revoked", "itself.jws"), "keys.json")],
)  # fmt: skip
def test_without_good_documents_there_is_no_answer(
    check: Check, options: tuple[str, ...], keys: str
) -> None:
    assert check(ACTIVE, *options, keys=keys) == 7
    assert check.out == ""
    assert check.err.startswith("license-check: ")


@pytest.mark.parametrize("keys", ["http://portal.example/keys", "ftp://portal.example/keys"])
def test_public_keys_are_not_fetched_where_anybody_could_change_them(
    check: Check, keys: str
) -> None:
    assert check(ACTIVE, keys=keys) == 2


def test_documents_from_a_portal(check: Check, files: Path, portal: StubPortal) -> None:
    portal.documents["/.well-known/license-keys.json"] = jwk_set()
    portal.documents["/.well-known/revoked-licenses"] = (files / "fresh.jws").read_bytes()
    address = f"{portal.address}/.well-known"
    listed = ("--revoked", f"{address}/revoked-licenses")
    assert check(ACTIVE, *listed, keys=f"{address}/license-keys.json") == 0
    assert check(ACTIVE, keys=f"{address}/nothing-there") == 7


@pytest.mark.parametrize("raw", [b"\xff\xfe\x00", b"x" * 1_000_000, b"\0", b"\n\n\n"])
def test_whatever_is_on_standard_input_is_no_key(check: Check, raw: bytes) -> None:
    assert check(raw) == 5


def test_a_key_wrapped_and_with_a_byte_order_mark(check: Check) -> None:
    text = "\ufeff\u201c" + "\r\n".join(ACTIVE[at : at + 60] for at in range(0, 200, 60)) + "\u201d"
    assert check(text) == 0


@pytest.mark.parametrize(
    "options", [(ACTIVE,), ("--key", ACTIVE), (f"--key={ACTIVE}",), (f"--json={ACTIVE}",)]
)
def test_a_key_on_the_command_line_is_refused_and_not_repeated(
    check: Check, options: tuple[str, ...]
) -> None:
    assert check("", *options) == 2
    assert ACTIVE not in check.out + check.err
    assert "never go on the command line" in check.err


def test_a_mac_id_that_is_none(check: Check) -> None:
    assert check(ACTIVE, "--mac-id", "x") == 2


def test_names_in_a_key_cannot_steer_the_terminal(check: Check) -> None:
    assert check(temporary_key(issued_at=NOW, org="\x1b[2J\u202eORG")) == 0
    assert "\x1b" not in check.out
    assert "\u202e" not in check.out
