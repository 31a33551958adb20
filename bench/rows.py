"""Organisations and keys for a benchmark, the same each time: an SQLite file for `fill`.

    python -m bench.rows FILE PARAMS --organisations 100000 --keys 1000000

PARAMS gets, as JSON, what a benchmark asks for: rare and common words, some projects.
"""

import argparse
import json
import random
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

FIRST = "Northern Blue Silver Rapid Prime Allied Alpine Coastal Modern Noble Swift Amber".split()
SECOND = "Systems Energy Solar Foods Medical Steel Robotics Marine Timber Networks Optics".split()
LAST = "Ltd Inc. GmbH S.A. B.V. AB Oy Group Holdings Partners".split()
OTHER = "Müller Łukasz Ørsted Núñez Žižka Νίκη Восток Київ 東京 大阪 القاهرة שלום".split()
PLANS = ("trial", "starter", "team", "business", "enterprise")
TTLS = (3600, 86400, 7 * 86400, 30 * 86400)
LARGE = 1000
"""How many keys each of the first organisations has, one in ten thousand of them."""
SCHEMA = """
CREATE TABLE organisation (
  id INTEGER PRIMARY KEY, organisation_id TEXT NOT NULL, name TEXT NOT NULL,
  contact_email TEXT NOT NULL, plan TEXT NOT NULL, plan_expires_on TEXT NOT NULL);
CREATE TABLE license_key (
  id INTEGER PRIMARY KEY, organisation_id INTEGER NOT NULL, ttl_seconds INTEGER NOT NULL,
  issued_at TEXT NOT NULL, expires_at TEXT NOT NULL, revoked_at TEXT);
"""


def write_rows(file: Path, *, organisations: int, keys: int, now: datetime) -> dict[str, object]:
    """Write the rows into a new file; returns what a benchmark asks for."""
    chance = random.Random(20261126)
    names = [_name(chance) for _ in range(organisations)]
    large = max(1, organisations // 10_000) if keys > 10 * LARGE else 0
    connection = sqlite3.connect(file)
    connection.executescript("PRAGMA synchronous = OFF;" + SCHEMA)
    connection.executemany(
        "INSERT INTO organisation VALUES (?, ?, ?, ?, ?, ?)",
        (
            (
                number,
                f"org_{chance.getrandbits(48):012x}",
                name,
                f"ops{number}@org{number}.example",
                chance.choice(PLANS),
                f"{(now + timedelta(days=chance.randrange(-200, 700))):%Y-%m-%d}",
            )
            for number, name in enumerate(names, 1)
        ),
    )
    connection.executemany(
        "INSERT INTO license_key VALUES (?, ?, ?, ?, ?, ?)",
        _keys(chance, organisations=organisations, large=large, keys=keys, now=now),
    )
    connection.commit()
    connection.close()
    typical = sorted({chance.randrange(large + 1, organisations + 1) for _ in range(400)})
    return {
        "lists": {
            "rare": [f"ops{number}@" for number in typical],
            "common": [word.lower() for word in SECOND],
            "typical_pk": typical,
            "big_pk": list(range(1, large + 1)) or typical,
        }
    }


def _name(chance: random.Random) -> str:
    first = chance.choice(OTHER if chance.random() < 0.05 else FIRST)
    own = "".join(chance.choice("bdfgklmnprstvz") + chance.choice("aeiou") for _ in range(3))
    return f"{first} {own.capitalize()} {chance.choice(SECOND)} {chance.choice(LAST)}"


def _keys(
    chance: random.Random, *, organisations: int, large: int, keys: int, now: datetime
) -> Iterator[tuple[object, ...]]:
    """The keys: about 3% active, one in twenty of the others revoked."""
    for number in range(1, keys + 1):
        owner = (number - 1) // LARGE + 1
        if owner > large:
            owner = chance.randrange(large + 1, organisations + 1)
        ttl = chance.choice(TTLS)
        is_active = chance.random() < 0.03
        age = chance.random() * ttl if is_active else ttl + chance.random() * 300 * 86400
        issued = now - timedelta(seconds=int(age))
        revoked = not is_active and chance.random() < 0.05
        yield (
            number,
            owner,
            ttl,
            f"{issued:%Y-%m-%d %H:%M:%S}",
            f"{issued + timedelta(seconds=ttl):%Y-%m-%d %H:%M:%S}",
            f"{issued + timedelta(seconds=ttl // 2):%Y-%m-%d %H:%M:%S}" if revoked else None,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("params", type=Path)
    parser.add_argument("--organisations", type=int, default=100_000)
    parser.add_argument("--keys", type=int, default=1_000_000)
    given = parser.parse_args()
    params = write_rows(
        given.file,
        organisations=given.organisations,
        keys=given.keys,
        now=datetime.now(UTC).replace(tzinfo=None),
    )
    given.params.write_text(json.dumps(params))


if __name__ == "__main__":
    main()
