"""The replicated state: what the log means.

`State.apply` is the same function on every node: it takes one committed entry, changes configuration or status, and
*settles* in the same step (docs/architecture.md, "From an entry to a packet"): the scheduler plans on the new state,
and slots get holders and moves.  It knows no clock but the entries' stamps, and it never raises for anything that
an entry may contain: what cannot be understood is applied as refused, everywhere alike.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Self

import msgspec
from pydantic import ValidationError

from daemon.cluster.records import Admit, LogEntry, Lost, Noop, Request, Restart, Roster
from daemon.model.configuration import Configuration
from daemon.model.findings import error, errors_of
from daemon.model.validation import validate
from daemon.scheduler.drained import Drained
from daemon.scheduler.planner import plan
from daemon.scheduler.view import NodeView, Plan, SlotsView, View
from daemon.state import commands, frozen, plainruns, tiebreaker
from daemon.state.addresses import SlotDriven, slot_driven
from daemon.state.claims import second_names
from daemon.state.drains import take_drain
from daemon.state.edits import COMMENT_KEPT_CHARACTERS_MAX, EDITS_KEPT_MAX, EditRecord
from daemon.state.frozen import Frozen, ThawError
from daemon.state.nodes import NodeState
from daemon.state.outcome import Outcome
from daemon.state.reports import take_result, take_slots
from daemon.state.results import Results
from daemon.state.roster import forget_ready, lose, remove_node, take_roster
from daemon.state.settling import planned, settle
from daemon.state.slots import Slot
from daemon.state.started import Started
from daemon.state.tickets import Tickets
from datapath.engine import SlotState

DEFAULTS = {"stonith-enabled": "false"}
"""What a lost node served is silent once its lease has ended.  There are no fencing devices yet: see `_plannable`."""
_decode = msgspec.msgpack.Decoder(commands.StateCommand).decode


@dataclass(slots=True)
class State:
    members: Sequence[str]
    """who may be given something: the founding list, then the newest roster without its witnesses"""
    configuration: Configuration = field(default_factory=Configuration)
    configuration_json: bytes = b"{}"
    """what `configuration` was read from"""
    configuration_epoch: int = 0
    index: int = 0
    now_ms: int = 0
    nodes: dict[str, NodeState] = field(default_factory=dict)
    slots: dict[str, dict[int, Slot]] = field(default_factory=dict)
    """address → slot → its holder; addresses without any held slot are there while they are slot-driven"""
    ready: dict[str, set[str]] = field(default_factory=dict)
    """address → nodes on which it is up"""
    results: Results = field(default_factory=Results)
    plan: Plan = field(init=False)
    in_force: dict[str, SlotDriven] = field(default_factory=dict)
    """address → what its slots meant when they were given out: what kernels must go by until the last one is closed,
    though the configuration may say something else by now"""
    refusals: dict[tuple[str, str], str] = field(default_factory=dict)
    """(address, node) → why it cannot be served there, for as long as the failure counts"""
    witnesses: frozenset[str] = frozenset()
    """on the roster, and never given anything"""
    rostered: bool = False
    """a roster has been applied: nobody belongs to the cluster but whom it names"""
    tickets: Tickets = field(default_factory=Tickets)
    started: Started = field(default_factory=Started)
    edits: deque[EditRecord] = field(default_factory=lambda: deque(maxlen=EDITS_KEPT_MAX))
    """the newest, oldest first"""
    drains: dict[Drained, int] = field(default_factory=dict)
    """what was drained by hand → since when"""
    homes: set[tuple[str, str]] = field(default_factory=set)
    """(instance, node): where instances were stopped that the plan starts again"""
    planned_ms: int = 0
    """`now_ms` as it was for `plan`: entries that are refused make it later, and plan nothing"""

    def __post_init__(self) -> None:
        self.members = tuple(self.members)
        self.nodes = {name: NodeState(name) for name in self.members}
        self.plan = plan(self.view())

    # ---- entries

    def apply(self, entry: LogEntry) -> Outcome:
        """Apply the next entry; indices come without gaps."""
        return self.conclude(self.enter(entry))

    def enter(self, entry: LogEntry) -> Entered:
        """What the entry says, without what the plan makes of it: that is for `conclude`, before anything else.

        A slot that it splits stays as it is by then, whatever is planned (LEASES.md, rule 24).
        """
        assert entry.index == self.index + 1, f"entry {entry.index} after {self.index}"
        self.index = entry.index
        self.now_ms = max(self.now_ms, entry.stamp_ms)
        before = {(a, n): s for a, slots in self.slots.items() for n, s in slots.items()}
        return Entered(entry, before, self._apply(entry))

    def conclude(self, entered: Entered) -> Outcome:
        """Plan by what was entered last."""
        before, outcome = entered.before, entered.outcome
        if outcome.accepted and entered.entry.command != Noop():
            self._settle()
            self.planned_ms = self.now_ms
        after = {(a, n): s for a, slots in self.slots.items() for n, s in slots.items()}
        keys = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
        changed = {key: (before.get(key), after.get(key)) for key in keys}
        return replace(outcome, slots_changed=changed)

    def _settle(self) -> None:
        settle(self)

    def _apply(self, entry: LogEntry) -> Outcome:
        match entry.command:
            case Admit(node, incarnation, kernel_boot_id):
                return self._admit(node, incarnation, kernel_boot_id)
            case Lost(node):
                return lose(self, node)
            case Restart(node, incarnation, _):
                if not self.counts(node, incarnation):
                    return Outcome(False, f"{node} is not admitted in that incarnation")
                self.nodes[node].restarting = True
                return Outcome(True, f"the daemon of {node} starts again")
            case Noop(founders) if founders and entry.index == 1:
                self.members = founders
                self.nodes = {name: NodeState(name) for name in founders}
            case Roster():
                return take_roster(self, entry.command)
            case Request():
                return self._request(entry.command)
        return Outcome(True)

    def _admit(self, name: str, incarnation: int, kernel_boot_id: str) -> Outcome:
        node = self.nodes.setdefault(name, NodeState(name))
        if not node.admitted or node.incarnation != incarnation:
            self.results.forget_node(name, failures=False)
            forget_ready(self, name)
            for slots in self.slots.values():
                for number, slot in slots.items():
                    if slot.holder == name and slot.opened:
                        slots[number] = unconfirmed(slot)
            node.leaving = False
            if node.kernel_boot_id != kernel_boot_id:
                self.started.forget_node(name)
            for instance in self.started.retired(name, self.configuration):
                # Nobody probes for what is configured no more; it was running, and its kernel has not ended since.
                self.results.presume_running(name, instance, self.index, self.now_ms)
        if not node.admitted:
            node.since_ms = self.now_ms
        node.admitted, node.incarnation, node.kernel_boot_id = True, incarnation, kernel_boot_id
        node.restarting = False
        node.epoch = self.index
        return Outcome(True, f"{name} takes part")

    # ---- requests

    def _request(self, request: Request) -> Outcome:
        if not self.tickets.first_time(request.origin, request.incarnation, request.ticket):
            return Outcome(False, "this proposal was applied before")
        try:
            command = _decode(request.body)
        except (msgspec.MsgspecError, ValueError, RecursionError) as problem:
            return Outcome(False, f"the request cannot be read: {problem}")
        match command:
            case commands.Edit():
                return self._edit(command, request.origin)
            case commands.Result():
                return take_result(self, command)
            case commands.Slots():
                return take_slots(self, command)
            case commands.Cleanup(resource, node, _):
                changed = self.results.cleanup(self._family(resource), node)
                return Outcome(True, f"failures of {resource or 'all resources'} are forgotten" if changed else "")
            case commands.Refresh(resource, node, _):
                self.results.refresh(self._family(resource), node)
                return Outcome(True, f"{resource or 'all resources'} will be probed again")
            case commands.Leave(node, incarnation) | commands.Return(node, incarnation):
                if not self.counts(node, incarnation):
                    return Outcome(False, f"{node} is not admitted in that incarnation")
                return self._leave(self.nodes[node], isinstance(command, commands.Leave))
            case commands.Drain():
                return take_drain(self, command)
            case commands.Fenced(node, by):
                return Outcome(True, f"{node} is without power, says {by}")
            case commands.RemoveNode(node, author):
                return remove_node(self, node, author)
        return Outcome(True)

    @staticmethod
    def _leave(node: NodeState, leaving: bool) -> Outcome:
        node.leaving = leaving
        return Outcome(True, f"{node.name} is about to stop" if leaving else f"{node.name} goes on after all")

    def _family(self, resource: str | None) -> frozenset[str] | None:
        """A resource and what is in it, by id."""
        if resource is None:
            return None
        found = self.configuration.find(resource)
        names = {resource, resource.partition(":")[0]} if ":" in resource else {resource}
        if found is not None:
            alone = Configuration(resources=(found,)) if found.kind != "primitive" else None
            names |= {r.id for r in alone.walk()} if alone is not None else set()
        return frozenset(names)

    def _edit(self, edit: commands.Edit, origin: str) -> Outcome:
        if edit.base_epoch is not None and edit.base_epoch != self.configuration_epoch:
            return Outcome(
                False,
                f"the configuration has changed since epoch {edit.base_epoch}: it is {self.configuration_epoch} now",
                conflict=True,
            )
        try:
            configuration = Configuration.model_validate_json(edit.configuration)
            findings = tuple(validate(configuration))
        except (ValidationError, ValueError, RecursionError) as problem:
            text = str(problem).splitlines()[0] if str(problem) else "it cannot be read"
            return Outcome(False, f"the configuration is none: {text}", (error("bad-configuration", "", text),))
        findings += tiebreaker.check(configuration, self.configuration, {*self.members, *self.witnesses})
        if errors_of(findings):
            return Outcome(False, "the configuration has errors", findings)
        self.started.edited(self.configuration, configuration)
        self.configuration, self.configuration_json = configuration, edit.configuration
        self.configuration_epoch = self.index
        comment = edit.comment[:COMMENT_KEPT_CHARACTERS_MAX]
        self.edits.append(EditRecord(self.index, self.now_ms, edit.author, origin, comment))
        return Outcome(True, edit.comment, findings)

    def counts(self, name: str, incarnation: int) -> bool:
        """Whether what a node reports is of its admitted incarnation (rule 25)."""
        node = self.nodes.get(name)
        return node is not None and node.admitted and node.incarnation == incarnation

    # ---- what others read

    def slot_driven(self) -> dict[str, SlotDriven]:
        """The shared addresses as the configuration wants them; clone-max is the number of nodes by default."""
        return slot_driven(self.configuration, max(1, len(self._candidates())))

    def _candidates(self) -> set[str]:
        """Who counts as a node: members, and before the first roster whoever the configuration names too."""
        named = () if self.rostered else (entry.name for entry in self.configuration.nodes)
        return {*self.members, *named} - self.witnesses

    def view(self) -> View:
        """The state as the scheduler sees it."""
        nodes = {}
        for name in sorted(self._candidates() | {name for name, node in self.nodes.items() if node.admitted}):
            node = self.nodes.get(name)
            if name in self.witnesses and not self._is_busy(name):
                continue
            nodes[name] = NodeView(
                name,
                online=node is not None and node.admitted,
                shutdown=name in self.witnesses or (node is not None and (node.leaving or node.removing)),
                since_ms=node.since_ms if node is not None else 0,
            )
        return View(
            configuration=_plannable(self.configuration),
            nodes=nodes,
            operations=self.results.in_order(),
            failures=dict(sorted(self.results.failures.items())),
            last_failure_ms=dict(sorted(self.results.last_failure_ms.items())),
            slots={
                address: SlotsView(
                    address,
                    {n: s.owner for n, s in sorted(slots.items())},
                    {n: s.holder for n, s in sorted(slots.items())},
                )
                for address, slots in sorted(self.slots.items())
            },
            ready={address: frozenset(nodes) for address, nodes in sorted(self.ready.items())},
            quorate=True,
            now_ms=self.now_ms,
            defaults=DEFAULTS,
            drains=frozenset(self.drains),
            homes=frozenset(self.homes),
        )

    @property
    def retired(self) -> frozenset[str]:
        """Who was told to leave the cluster for good, and has nothing to give away any more."""
        leaving = [node for node in self.nodes.values() if node.removing]
        waited_for = {action.node for action in self.plan.actions} if leaving else set()
        return frozenset(
            node.name
            for node in leaving
            if not node.admitted or not (node.name in waited_for or self._holds(node.name))
        )

    def _holds(self, name: str) -> bool:
        return any(name in (s.holder, s.successor) for slots in self.slots.values() for s in slots.values())

    def _is_busy(self, name: str) -> bool:
        """Whether a node, although it is a witness now, still has what it was given before."""
        return self._holds(name) or any(key[0] == name for key in self.results.operations)

    def definable(self, node: str, instance: str, operation: str) -> Configuration:
        """The configuration that an operation on a node is to be defined by.

        A stop takes the one under which the instance was started there, everything else today's.
        """
        if operation != "stop":
            return self.configuration
        return self.started.definable(node, instance, self.configuration)

    def keeps_up(self, address: str, node: str) -> bool:
        """Whether a node where the address is up goes on having it up."""
        slots = self.slots.get(address, {}).values()
        return any(node in (slot.holder, slot.successor) for slot in slots) or self._is_meant(address, node)

    def _is_meant(self, address: str, node: str) -> bool:
        return node in self.plan.slots.get(address, {}).values() or node in self.plan.idle.get(address, ())

    def _comes_up(self, address: str, node: str) -> bool:
        """Whether a node that has none of its slots is to have the address: not beside a plain run of the same.

        Clients would be told two MACs, and whoever asks the segment first would find the address taken.
        """
        if not self._is_meant(address, node):
            return False
        is_up = node in self.ready.get(address, ())
        return is_up or not plainruns.may_run(self, address, self.results.standings(address))

    def wishes(self, node: str) -> dict[str, dict[int, SlotState]]:
        """What this node's kernel shall hold: address → slot → state; slots that are not named are closed.

        An address is up, with all slots closed, on every node that shall own slots, so that what is ordered after
        it can start before the first slot arrives, and on every one that would if it were not drained.
        Nothing for a node that is not admitted.
        """
        own = self.nodes.get(node)
        if own is None or not own.admitted:
            return {}
        wished: dict[str, dict[int, SlotState]] = {}
        waiting = second_names(self.in_force, self.slots)
        for address, slots in sorted(self.slots.items()):
            if address in waiting:
                continue
            concerned = {n: s for n, s in sorted(slots.items()) if node in (s.holder, s.successor)}
            if concerned or self._comes_up(address, node):
                wished[address] = {n: s.wish(node) for n, s in concerned.items()}
        return wished

    # ---- as bytes

    def freeze(self) -> bytes:
        """The whole state (`daemon.state.frozen`): the same bytes on all nodes that have applied the same entries."""
        excerpts, origins, former = frozen.started_frozen(self.started)
        return frozen.encode(
            Frozen(
                index=self.index,
                now_ms=self.now_ms,
                planned_ms=self.planned_ms,
                members=list(self.members) if self.rostered else sorted(self.members),
                witnesses=sorted(self.witnesses),
                rostered=self.rostered,
                configuration=self.configuration_json,
                configuration_epoch=self.configuration_epoch,
                nodes=frozen.nodes_frozen(self.nodes),
                slots=frozen.slots_frozen(self.slots),
                ready=[(address, sorted(nodes)) for address, nodes in sorted(self.ready.items())],
                in_force=frozen.in_force_frozen(self.in_force),
                refusals=frozen.pairs_frozen(self.refusals),
                operations=frozen.operations_frozen(self.results),
                failures=frozen.pairs_frozen(self.results.failures),
                last_failures=frozen.pairs_frozen(self.results.last_failure_ms),
                tickets=frozen.tickets_frozen(self.tickets),
                excerpts=excerpts,
                origins=origins,
                former=former,
                edits=list(self.edits),
                since=frozen.since_frozen(self.nodes),
                drains=frozen.drains_frozen(self.drains),
                homes=sorted(self.homes),
            )
        )

    @classmethod
    def thaw(cls, data: bytes, members: Sequence[str] = ()) -> Self:
        """The state that `freeze` wrote; `members` count where that state knew none yet.

        Raises ThawError for another format, for damage, and for what no state can be.
        """
        read = frozen.decode(data)
        try:
            state = cls(read.members if read.members or read.rostered else sorted(members))
            state.witnesses = frozenset(read.witnesses)
            state.rostered = read.rostered
            state.index = read.index
            state.configuration = Configuration.model_validate_json(read.configuration)
            state.configuration_json = read.configuration
            state.configuration_epoch = read.configuration_epoch
            state.nodes = frozen.nodes_thawed(read.nodes)
            frozen.since_thawed(state.nodes, read.since)
            state.slots = frozen.slots_thawed(read.slots)
            state.ready = {address: set(nodes) for address, nodes in read.ready}
            state.in_force = frozen.in_force_thawed(read.in_force)
            state.refusals = frozen.pairs_thawed(read.refusals)
            state.results = frozen.results_thawed(read)
            state.tickets = frozen.tickets_thawed(read.tickets)
            state.started = frozen.started_thawed(read)
            state.edits.extend(read.edits)
            state.drains = frozen.drains_thawed(read.drains)
            state.homes = set(read.homes)
        except (ValueError, IndexError) as problem:
            raise ThawError(f"the state contradicts itself: {str(problem).splitlines()[0]}") from problem
        state.now_ms = state.planned_ms = read.planned_ms
        state.plan = planned(state)
        state.now_ms = read.now_ms
        return state

    def digest(self) -> str:
        """A short name for the whole state: equal on nodes that have applied the same entries."""
        plan = [repr(self.plan.placement), repr(self.plan.slots), [a.key for a in self.plan.actions]]
        return hashlib.sha256(self.freeze() + msgspec.json.encode(plan)).hexdigest()[:16]

    @property
    def operations(self) -> Mapping[tuple[str, str, str, int], object]:
        return MappingProxyType(self.results.operations)

    @property
    def failures(self) -> Mapping[tuple[str, str], int]:
        return MappingProxyType(self.results.failures)


@dataclass(frozen=True, slots=True)
class Entered:
    """An entry that the state knows, and has not planned by."""

    entry: LogEntry
    before: Mapping[tuple[str, int], Slot]
    outcome: Outcome


def _plannable(configuration: Configuration) -> Configuration:
    """The configuration as it can be carried out: nothing here fences, so nothing may wait for it."""
    return configuration.model_copy(
        update={
            "properties": tuple(
                s.model_copy(update={"values": {k: v for k, v in s.values.items() if k != "stonith-enabled"}})
                for s in configuration.properties
            )
        }
    )


def unconfirmed(slot: Slot) -> Slot:
    """The same slot, not known to be open in its holder's kernel any more."""
    return Slot(slot.holder, slot.generation, slot.phase, slot.successor)
