"""ocf:vipcast:webserver by its own command line, as the runner calls it."""

from __future__ import annotations

import contextlib
import http.client
import os
import select
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents import metadata
from agents.ocf import BUNDLED_ROOT

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("own_network")]

AGENT = BUNDLED_ROOT / "resource.d/vipcast/webserver"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Agent:
    def __init__(self, scratch: Path, **parameters: str) -> None:
        self.environment = {
            "PATH": "/usr/bin:/bin",
            "HA_RSCTMP": str(scratch),
            "OCF_RESOURCE_INSTANCE": "web:1",
            "OCF_RESKEY_address": "127.0.0.1",
            **{f"OCF_RESKEY_{name}": value for name, value in parameters.items()},
        }

    def __call__(self, operation: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            # with the soft limit of descriptors that systemd gives a service
            ["prlimit", "--nofile=1024:20000", AGENT, operation],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


@pytest.fixture
def agent(own_network: None, tmp_path: Path) -> Iterator[Agent]:
    one = Agent(tmp_path, port=str(free_port()))
    try:
        yield one
    finally:
        one("stop")


def connection(agent: Agent) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", int(agent.environment["OCF_RESKEY_port"]), timeout=5)


def test_it_listens_when_start_returns_and_answers_with_the_hosts_name(agent: Agent) -> None:
    assert agent("monitor").returncode == 7
    assert agent("start").returncode == 0
    with contextlib.closing(connection(agent)) as client:
        for _ in range(3):  # kept alive
            client.request("GET", "/")
            answer = client.getresponse()
            assert answer.read().decode().strip() == socket.gethostname()
            assert answer.getheader("X-Served-By") == socket.gethostname()
            assert not answer.will_close
    assert agent("monitor").returncode == 0
    assert agent("start").returncode == 0
    assert agent("stop").returncode == 0
    assert agent("monitor").returncode == 7
    assert agent("stop").returncode == 0


def test_it_serves_many_clients_side_by_side(agent: Agent) -> None:
    assert agent("start").returncode == 0
    idle = [connection(agent) for _ in range(1200)]
    answers: list[int] = []

    def ask() -> None:
        with contextlib.closing(connection(agent)) as client:
            client.request("GET", "/")
            answers.append(client.getresponse().status)

    try:
        for client in idle:
            client.connect()
        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    finally:
        for client in idle:
            client.close()
    assert answers == [200] * 20


def test_a_taken_port_is_named_and_leaves_nothing_behind(agent: Agent) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(agent.environment["OCF_RESKEY_port"])))
        other.listen()
        started = agent("start")
        assert started.returncode == 1
        assert "ocf-exit-reason:cannot listen on 127.0.0.1 port" in started.stderr
        assert agent("monitor").returncode == 7


def test_a_killed_server_counts_as_not_running(agent: Agent, tmp_path: Path) -> None:
    agent("start")
    (pid_file,) = tmp_path.glob("*.pid")
    pid = int(pid_file.read_text())
    descriptor = os.pidfd_open(pid)
    os.kill(pid, 9)
    assert select.select([descriptor], [], [], 10)[0]
    os.close(descriptor)
    assert agent("monitor").returncode == 7
    assert agent("start").returncode == 0


@pytest.mark.parametrize(
    ("name", "value"), [("port", "0"), ("port", "http"), ("port", "70000"), ("address", "nowhere"), ("port", "²")]
)
def test_wrong_parameters_are_named(tmp_path: Path, name: str, value: str) -> None:
    agent = Agent(tmp_path, **{"port": "8080", name: value})
    for operation in ("start", "monitor", "validate-all"):
        outcome = agent(operation)
        assert outcome.returncode == 6
        assert outcome.stderr.startswith(f"ocf-exit-reason:{name}={value}: ")


def test_an_unknown_operation_is_unimplemented(agent: Agent) -> None:
    assert agent("promote").returncode == 3


def test_its_metadata_can_be_read(agent: Agent) -> None:
    described = metadata.parse(agent("meta-data").stdout)
    assert [parameter.name for parameter in described.parameters] == ["port", "address"]
    assert described.parameters[0].default == "80"
    assert {action.name for action in described.actions} >= {"start", "stop", "monitor"}
