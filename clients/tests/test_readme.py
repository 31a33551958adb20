"""The README's examples, type-checked as somebody would who has installed the package."""

import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

CLIENTS = Path(__file__).parents[1]
README = (CLIENTS / "README.md").read_text(encoding="utf-8")
OF_THE_PROGRAM = "def do_a_piece_of_work(organisation_id: str) -> None: ...\ntext = str()\n"
"""What the examples leave to the program that they stand in."""
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The Python of an environment with the package in it, as it is installed, and not its source.

    What it needs comes from the environment of the tests.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    [packages] = (tmp_path / "venv").glob("[Ll]ib/**/site-packages")
    (packages / "needs.pth").write_text(sysconfig.get_path("purelib"))
    project = tomllib.loads((CLIENTS / "pyproject.toml").read_text(encoding="utf-8"))
    [(name, data)] = project["tool"]["setuptools"]["package-data"].items()
    (packages / name).mkdir()
    for pattern in ("*.py", *data):
        for file in (CLIENTS / "src" / name).glob(pattern):
            shutil.copy(file, packages / name)
    return next((tmp_path / "venv").glob("[bS]*/python*"))


def test_the_examples_pass_mypy_strictly(tmp_path: Path, python: Path) -> None:
    (tmp_path / "user").mkdir()
    for number, code in enumerate(EXAMPLES):
        (tmp_path / "user" / f"example_{number}.py").write_text(OF_THE_PROGRAM + code)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), "."]
    answer = subprocess.run(
        mypy, cwd=tmp_path / "user", capture_output=True, text=True, check=False
    )
    assert answer.stdout.startswith("Success: no issues found in 2 source files"), answer.stdout
