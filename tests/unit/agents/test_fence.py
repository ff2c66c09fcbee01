"""Fence agents as the runner runs them: options on standard input, and what its end means."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agents import fence
from agents.protocol import Finished, Run
from agents.running import Runner

AGENT = """#!/bin/sh
cat > {folder}/told
echo "the device says no" >&2
exit $(cat {folder}/exit)
"""


class Device:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / "fence" / "fence_test"
        path.parent.mkdir()
        path.write_text(AGENT.format(folder=folder))
        path.chmod(0o755)
        self.ends_with(0)
        self.runner = Runner([folder])

    def ends_with(self, code: int) -> None:
        (self.folder / "exit").write_text(str(code))

    def run(self, operation: str, agent: str = "stonith:fence_test", **parameters: str) -> Finished:
        request = Run(1, "f", agent, operation, parameters, {}, 5000)
        return asyncio.run(self.runner._run(request))

    @property
    def told(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in (self.folder / "told").read_text().splitlines())


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


def test_an_agent_reads_its_options_and_the_action_and_nothing_that_is_the_clusters(device: Device) -> None:
    ended = device.run("off", plug="2", ip="10.0.0.1", pcmk_host_list="a2", pcmk_off_timeout="3s")
    assert (ended.exit_code, ended.status) == (0, "done")
    assert device.told == {"plug": "2", "ip": "10.0.0.1", "action": "off"}


@pytest.mark.parametrize("code", [1, 2, 7, 126])
def test_whatever_is_not_zero_was_not_done(device: Device, code: int) -> None:
    device.ends_with(code)
    ended = device.run("off")
    assert (ended.exit_code, ended.reason) == (1, "the device says no")


def test_another_word_for_an_action_is_said_where_the_device_wants_one(device: Device) -> None:
    device.run("reboot", pcmk_reboot_action="off")
    assert device.told == {"action": "off"}
    device.run("meta-data")
    assert device.told == {"action": "metadata"}


def test_as_a_resource_a_device_is_looked_at_once_it_was_started(device: Device) -> None:
    assert device.run("monitor").exit_code == 7
    assert device.run("start").exit_code == 0
    assert device.told == {"action": "monitor"}
    device.ends_with(1)
    assert device.run("monitor").exit_code == 1
    assert device.run("stop").exit_code == 0
    assert device.run("monitor").exit_code == 7


def test_an_agent_that_is_not_there_is_named_with_where_it_was_looked_for(device: Device) -> None:
    ended = device.run("off", agent="stonith:fence_nothing")
    assert ended.status == "not-installed"
    assert "/usr/sbin/fence_nothing" in ended.reason
    assert device.run("off", agent="stonith:../evil").status == "not-installed"


def test_a_value_of_two_lines_would_be_another_option_and_is_refused(device: Device) -> None:
    assert "must be one line" in device.run("off", ip="10.0.0.1\naction=on").reason
    with pytest.raises(ValueError, match="one line"):
        fence.told({"ip": "a\nb"}, "off")
