"""A cluster and a shell on it, for tests that type commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.console import Ran, vipcast
from tests.unit.control.living import Living, living


class Shell:
    """Types commands on a1 of a cluster; words that end in `_cfg` are files in a folder of the test's own."""

    def __init__(self, cluster: Living, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder

    def __call__(self, line: str) -> Ran:
        words = [str(self.folder / word) if word.endswith("_cfg") else word for word in line.split()]
        return vipcast(*words, "--socket", str(self.cluster.path))

    def done(self, line: str) -> list[str]:
        """The lines of a command that has to succeed."""
        ran = self(line)
        assert ran.code == 0, ran
        return ran.lines

    def refused(self, line: str, code: int = 1) -> str:
        """What a command says that has to fail; it must have changed nothing."""
        before = self.cluster.backend.state.digest()
        ran = self(line)
        assert ran.code == code, ran
        assert ran.stdout == "", ran
        assert self.cluster.backend.state.digest() == before
        return ran.stderr


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with living() as cluster:
        yield Shell(cluster, tmp_path)
