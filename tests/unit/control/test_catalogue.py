"""What the daemon learns of agents, from the runner as a program."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agents.client import RunnerClient
from daemon.catalogue import Catalogue
from daemon.control.backend import AgentNotAsked, NoSuchAgent
from daemon.control.client import RefusalError
from daemon.control.schema import AgentDocument
from datapath.host.privileged import sockets_beside
from tests.unit.control.living import living

PATIENCE_S = 20


class Bench:
    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        (self.root / "resource.d/test").mkdir(parents=True)
        self.config = folder / "vipcast.toml"
        self.config.write_text(f'[paths]\nrun = "{folder}"\nagents = ["{self.root}"]\n')
        self.runner = RunnerClient(sockets_beside(folder) / "runner.sock")
        self.catalogue = Catalogue(self.runner)

    def start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "agents.runner", "--config", str(self.config)])

    def script(self, name: str, body: str) -> None:
        path = self.root / "resource.d/test" / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    process = bench.start()
    try:
        await bench.runner.start()
        async with asyncio.timeout(PATIENCE_S):
            while not bench.runner.is_connected:  # noqa: ASYNC110 - what is waited for is outside this process
                await asyncio.sleep(0.01)
        yield bench
    finally:
        await bench.runner.close()
        process.terminate()
        process.wait(PATIENCE_S)


async def test_an_agent_of_ours_describes_itself(bench: Bench) -> None:
    answer = await bench.catalogue.describe("ocf:vipcast:webserver")
    assert isinstance(answer, AgentDocument)
    assert {parameter.name for parameter in answer.parameters} == {"address", "port"}
    assert {("start", "20s"), ("monitor", "20s")} <= {(action.name, action.timeout) for action in answer.actions}


async def test_an_agent_is_run_once_for_many_questions(bench: Bench) -> None:
    count = bench.root / "count"
    bench.script("counted", f"echo run >>{count}; echo '<resource-agent name=\"counted\"/>'")
    for _ in range(3):
        assert isinstance(await bench.catalogue.describe("ocf:test:counted"), AgentDocument)
    assert count.read_text() == "run\n"


async def test_an_agent_that_is_not_there_or_says_nothing_useful_is_none(bench: Bench) -> None:
    bench.script("silent", "exit 0")
    bench.script("broken", "echo 'no way' >&2; exit 1")
    bench.script("entities", 'echo \'<!DOCTYPE r [<!ENTITY a "b">]><resource-agent name="&a;"/>\'')
    for agent, said in {
        "ocf:test:missing": "is not installed: searched",
        "ocf:test:silent": "meta-data",
        "ocf:test:broken": "no way",
        "ocf:test:entities": "not allowed",
        "lsb:thing": "is not known",
        "": "is not known",
        "ocf:../..:x": "no agent's name",
    }.items():
        answer = await bench.catalogue.describe(agent)
        assert isinstance(answer, NoSuchAgent), agent
        assert said in answer.sentence


async def test_the_native_agent_needs_nobody(tmp_path: Path) -> None:
    catalogue = Catalogue(RunnerClient(tmp_path / "nobody.sock"))
    answer = await catalogue.describe("ocf:heartbeat:IPaddr2")
    assert isinstance(answer, AgentDocument)
    assert [one.name for one in answer.parameters if one.required] == ["ip"]
    assert isinstance(await catalogue.describe("ocf:heartbeat:apache"), AgentNotAsked)


def test_the_control_socket_answers_what_the_agent_said_or_why_not() -> None:
    with living() as cluster:
        cluster.backend.agents["ocf:test:busy"] = AgentNotAsked("the runner sleeps")
        assert cluster.client.agent("ocf:acme:rocket").summary == "Launches"
        for agent, status in {"ocf:no:where": 404, "ocf:test:busy": 503, "": 400}.items():
            with pytest.raises(RefusalError) as refusal:
                cluster.client.agent(agent)
            assert refusal.value.status == status
