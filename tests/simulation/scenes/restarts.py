"""Restarts of the daemon, under a restart lease (LEASES.md, Policies)."""

from __future__ import annotations

from daemon.cluster.messages import Append, Grant, Heartbeat, Message
from daemon.cluster.records import Admit, Restart
from tests.simulation.cast import Cast
from tests.simulation.clock import MILLION
from tests.simulation.scenes.stage import Scene

RESTART_MS = 600
"""longer than a loss takes to be declared"""


def restart(scene: Scene, name: str, away_ms: float = 10_000) -> None:
    """Its daemon ends under a restart lease, and is away for so long."""
    scene.host(name).restart(RESTART_MS, away_ms)
    scene.until(lambda: scene.host(name).process is None)


def the_leader_dies_while_a_daemon_restarts(cast: Cast) -> None:
    """Whoever is elected meanwhile has the restart of a3 in its log and in no memory of its own."""
    scene = Scene(cast, nodes=5)
    restart(scene, "a3")
    scene.host("a1").die()
    scene.until(lambda: any(scene.leads(name) for name in ("a2", "a4", "a5")))
    scene.go_on(RESTART_MS * 2)


def the_commit_is_heard_late(cast: Cast) -> None:
    """a3 asks at once and hears of the commit 200 ms later: its duration runs all the while."""
    scene = Scene(cast, nodes=5)

    def drops(sender: str, receiver: str, message: Message) -> bool:
        return receiver == "a3" and isinstance(message, Append)

    scene.host("a3").restart(RESTART_MS, 10_000)
    scene.network.drops = drops
    scene.until(
        lambda: any(isinstance(entry.command, Restart) for entry in scene.world.invariants.consensus.committed)
    )
    scene.go_on(200)
    scene.network.drops = lambda sender, receiver, message: False
    scene.until(lambda: scene.host("a3").process is None)
    scene.go_on(RESTART_MS * 2)


def a_host_with_a_slow_clock_restarts(cast: Cast) -> None:
    """600 ms of a3 last longer than 600 ms of the leader."""
    rho = int(MILLION * 0.2 / 2.2)
    scene = Scene(cast, nodes=5, ppm={"a1": rho, "a3": -rho})
    restart(scene, "a3")
    scene.go_on(RESTART_MS * 2)


def the_next_process_dies_before_it_has_touched_the_kernel(cast: Cast) -> None:
    """Admitted and dead: under the long deadline its kernel goes on."""
    scene = Scene(cast, nodes=5)
    restart(scene, "a3", away_ms=5)

    def is_admitted_again() -> bool:
        host = scene.host("a3")
        if host.process is None:
            return False
        admit = [e.command for e in scene.world.invariants.consensus.committed if isinstance(e.command, Admit)][-1]
        return (admit.node, admit.incarnation) == ("a3", host.process.incarnation)

    scene.until(is_admitted_again)
    assert not scene.host("a3").process.holds  # type: ignore[union-attr]
    scene.host("a3").die()
    scene.go_on(RESTART_MS * 2)


def the_next_process_dies_before_its_first_grant(cast: Cast) -> None:
    """It has said that its kernel holds the admission; no grant reaches it, and it dies."""
    scene = Scene(cast, nodes=5)
    restart(scene, "a3", away_ms=5)
    scene.network.drops = lambda sender, receiver, message: receiver == "a3" and isinstance(message, Grant)

    def has_said_so() -> bool:
        leader, peer = scene.core("a1"), scene.core("a1").replica.membership.peers["a3"]
        standing = leader.replica.admissions.tail["a3"]
        told = (peer.incarnation, peer.epoch) == (standing.incarnation, standing.epoch)
        return scene.host("a3").process is not None and not standing.restarts and told

    scene.until(has_said_so)
    scene.host("a3").die()
    scene.go_on(RESTART_MS * 2)


def the_next_process_takes_its_time_with_the_kernel(cast: Cast) -> None:
    """Between admission and its word lies more than a loss takes, and it is not granted: it hears no heartbeat."""
    scene = Scene(cast, nodes=5)
    restart(scene, "a3", away_ms=5)
    scene.until(lambda: scene.host("a3").process is not None)
    process = scene.host("a3").process
    assert process is not None
    scene.until(lambda: not scene.core("a1").replica.admissions.tail["a3"].restarts)
    process.paused = True
    scene.network.drops = lambda sender, receiver, message: receiver == "a3" and isinstance(message, Heartbeat)
    scene.go_on(RESTART_MS - 200)
    scene.host("a3").resume(process)
    scene.go_on(RESTART_MS * 2)


def the_leader_itself_restarts(cast: Cast) -> None:
    """Nobody was handed its leadership; whoever comes next must not take it for dead."""
    scene = Scene(cast, nodes=5)
    scene.go_on(400)
    restart(scene, "a1")
    scene.until(lambda: scene.leads("a2"))
    scene.go_on(RESTART_MS * 2)
