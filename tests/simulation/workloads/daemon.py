"""The daemon above the core as it ships: State, scheduler, Executor.  Agents and kernel alone are simulated."""

from __future__ import annotations

import random
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from daemon.cluster.core import Core
from daemon.cluster.records import LogEntry, Request
from daemon.definition import merged
from daemon.executor import Executor, Finish, RunOperation
from daemon.executor.quorumless import Quorumless
from daemon.executor.slots import Wanted
from daemon.model.configuration import AttributeSet, Clone, Configuration, Location, Primitive
from daemon.scheduler.drained import Drained
from daemon.state import tiebreaker
from daemon.state.commands import Drain, Edit, RemoveNode, StateCommand
from daemon.state.state import State
from datapath.engine import SlotState
from tests.simulation.application import Application, Draft, KernelWork, Work
from tests.simulation.invariants import drains
from tests.simulation.invariants.edits import Answer
from tests.simulation.kernel import Slot

NOT_RUNNING = 7
DRAIN_TIMEOUT_MS = 150
SLOTS = 4


class Daemon:
    def __init__(
        self,
        name: str,
        founders: list[str],
        incarnation: int,
        rng: random.Random,
        properties: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`properties` of the cluster come with every edit, besides those that are set."""
        self.name = name
        self._properties = properties
        self.incarnation = incarnation
        self.state = State(founders)
        self.executor = Executor(name, incarnation, DRAIN_TIMEOUT_MS)
        self._rng = rng
        self._proposed: dict[int, StateCommand] = {}
        self._quorumless: Quorumless | None = None
        self._hastened: Wanted | None = None
        """what the kernel is to hold before anything is planned"""
        self._local_ns = 0

    def without_quorum(self, core: Core, local_ns: int) -> int | None:
        if self._quorumless is None:
            self._quorumless = Quorumless(self.executor, core.replica.timers, local_ns, heard_all=False)
        turn = self._quorumless.look(self.state, core.presence(local_ns), local_ns)
        if turn.unenforced:
            core.unenforced(local_ns)
        return turn.deadline_ns

    @property
    def is_overlaid(self) -> bool:
        return self._quorumless is not None and self._quorumless.overlay is not None

    @property
    def in_force(self) -> State:
        return self.state if self._quorumless is None else self._quorumless.state_in_force(self.state)

    def apply(self, entry: LogEntry) -> Answer | None:
        drained = set(self.state.drains)
        entered = self.state.enter(entry)
        if entered.outcome.splits and not self.is_overlaid:
            kernel = self.executor.hasten(self.state, self._local_ns).kernel
            self._hastened = self._hastened if kernel is None else kernel
        outcome = self.state.conclude(entered)
        drains.check(drained, self.state.drains, outcome.slots_changed)
        command = entry.command
        if isinstance(command, Request) and (command.origin, command.incarnation) == (self.name, self.incarnation):
            proposed = self._proposed.pop(command.ticket, None)
            if proposed is not None:
                self.executor.proposal_ended(proposed)
        if outcome.accepted:
            return Answer.ACCEPTED if isinstance(command, Request) and _is_edit(command) else None
        return Answer.CONFLICT if outcome.conflict else None

    def draft(self, number: int, members: list[str], rng: random.Random) -> Draft:
        """Bans for some nodes; mostly upon what is there, sometimes upon whatever will be there."""
        banned = [name for name in members if rng.random() < 0.25]
        banned = banned[:-1] if len(banned) == len(members) else banned
        configuration = shared_address(SLOTS, banned, str(number), self._properties_now())
        epoch, base = rng.choice(((None, None), *[(self.state.configuration_epoch, self.register())] * 3))
        edit = Edit(epoch, configuration.model_dump_json().encode(), "administrator", f"edit {number}")
        return Draft(msgspec.msgpack.encode(edit), base)

    def drain(self, members: list[str], rng: random.Random) -> bytes | None:
        """As often taken back as begun; mostly of a node, now and then of the address everywhere."""
        drained = sorted(self.state.drains, key=lambda drain: drain.key)
        if drained and rng.random() < 0.5:
            which, on = rng.choice(drained), False
        else:
            node, slot = rng.choice(members), rng.randrange(SLOTS)
            kinds = [Drained(node), Drained(node, "VIP"), Drained(None, "VIP", slot), Drained(None, "VIP")]
            which, on = rng.choices(kinds, (6, 3, 3, 1))[0], True
        return msgspec.msgpack.encode(Drain(which.node, which.address, which.slot, on, "administrator"))

    def _properties_now(self) -> dict[str, str]:
        return {**self._properties, **merged(self.state.configuration.properties)}

    def removal(self, name: str, number: int) -> bytes:
        return msgspec.msgpack.encode(RemoveNode(name, "administrator"))

    def wish(self, tie_breaker: str, number: int) -> Draft:
        """It changes nothing else, where this node has applied all that was edited."""
        properties = {**self._properties_now(), "tie-breaker": tie_breaker}
        banned = [
            one.node for one in self.state.configuration.constraints if isinstance(one, Location) and one.node
        ]
        configuration = shared_address(SLOTS, banned, str(number), properties)
        edit = Edit(
            self.state.configuration_epoch, configuration.model_dump_json().encode(), "administrator", "ties"
        )
        return Draft(msgspec.msgpack.encode(edit), self.register())

    def leaving(self) -> frozenset[str]:
        return self.state.retired

    def tie_breaker(self) -> str:
        known = self._quorumless
        wished = "" if known is None else known.properties(self.state.configuration).tie_breaker
        return tiebreaker.of(wished, self.state)

    def register(self) -> int | None:
        resources = self.state.configuration.resources
        return int(resources[0].description or 0) if resources else 0

    def freeze(self) -> bytes:
        return self.state.freeze()

    def thaw(self, body: bytes) -> None:
        self.state = State.thaw(body, self.state.members)

    def take(self, local_ns: int) -> Work:
        assert self._quorumless is not None
        self._local_ns = local_ns
        effects = self._quorumless.take(self.state, local_ns)
        for count in effects.count_flows:
            flows = {number: self._rng.choice((0, 1, 1)) for number, _ in count.slots}
            self.executor.counted(self.in_force, count, flows, local_ns)
        kernel, self._hastened = self._hastened if effects.kernel is None else effects.kernel, None
        return Work(
            kernel=None if kernel is None else KernelWork(slots_of(kernel), kernel, self.is_overlaid),
            enforced_epoch=effects.enforced_epoch,
            operations=list(effects.operations),
            proposals=[msgspec.msgpack.encode(command) for command in effects.proposals],
        )

    def kernel_did(self, work: KernelWork) -> None:
        wanted: Wanted = work.token  # type: ignore[assignment]
        self.executor.kernel_did(self.in_force, wanted, {})

    def finished(self, operation: object, local_ns: int) -> None:
        assert isinstance(operation, RunOperation)
        exit_code = NOT_RUNNING if operation.operation == "monitor" else 0
        self.executor.finished(operation, Finish(exit_code, "done", "", 1, ""), local_ns)

    def proposed(self, ticket: int, body: bytes) -> None:
        self._proposed[ticket] = msgspec.msgpack.decode(body, type=StateCommand)

    def outcome_is_unknown(self, ticket: int) -> None:
        proposed = self._proposed.pop(ticket, None)
        if proposed is not None:
            self.executor.proposal_ended(proposed)

    def lease(self, until_ns: int) -> None:
        assert self._quorumless is not None
        self._quorumless.granted(until_ns)
        self.executor.lease(until_ns)

    def deadline_ns(self, local_ns: int) -> int | None:
        assert self._quorumless is not None
        waits = (self.executor.deadline_ns(self.in_force, local_ns), self._quorumless.deadline_ns(local_ns))
        return min((due_ns for due_ns in waits if due_ns is not None), default=None)

    def concerned(self) -> set[str]:
        slots = [slot for slots in self.state.slots.values() for slot in slots.values()]
        return {name for slot in slots for name in (slot.holder, slot.successor) if name is not None}

    def slots(self) -> list[Slot]:
        return [(address, number) for address, slots in self.state.slots.items() for number in slots]

    def digest(self) -> object:
        return self.state.digest()


def slots_of(wanted: Wanted) -> dict[Slot, SlotState]:
    return {(address, n): state for address, want in wanted.items() for n, state in want.states.items()}


class DaemonWorkload:
    """A shared address with four slots, whose administrator changes his mind all the time."""

    snapshot_entries: tuple[int, ...] = (4, 12, 40)

    def __init__(self, **properties: str) -> None:
        """`no_quorum_policy="ignore"`: cluster properties, with `_` for `-`."""
        self._properties = {name.replace("_", "-"): value for name, value in properties.items()}

    def application(self, name: str, founders: list[str], incarnation: int, rng: random.Random) -> Application:
        return Daemon(name, founders, incarnation, rng, self._properties)


def _is_edit(request: Request) -> bool:
    return isinstance(msgspec.msgpack.decode(request.body, type=StateCommand), Edit)


def shared_address(
    slots: int, banned: list[str], description: str, properties: Mapping[str, str] = MappingProxyType({})
) -> Configuration:
    parameters = {"ip": "192.168.110.120", "cidr_netmask": "24", "clusterip_hash": "sourceip"}
    address = Primitive(
        id="VIP",
        standard="ocf",
        provider="heartbeat",
        type="IPaddr2",
        instance=(AttributeSet(id="VIP-instance_attributes", values=parameters),),
    )
    meta = {"clone-max": str(slots), "clone-node-max": str(slots), "globally-unique": "true"}
    clone = Clone(
        id="VIP-clone",
        description=description,
        child=address,
        meta=(AttributeSet(id="VIP-clone-meta_attributes", values=meta),),
    )
    bans = [Location(id=f"ban-{name}", resource="VIP-clone", node=name, score="-INFINITY") for name in banned]
    sets = (AttributeSet(id="cib-bootstrap-options", values=dict(properties)),) if properties else ()
    return Configuration(resources=(clone,), constraints=tuple(bans), properties=sets)
