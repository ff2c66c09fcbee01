"""What our edits make, the real `crm_verify` accepts without an error.  Needs Debian's pacemaker-cli-utils."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.model.cib import write_cib
from daemon.model.configuration import Configuration
from daemon.model.findings import Refused
from tests.differential.test_pcs import SCENARIOS, START
from tests.property.model_edits import Edit, edits, populated


def crm_verify(configuration: Configuration, folder: Path) -> str:
    """What crm_verify says of the configuration; empty if it accepts it."""
    cib = folder / "cib.xml"
    cib.write_bytes(write_cib(configuration, epoch=1))
    done = subprocess.run(
        ["crm_verify", "-V", "-x", str(cib)], capture_output=True, text=True, check=False, timeout=60
    )
    return "" if done.returncode == 0 else f"{done.stderr}\n{cib.read_text()}"


def test_crm_verify_accepts_the_configuration_with_which_a_cluster_begins(tmp_path: Path) -> None:
    assert crm_verify(START, tmp_path) == ""


def test_crm_verify_would_say_if_something_were_wrong(tmp_path: Path) -> None:
    broken = START.model_copy(update={"nodes": (START.nodes[0].model_copy(update={"type": "toaster"}),)})
    assert "error" in crm_verify(broken, tmp_path)


@pytest.mark.parametrize("name", SCENARIOS)
def test_crm_verify_accepts_every_state_of_a_runbook(name: str, tmp_path: Path) -> None:
    configuration = START
    for command, change in SCENARIOS[name]:
        configuration = change(configuration)
        assert crm_verify(configuration, tmp_path) == "", command


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(edits, min_size=5, max_size=30))
def test_crm_verify_accepts_whatever_our_edits_make(tmp_path: Path, steps: list[tuple[str, Edit]]) -> None:
    configuration = populated()
    taken = []
    for said, edit in steps:
        try:
            configuration = edit(configuration)
        except Refused:
            continue
        taken.append(said)
    assert crm_verify(configuration, tmp_path) == "", taken
