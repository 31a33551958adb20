"""What lies in deploy/ besides the proxies' files: read by its own parser, where that is here."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from app.config import ROOT

DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))
HIGHEST_EXPOSURE = 2.0


@pytest.fixture
def systemd_analyze() -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not on this machine; get it with: apt-get install systemd")
    return program


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_are_understood(systemd_analyze: str, unit: Path, tmp_path: Path) -> None:
    """With a program that is there in place of the portal's, which is not."""
    copy = tmp_path / unit.name
    copy.write_text(
        unit.read_text(encoding="utf-8").replace(
            "/opt/rolling-window/.venv/bin/rolling-window", "/bin/true"
        )
    )
    read = subprocess.run([systemd_analyze, "verify", copy], capture_output=True, text=True)
    said = [line for line in read.stderr.splitlines() if line.startswith(unit.name)]
    assert said == []


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_shut_the_portal_in(systemd_analyze: str, unit: Path) -> None:
    command = [systemd_analyze, "security", "--offline=true", "--no-pager", unit]
    read = subprocess.run(command, capture_output=True, text=True)
    exposure = re.search(r"exposure level for \S+: ([\d.]+)", read.stdout)
    assert exposure, read.stderr
    assert float(exposure[1]) <= HIGHEST_EXPOSURE


@pytest.mark.parametrize("name", ["compose.yaml", "compose.postgres.yaml"])
def test_containers_are_shut_in_and_their_files_are_named(name: str) -> None:
    services = yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))["services"]
    portals = [service for at, service in services.items() if at.startswith("portal")]
    assert len(portals) == (1 if name == "compose.yaml" else 2)
    for portal in portals:
        assert portal["read_only"] is True
        assert portal["cap_drop"] == ["ALL"]
        assert (DEPLOY / portal["build"]["context"] / portal["build"]["dockerfile"]).exists()
        named = portal["environment"]
        assert not [at for at in named if at.endswith(("PASSWORD", "SECRET_KEY", "DATABASE_URL"))]


def test_the_image_has_all_that_runs_and_no_root() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^USER portal$", dockerfile, re.MULTILINE)
    assert "HEALTHCHECK" in dockerfile
    copied = set(re.findall(r"^COPY (?!--from)(\S+) ", dockerfile, re.MULTILINE))
    let_in = {
        line[1:]
        for line in (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    assert copied == let_in
    for name in copied:
        assert (ROOT / name).exists(), name
