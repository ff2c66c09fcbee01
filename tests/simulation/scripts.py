"""Scenes for mistakes that chance hardly ever punishes: a few hosts, no faults but those that are written down."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from daemon.cluster.core import Core, Role
from daemon.cluster.messages import Append, Message, PreVote
from daemon.cluster.records import Lost
from tests.simulation.clock import MILLION
from tests.simulation.host import Host, Process
from tests.simulation.network import NS_PER_MS
from tests.simulation.world import World


class Stage:
    """`nodes` hosts with the profile `fast`, none of them started yet."""

    def __init__(self, core: type[Core], nodes: int) -> None:
        self.world = World(1, nodes=nodes, profile="fast", core=core)
        self.network = self.world.network

    def host(self, name: str) -> Host:
        return self.world.hosts[name]

    def core(self, name: str) -> Core:
        process = self.host(name).process
        assert process is not None
        return process.core

    def leads(self, name: str) -> bool:
        return self.host(name).process is not None and self.core(name).status(0).role is Role.LEADER

    def let_lead(self, name: str) -> None:
        """Wait until the cluster is whole, and have leadership handed over where another one has it."""
        self.until(lambda: self.world.ailing() is None and self.has_all_entries(name))
        for host in self.world.hosts.values():
            if host.leads(self.world.now_ns) and host.name != name:
                self.hand_over(host, name)
        self.until(lambda: self.leads(name) and self.world.ailing() is None)

    def has_all_entries(self, name: str) -> bool:
        """Whether whoever leads knows that the disk of `name` holds the whole log."""
        for host in self.world.hosts.values():
            if host.leads(self.world.now_ns) and host.name != name and (leader := self.core(host.name).leader):
                return leader.replication.progress[name].match == leader.replica.log.last_index
        return True

    def hand_over(self, host: Host, to: str) -> None:
        def step(process: Process) -> None:
            assert process.core.transfer(to, host.local_ns), "the successor lacks entries"

        host.happen(host.process, step)

    def go_on(self, ms: float) -> None:
        self.world.run_until(self.world.now_ns + int(ms * NS_PER_MS))

    def until(self, condition: Callable[[], bool], within_ms: int = 2000) -> None:
        reached = self.world.run_until(self.world.now_ns + within_ms * NS_PER_MS, condition)
        assert reached, f"the scene does not come about\n{self.world.trace.text(40)}"

    def part(self, side: Iterable[str]) -> None:
        """Nothing passes between `side` and the others."""
        names, side = self.world.names, set(side)
        self.network.cut = {(a, b) for a in names for b in names if (a in side) != (b in side)}

    def lose_disk(self, name: str) -> None:
        """It is down, and will start with an empty disk."""
        self.host(name).die()
        self.host(name).disk.lose()

    def edit(self, name: str) -> None:
        self.host(name).edit(b"an edit")

    @property
    def edit_is_acknowledged(self) -> bool:
        return b"an edit" in self.world.invariants.acknowledged

    def tail_has_loss(self, name: str, of: str) -> bool:
        standing = self.core(name).replica.admissions.tail.get(of)
        return standing is not None and not standing.admitted


class Scene(Stage):
    """A calm cluster, all admitted, led by the first."""

    def __init__(self, core: type[Core], nodes: int, ppm: dict[str, int] | None = None) -> None:
        super().__init__(core, nodes)
        for name, host in self.world.hosts.items():
            host.clock.ppm = (ppm or {}).get(name, 0)
            self.world.at(host.rng.randint(0, NS_PER_MS), host.start)
        self.let_lead("a1")


def a_loss_that_a_minority_has(core: type[Core]) -> None:
    """Rule 11: a3 leads for a moment without a commit; a2, whose log has `Lost(a4)` from before, comes after it.

    Had a3 granted a4 anything, the loss would be committed under a lease that runs.
    """
    scene = Scene(core, nodes=5)

    def drops(sender: str, receiver: str, message: Message) -> bool:
        if isinstance(message, PreVote):
            return sender in {"a4", "a5"}  # they shall not stand
        if not isinstance(message, Append):
            return False
        loss = sender == "a1" and receiver != "a2" and any(isinstance(e.command, Lost) for e in message.entries)
        uncommitted = sender == "a3" and bool(message.entries)
        return loss or uncommitted

    scene.network.drops = drops
    scene.network.cut = {("a4", "a1")}
    scene.until(lambda: scene.tail_has_loss("a2", of="a4"))
    scene.host("a1").die()
    scene.part({"a2"})
    scene.until(lambda: scene.leads("a3"))
    scene.go_on(60)
    scene.host("a3").die()
    scene.network.cut = set()
    scene.until(lambda: scene.leads("a2"))
    scene.go_on(100)


def a_node_that_only_the_former_leader_hears(core: type[Core]) -> None:
    """Rule 17: a2 never hears a4; that says nothing about what a1 has granted it a moment ago."""
    scene = Scene(core, nodes=5)
    scene.network.cut = {("a4", "a2")}
    scene.go_on(400)
    scene.host("a1").die()
    scene.until(lambda: scene.leads("a2"))
    scene.go_on(300)


def a_leader_cut_off_with_one_follower(core: type[Core]) -> None:
    """Rule 11: a1 goes on hearing a4, and nobody else; the others elect a2, which counts from its election."""
    scene = Scene(core, nodes=5)
    scene.part({"a1", "a4"})
    scene.go_on(600)


def a_leader_with_a_slow_clock(core: type[Core]) -> None:
    """Rule 2: the leader's 50 ms last longer than its followers'."""
    rho = int(MILLION * 0.2 / 2.2)
    scene = Scene(core, nodes=4, ppm={"a1": -rho, "a2": rho, "a3": rho, "a4": rho})
    for _ in range(10):
        scene.part({"a1"})
        scene.go_on(300)
        scene.network.cut = set()
        scene.let_lead("a1")


def followers_that_start_again(core: type[Core]) -> None:
    """Rule 5: all three have promised a1 something a moment before they died."""
    scene = Scene(core, nodes=4)
    scene.part({"a1"})
    for name in ("a2", "a3", "a4"):
        scene.host(name).die()
        scene.host(name).start()
    scene.go_on(300)


def a_leader_that_was_granted_a_moment_ago(core: type[Core]) -> None:
    """Rule 18: a2 has led for too short a time to have lost the lease that it had of a1."""
    scene = Scene(core, nodes=4)
    scene.hand_over(scene.host("a1"), "a2")
    scene.until(lambda: scene.leads("a2"))
    scene.part({"a2"})
    scene.go_on(300)


def a_daemon_that_starts_again(core: type[Core]) -> None:
    """Rule 20: its kernel goes on accepting under the lease of the process before."""
    scene = Scene(core, nodes=4)
    scene.host("a3").die()
    scene.host("a3").start()
    scene.go_on(300)


def a_voter_whose_disk_was_lost(core: type[Core]) -> None:
    """Rule 21: an edit is on the disks of a1 and a2; a2's is lost, and a3, which asks a2 for its vote, lags."""
    scene = Scene(core, nodes=3)
    scene.part({"a3"})
    scene.edit("a1")
    scene.until(lambda: scene.edit_is_acknowledged)
    scene.lose_disk("a2")
    scene.host("a1").die()
    scene.network.cut = set()
    scene.host("a2").start()
    scene.go_on(600)
    scene.host("a1").start()
    scene.until(lambda: scene.world.ailing() is None)


