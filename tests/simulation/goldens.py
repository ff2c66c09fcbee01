"""Golden traces: what a cluster does in the scenes that matter most, as a person reads it.

`python -m tests.simulation.goldens` (`make golden`) writes them anew; a test compares.  A change of one is a change
of behaviour: look at the difference before you commit it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from tests.simulation.cast import SHIPPED, Cast
from tests.simulation.scenes.stage import Scene
from tests.simulation.workloads.daemon import DaemonWorkload

FOLDER = Path(__file__).parent / "golden"
BODY_SHOWN = re.compile(r"body=b(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")")
SIZE_SHOWN = re.compile(r"size_bytes=\d+")
QUIET = re.compile(r"lease ends in")
"""renewals are every heartbeat's"""


def a_follower_is_lost(cast: Cast) -> Scene:
    scene = Scene(cast, nodes=4)
    scene.begin("kill -9 of a3, which does not come back")
    scene.host("a3").die()
    scene.go_on(300)
    return scene


def the_leader_is_lost(cast: Cast) -> Scene:
    scene = Scene(cast, nodes=4)
    scene.go_on(300)
    scene.begin("kill -9 of a1, the leader, which does not come back")
    scene.host("a1").die()
    scene.go_on(300)
    return scene


def leadership_is_handed_over(cast: Cast) -> Scene:
    scene = Scene(cast, nodes=4)
    scene.begin("a1 hands leadership over to a3")
    scene.hand_over(scene.host("a1"), "a3")
    scene.go_on(200)
    return scene


def a_daemon_restarts(cast: Cast) -> Scene:
    scene = Scene(cast, nodes=4)
    scene.begin("the daemon of a2 ends under a restart lease of 600 ms, and starts again")
    scene.host("a2").restart(600, 50)
    scene.go_on(400)
    return scene


def a_partition_heals(cast: Cast) -> Scene:
    scene = Scene(cast, nodes=5)
    scene.begin("a1, the leader, and a2 are cut off from a3, a4 and a5")
    scene.part({"a1", "a2"})
    scene.go_on(400)
    scene.begin("the partition heals")
    scene.network.cut = set()
    scene.go_on(300)
    return scene


def a_node_that_was_away_gets_a_snapshot(cast: Cast) -> Scene:
    scene = Scene(cast, nodes=4)
    scene.begin("a4 is away while forty edits are made")
    scene.host("a4").die()
    for number in range(40):
        scene.host("a1").edit(f"edit {number}".encode())
        scene.go_on(5)
    scene.begin("a4 starts again")
    scene.host("a4").start()
    scene.go_on(300)
    return scene


def a_disk_is_lost(cast: Cast) -> Scene:
    """A node joins under its name with an empty disk."""
    scene = Scene(cast, nodes=4)
    scene.begin("a3 comes back with an empty disk")
    scene.lose_disk("a3")
    scene.host("a3").start()
    scene.go_on(800)
    return scene


def a_node_joins(cast: Cast) -> Scene:
    """As a learner first; with State, scheduler and Executor: what it is given, it is given at the end."""
    scene = Scene(Cast(workload=DaemonWorkload()), nodes=3, spares=1)
    scene.begin("an address with four slots is configured")
    scene.administer("a1", banned=())
    scene.go_on(200)
    scene.begin("b1 joins")
    scene.host("b1").is_away = False
    scene.host("b1").start()
    scene.go_on(600)
    return scene


def a_node_is_removed(cast: Cast) -> Scene:
    """It gives everything away, is granted nothing more, and goes once its lease is over."""
    scene = Scene(Cast(workload=DaemonWorkload()), nodes=4)
    scene.begin("an address with four slots is configured")
    scene.administer("a1", banned=())
    scene.go_on(200)
    scene.begin("a3 is told to leave the cluster for good")
    scene.remove("a3", at="a1")
    scene.go_on(1000)
    return scene


def slots_move(cast: Cast) -> Scene:
    """With State, scheduler and Executor: the slots of a2 move away as planned."""
    scene = Scene(Cast(workload=DaemonWorkload()), nodes=3)
    scene.begin("an address with four slots is configured")
    scene.administer("a1", banned=())
    scene.go_on(200)
    scene.begin("the address is banned from a2")
    scene.administer("a1", banned=("a2",))
    scene.go_on(500)
    return scene


GOLDENS: dict[str, Callable[[Cast], Scene]] = {
    "follower-lost": a_follower_is_lost,
    "leader-lost": the_leader_is_lost,
    "leadership-handed-over": leadership_is_handed_over,
    "daemon-restarts": a_daemon_restarts,
    "partition-heals": a_partition_heals,
    "snapshot": a_node_that_was_away_gets_a_snapshot,
    "disk-lost": a_disk_is_lost,
    "node-joins": a_node_joins,
    "node-removed": a_node_is_removed,
    "slots-move": slots_move,
}


def trace_of(name: str) -> str:
    """Without renewals of leases, and without the bodies of edits."""
    lines = GOLDENS[name](SHIPPED).world.trace.text().splitlines()
    shown = [
        SIZE_SHOWN.sub("size_bytes=…", BODY_SHOWN.sub("body=…", line)) for line in lines if not QUIET.search(line)
    ]
    return "\n".join(shown) + "\n"


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    for stale in {path.stem for path in FOLDER.glob("*.txt")} - GOLDENS.keys():
        (FOLDER / f"{stale}.txt").unlink()
    for name in GOLDENS:
        path, text = FOLDER / f"{name}.txt", trace_of(name)
        changed = not path.exists() or path.read_text() != text
        path.write_text(text)
        print(f"{path.name}: {'written anew' if changed else 'as it was'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
