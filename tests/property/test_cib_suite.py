"""Pacemaker's own regression files: each is read, survives the way out and in, and stays valid for `crm_verify`."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from daemon.model.cib import read_cib, read_configuration, write_cib
from daemon.model.validation import validate
from tests.scheduler_suite.cases import suite_folder

FILES = sorted((suite_folder() / "dev" / "xml").glob("*.xml"))

if not FILES:
    pytest.skip(
        f"no files in {suite_folder()}: set VIPCAST_SCHEDULER_SUITE to the suite's folder", allow_module_level=True
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_peers_file_survives_the_way_in_and_out(path: Path, tmp_path: Path) -> None:
    file = read_cib(path.read_bytes())
    written = write_cib(file.configuration, epoch=file.epoch)
    assert read_configuration(written) == file.configuration
    validate(file.configuration)
    ours = tmp_path / path.name
    ours.write_bytes(written)
    fresh = _complaints(ours) - _complaints(path)
    assert not fresh, "crm_verify finds errors in what we wrote that the original has not"


def _complaints(path: Path) -> Counter[str]:
    """Errors of crm_verify, without the places in the file."""
    done = subprocess.run(
        ["crm_verify", "-V", "-x", str(path)], capture_output=True, text=True, check=False, timeout=60
    )
    return Counter(re.sub(r"^\S+:\d+: ", "", line) for line in done.stderr.splitlines() if "error" in line.lower())
