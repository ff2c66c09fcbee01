"""The daemon above the core as it ships: State, scheduler, Executor.  Agents and kernel alone are simulated."""

from __future__ import annotations

import random

import msgspec

from daemon.cluster.records import LogEntry, Request
from daemon.executor import Executor, Finish, RunOperation
from daemon.executor.slots import Wanted
from daemon.model.configuration import AttributeSet, Clone, Configuration, Location, Primitive
from daemon.state.commands import Edit, StateCommand
from daemon.state.state import State
from datapath.engine import SlotState
from tests.simulation.application import Application, Draft, KernelWork, Work
from tests.simulation.invariants.edits import Answer
from tests.simulation.kernel import Slot

NOT_RUNNING = 7
DRAIN_TIMEOUT_MS = 150


class Daemon:
    def __init__(self, name: str, members: list[str], incarnation: int, rng: random.Random) -> None:
        self.name = name
        self.incarnation = incarnation
        self.state = State(members)
        self.executor = Executor(name, incarnation, DRAIN_TIMEOUT_MS)
        self._rng = rng
        self._proposed: dict[int, StateCommand] = {}

    def apply(self, entry: LogEntry) -> Answer | None:
        outcome = self.state.apply(entry)
        command = entry.command
        if isinstance(command, Request) and (command.origin, command.incarnation) == (self.name, self.incarnation):
            proposed = self._proposed.pop(command.ticket, None)
            if proposed is not None:
                self.executor.proposal_ended(proposed)
        if outcome.accepted:
            return Answer.ACCEPTED
        return Answer.CONFLICT if outcome.conflict else None

    def draft(self, number: int, members: list[str], rng: random.Random) -> Draft:
        """Bans for some nodes; mostly upon what is there, sometimes upon whatever will be there."""
        banned = [name for name in members if rng.random() < 0.25]
        configuration = shared_address(4, banned[:-1] if len(banned) == len(members) else banned, str(number))
        epoch, base = rng.choice(((None, None), *[(self.state.configuration_epoch, self.register())] * 3))
        edit = Edit(epoch, configuration.model_dump_json().encode(), "administrator", f"edit {number}")
        return Draft(msgspec.msgpack.encode(edit), base)

    def register(self) -> int | None:
        resources = self.state.configuration.resources
        return int(resources[0].description or 0) if resources else 0

    def freeze(self) -> bytes:
        return self.state.freeze()

    def thaw(self, body: bytes) -> None:
        self.state = State.thaw(body, self.state.members)

    def take(self, local_ns: int) -> Work:
        effects = self.executor.take(self.state, local_ns)
        for address, number in effects.count_flows:
            flows = self._rng.choice((0, 1, 1))
            self.executor.flows_left(self.state, address, number, flows, local_ns)
        return Work(
            kernel=None if effects.kernel is None else KernelWork(slots_of(effects.kernel), effects.kernel),
            enforced_epoch=effects.enforced_epoch,
            operations=list(effects.operations),
            proposals=[msgspec.msgpack.encode(command) for command in effects.proposals],
        )

    def kernel_did(self, work: KernelWork) -> None:
        wanted: Wanted = work.token  # type: ignore[assignment]
        self.executor.kernel_did(self.state, wanted, {})

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
        self.executor.lease(until_ns)

    def deadline_ns(self, local_ns: int) -> int | None:
        return self.executor.deadline_ns(self.state, local_ns)

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

    def application(self, name: str, members: list[str], incarnation: int, rng: random.Random) -> Application:
        return Daemon(name, members, incarnation, rng)


def shared_address(slots: int, banned: list[str], description: str) -> Configuration:
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
    return Configuration(resources=(clone,), constraints=tuple(bans))
