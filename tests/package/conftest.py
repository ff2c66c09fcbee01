"""The package of the newest commit, built once."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def build(folder: Path) -> Path:
    """A clone of the newest commit in `folder`, and the package that it makes."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True, timeout=120)
    subprocess.run(["make", "deb"], cwd=folder, check=True, capture_output=True, timeout=900)
    (package,) = (folder / "dist").glob("*.deb")
    return package


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("one") / "vipcast")
