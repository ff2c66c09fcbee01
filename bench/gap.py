"""How long a dead host's clients wait: attempts 5 ms apart, first failure to first success."""

from __future__ import annotations

import time
from pathlib import Path

from bench.agreement import STEADY
from bench.report import Figure, Report, heading
from tests.lab import Lab, Stream, Traffic, wait_until
from tests.lab.clients import gap_of
from tests.lab.control import SharedAddress
from tests.lab.service import ADDRESS, await_status, serve_web, served, share_address, shared

GOALS_MS = {"default": 600.0, "fast": 200.0}
PEER_MS = {"default": 9730.0, "fast": 4050.0}
PEER_NAMES = {
    "default": "Pacemaker 2.1.5 with Corosync 3.1.7, default, measured earlier",
    "fast": "the same with token=300, measured earlier",
}
INTERVAL_MS = 5
CLIENTS = 4000
BOUND_S = 30.0
OUTLIER_MS = 2000.0
OUTLIERS = Path("build/bench-outliers.log")


def measure(report: Report, runs: int) -> None:
    for profile in ("default", "fast"):
        heading(f"Gap that clients of a dead host see, profile {profile}", ["SIGKILL to its process 1, link down"])
        with Lab(hosts=4, profile=profile, timers=STEADY) as lab:
            lab.start_daemons()
            lab.await_cluster()
            share_address(lab)
            serve_web(lab)
            for role in ("follower", "leader"):
                samples = tuple(one_gap_ms(lab, role) for _ in range(runs))
                report.add(
                    Figure(
                        f"gap, {role} dies, {profile}",
                        "ms",
                        samples,
                        PEER_MS[profile],
                        PEER_NAMES[profile],
                        GOALS_MS[profile],
                    )
                )


def one_gap_ms(lab: Lab, role: str) -> float:
    """Kill the leader, or a follower, under traffic to its slot; returns when it is back and serves again."""
    status = await_status(lab, lambda status: served(status) and status.leader is not None, "a leader")
    everyone = set(lab.names)
    await_status(lab, lambda status: set(_slots(shared(lab))) == everyone, "a slot on each host")
    victim = status.leader if role == "leader" else max(everyone - {status.leader or ""})
    assert victim is not None
    witness = min(everyone - {victim})
    address = shared(lab, on=witness)
    slot = _slots(address)[victim]
    with Traffic(lab.gw, ADDRESS) as traffic:
        traffic.start(Stream("gap", address.clients_by_slot(CLIENTS)[slot], INTERVAL_MS))
        wait_until(lambda: sum(a.ok for a in traffic.attempts) > 60, BOUND_S, "traffic")
        lab.kill(victim)
        killed_ns = time.time_ns()

        def again() -> bool:
            newest = [a for a in traffic.attempts if a.started_ns > killed_ns][-30:]
            return len(newest) == 30 and all(a.ok for a in newest)

        wait_until(again, BOUND_S, f"slot {slot} served by another host")
        gap = gap_of(traffic.halt())
    if gap is not None and gap.ms > OUTLIER_MS:
        keep_logs(lab, f"{role} {victim} killed at {killed_ns}, slot {slot}, gap {gap}")
    lab.boot(victim)
    lab.start_daemon(victim)
    await_status(lab, lambda status: status.online == everyone and served(status), f"{victim} back", on=witness)
    assert gap is not None
    return gap.ms


def keep_logs(lab: Lab, what: str) -> None:
    """A gap far beyond its goal is a fault to be found: keep what the daemons said."""
    OUTLIERS.parent.mkdir(parents=True, exist_ok=True)
    with OUTLIERS.open("a") as file:
        file.write(f"=== {what}\n{lab.tail(300)}\n")
    print(f"  outlier: {what}; logs in {OUTLIERS}", flush=True)


def _slots(address: SharedAddress) -> dict[str, int]:
    """Host → its (highest) slot."""
    return {holder: number for number, holder in address.holders.items() if holder is not None}
