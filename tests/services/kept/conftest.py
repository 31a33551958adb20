"""An installation on each database, whose clock can be turned."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.keyformat import sealed
from tests.services.kept.stage import Installation, empty_postgres, new_installation


@pytest.fixture(autouse=True)
def quick_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "SCRYPT_N", 2)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    folder = tmp_path / "instance"
    if request.param == "sqlite":
        installation = new_installation(folder, None)
        yield installation
        installation.close()
        return
    with empty_postgres(request.getfixturevalue("postgres_url"), "kept") as url:
        installation = new_installation(folder, url)
        yield installation
        installation.close()
