"""The program `rolling-window`, as it is installed and called."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.config import ROOT

PROGRAM = Path(sys.executable).with_name("rolling-window")


def run(folder: Path, *command: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run in a folder other than the portal's own."""
    settings = {"PORTAL_INSTANCE": str(folder / "instance")} | environ
    return subprocess.run(
        command, cwd=folder, env=os.environ | settings, capture_output=True, text=True
    )


@pytest.mark.parametrize("command", [[PROGRAM], [sys.executable, "-m", "app"]])
def test_both_ways_to_call_it_are_one_program(command: list[str], tmp_path: Path) -> None:
    version = run(tmp_path, *command, "--version", PYTHONPATH=str(ROOT))
    assert (version.returncode, version.stdout) == (0, "rolling-window, version 0.1.0\n")
    shown = run(tmp_path, *command, "config", PYTHONPATH=str(ROOT))
    assert shown.returncode == 0
    assert str(tmp_path / "instance") in shown.stdout


def test_a_misspelt_setting_stops_it_with_one_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORTAL_BNID=127.0.0.1:1\n")
    refused = run(tmp_path, PROGRAM, "serve")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("PORTAL_BNID: there is no such setting; did you mean PORTAL_B")
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shells_complete_its_commands(shell: str, tmp_path: Path) -> None:
    source = run(tmp_path, PROGRAM, _ROLLING_WINDOW_COMPLETE=f"{shell}_source")
    assert source.returncode == 0
    assert "rolling" in source.stdout
    words = {"COMP_WORDS": "rolling-window us", "COMP_CWORD": "us" if shell == "fish" else "1"}
    found = run(tmp_path, PROGRAM, _ROLLING_WINDOW_COMPLETE=f"{shell}_complete", **words)
    assert "users" in found.stdout
