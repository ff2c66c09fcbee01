"""How long an administrator waits for an edit: from the request at the control socket to its answer."""

from __future__ import annotations

import json
import time

import msgspec

from bench.report import Figure, Report, heading
from daemon.control.client import ControlClient
from daemon.control.schema import EditRequest
from tests.lab import Lab
from tests.lab.control import SOCKET, Status
from tests.lab.service import share_address

EDITS = 300


def measure(report: Report, runs: int) -> None:
    heading(
        "Commit latency of an edit, 4 nodes, a shared address configured", ["HTTP, validation, log, four fsyncs"]
    )
    with Lab(hosts=4) as lab:
        lab.start_daemons()
        lab.await_cluster()
        share_address(lab)
        status = Status.of(lab["a1"])
        assert status is not None
        assert status.leader is not None
        follower = min(set(lab.names) - {status.leader})
        for role, name in (("leader", status.leader), ("follower", follower)):
            samples = tuple(one_ms(lab, name, number) for number in range(max(runs, EDITS)))
            report.add(Figure(f"edit, asked at the {role}", "ms", samples))


def one_ms(lab: Lab, name: str, number: int) -> float:
    client = ControlClient(str(lab[name].path(SOCKET)))
    before = client.configuration()
    document = json.loads(bytes(before.configuration))
    document["nodes"] = [
        {"id": "1", "name": "a1", "attributes": [{"id": "nodes-1", "values": {"bench": str(number % 2)}}]}
    ]
    request = EditRequest(msgspec.Raw(json.dumps(document).encode()), before.epoch, "root", "bench")
    start = time.perf_counter()
    client.replace_configuration(request)
    return (time.perf_counter() - start) * 1000