def two_voters_whose_disks_were_lost(core: type[Core]) -> None:
    """Rule 21: the same with two empty disks, a majority together with those that lag."""
    scene = Scene(core, nodes=5)
    scene.part({"a4", "a5"})
    scene.edit("a1")
    scene.until(lambda: scene.edit_is_acknowledged)
    for name in ("a2", "a3"):
        scene.lose_disk(name)
    scene.host("a1").die()
    scene.network.cut = set()
    for name in ("a2", "a3"):
        scene.host(name).start()
    scene.go_on(600)
    scene.host("a1").start()
    scene.until(lambda: scene.world.ailing() is None)


def a_new_node_and_one_whose_disk_was_lost(core: type[Core]) -> None:
    """Rule 21: a3 has never been up when a1 and a2 begin; then a2's disk is lost, and a1 is down for a while."""
    stage = Stage(core, nodes=3)
    for name in ("a1", "a2"):
        stage.host(name).start()
    stage.edit("a1")
    stage.go_on(600)
    stage.lose_disk("a2")
    stage.host("a1").die()
    for name in ("a2", "a3"):
        stage.host(name).start()
    stage.go_on(600)
    stage.host("a1").start()
    stage.until(lambda: stage.world.ailing() is None)


SCRIPTS: dict[str, Callable[[type[Core]], None]] = {
    "own-commit-first": a_loss_that_a_minority_has,
    "new-leader-wait": a_node_that_only_the_former_leader_hears,
    "grant-in-lease": a_leader_cut_off_with_one_follower,
    "boot-wait": followers_that_start_again,
    "guarded-skip": a_leader_that_was_granted_a_moment_ago,
    "reboot-wait": a_daemon_that_starts_again,
    "promise-drift": a_leader_with_a_slow_clock,
    "store-id": a_voter_whose_disk_was_lost,
    "two-stores": two_voters_whose_disks_were_lost,
    "founders": a_new_node_and_one_whose_disk_was_lost,
}
