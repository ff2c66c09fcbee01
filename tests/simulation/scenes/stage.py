"""What a scene plays on: a few hosts, no faults but those that are written down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from daemon.cluster.core import Core, Role
from daemon.cluster.messages import PreVote, Vote
from daemon.state.commands import Edit
from tests.simulation.application import Draft
from tests.simulation.cast import Cast
from tests.simulation.host import Host, Process
from tests.simulation.network import NS_PER_MS
from tests.simulation.workloads.daemon import shared_address
from tests.simulation.world import World


class Stage:
    """`nodes` hosts with the profile `fast`, none of them started yet, and `spares` that may join them."""

    def __init__(self, cast: Cast, nodes: int, spares: int = 0, witnesses: int = 0, fences: bool = False) -> None:
        self.world = World(
            1, nodes=nodes, profile="fast", cast=cast, spares=spares, witnesses=witnesses, fences=fences
        )
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

    def until_heartbeat(self, name: str) -> None:
        """Until it has just sent the next one, which nobody can have answered."""
        membership = self.core(name).replica.membership
        sequence = membership.sequence
        self.until(lambda: membership.sequence > sequence)

    def part(self, side: Iterable[str]) -> None:
        """Nothing passes between `side` and the others."""
        names, side = self.world.names, set(side)
        self.network.cut = {(a, b) for a in names for b in names if (a in side) != (b in side)}

    def lose_disk(self, name: str) -> None:
        """It is down, and will start with an empty disk."""
        self.host(name).die()
        self.host(name).disk.lose()

    def is_on_roster(self, name: str, by: str) -> bool:
        """According to the newest roster in the log of `by`."""
        return any(member.name == name for member in self.core(by).roster.members)

    def let_settle(self) -> None:
        """Until a1 leads, and whoever runs has applied all that is committed."""
        committed = self.world.invariants.consensus.committed
        running = [host.process for host in self.world.hosts.values() if host.process is not None]
        self.until(lambda: self.leads("a1") and all(process.applied == len(committed) for process in running))

    def cut_power(self, name: str) -> None:
        """It is down, and nothing that was not synced is on its disk."""
        self.host(name).disk.cut_power()
        self.host(name).reboot()

    def let_stand(self, *names: str) -> None:
        """Nobody else asks for votes."""
        self.network.drops = lambda sender, _, message: isinstance(message, PreVote | Vote) and sender not in names

    def begin(self, what: str) -> None:
        """For whoever reads the trace."""
        self.world.trace.say("SCENE", what)

    def administer(self, name: str, banned: Sequence[str]) -> None:
        """The shared address of `workloads.daemon`, not on the `banned` nodes."""
        configuration = shared_address(4, list(banned), "1")
        edit = Edit(None, configuration.model_dump_json().encode(), "administrator", "")
        self.host(name).edit(msgspec.msgpack.encode(edit))

    def remove(self, name: str, at: str) -> None:
        """Somebody says on the host `at` that `name` is to leave the cluster for good."""
        self.host(at).edit_as(lambda process: Draft(process.application.removal(name, 1), None), 0)

    def edit(self, name: str) -> None:
        self.host(name).edit(b"an edit")

    @property
    def edit_is_acknowledged(self) -> bool:
        return b"an edit" in self.world.invariants.consensus.acknowledged

    def tail_has_loss(self, name: str, of: str) -> bool:
        standing = self.core(name).replica.admissions.tail.get(of)
        return standing is not None and not standing.admitted


class Scene(Stage):
    """A calm cluster, all admitted, led by the first."""

    def __init__(
        self,
        cast: Cast,
        nodes: int,
        ppm: dict[str, int] | None = None,
        spares: int = 0,
        witnesses: int = 0,
        fences: bool = False,
    ) -> None:
        super().__init__(cast, nodes, spares, witnesses, fences)
        for name, host in self.world.hosts.items():
            host.clock.ppm = (ppm or {}).get(name, 0)
            self.world.at(host.rng.randint(0, NS_PER_MS), host.start)
        self.let_lead("a1")
