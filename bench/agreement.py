"""From SIGKILL to a daemon until all others have applied that it is lost: detection, election and commit."""

from __future__ import annotations

import re
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

from bench.load import busy, every_core
from bench.report import Figure, Report, heading
from tests.lab import Lab, wait_until
from tests.lab.control import Status

RUNS = 30
STEADY = {"hold_down_ms": 0}
"""the same node is killed again and again: it shall not be held down for that"""
BOUND_S = 20.0


def measure(report: Report, runs: int) -> None:
    """At least 30 kills of each kind: the 99th percentile of fewer is their maximum."""
    runs = max(runs, RUNS)
    for profile in ("default", "fast"):
        for load, processes in (("idle", 0), ("both cores busy", every_core())):
            heading(f"Agreement that a daemon is lost, profile {profile}, {load}")
            with Lab(hosts=4, profile=profile, timers=STEADY) as lab:
                lab.start_daemons()
                lab.await_cluster()
                with busy(processes):
                    for role in ("follower", "leader"):
                        samples = tuple(one_ms(lab, role) for _ in range(runs))
                        report.add(Figure(f"agreed that the {role} is lost, {profile}, {load}", "ms", samples))


def one_ms(lab: Lab, role: str) -> float:
    """Kill, wait for the sentence in the log of every other host, start it again, and wait for all."""
    leader = wait_until(lambda: _leader(lab), BOUND_S, "a leader")
    assert leader is not None
    victim = leader if role == "leader" else max(set(lab.names) - {leader})
    others = [lab[name].log("vipcastd") for name in lab.names if name != victim]
    marks = {path: path.stat().st_size for path in others}
    killed_s = time.time()
    lab.daemons[victim]["vipcastd"].send(signal.SIGKILL)
    times = [_await_loss(path, marks[path], victim) for path in others]
    lab.stop_daemon(victim)
    lab.start_daemon(victim)
    lab.await_cluster()
    time.sleep(0.5)  # promises and leadership leases as in a cluster that has been at rest
    return (max(times) - killed_s) * 1000


def _leader(lab: Lab) -> str | None:
    statuses = [Status.of(host) for host in lab]
    leaders = {status.leader for status in statuses if status is not None}
    return leaders.pop() if len(leaders) == 1 else None


def _await_loss(path: Path, offset: int, victim: str) -> float:
    found = wait_until(lambda: _lost_at(path, offset, victim), BOUND_S, f"{victim} lost", interval_s=0.01)
    assert found is not None
    return found


def _lost_at(path: Path, offset: int, victim: str) -> float | None:
    """When the log said so, seconds of the wall clock, to the millisecond."""
    with path.open("rb") as file:
        file.seek(offset)
        text = file.read().decode(errors="replace")
    found = re.search(rf"^(\S+ \S+),(\d+) INFO .*: \d+: {victim} is lost", text, re.MULTILINE)
    if found is None:
        return None
    return datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp() + int(found[2]) / 1000
