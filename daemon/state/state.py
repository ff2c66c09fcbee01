"""The replicated state: what the log means.

`State.apply` is the same function on every node: it takes one committed entry, changes configuration or status, and
*settles* in the same step (docs/architecture.md, "From an entry to a packet"): the scheduler plans on the new state,
and slots get holders and moves.  It knows no clock but the entries' stamps, and it never raises for anything that
an entry may contain: what cannot be understood is applied as refused, everywhere alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import msgspec
from pydantic import ValidationError

from daemon.cluster.records import Admit, LogEntry, Lost, Noop, Request, Restart
from daemon.definition import primitive_of
from daemon.model.configuration import INFINITY, Configuration
from daemon.model.findings import Finding, error, errors_of
from daemon.model.validation import validate
from daemon.scheduler.planner import plan
from daemon.scheduler.view import NodeView, Plan, SlotsView, View
from daemon.state import commands
from daemon.state.addresses import SlotDriven, slot_driven
from daemon.state.claims import Claims, claims_of, ip_of, second_names, with_waiting_starts
from daemon.state.results import Results
from daemon.state.settle import close_address, release_address, settle_address
from daemon.state.slots import Phase, Slot
from daemon.state.started import Started
from daemon.state.tickets import Tickets
from datapath.engine import SlotState

DEFAULTS = {"stonith-enabled": "false"}
"""What a lost node served is silent once its lease has ended.  There are no fencing devices yet: see `_plannable`."""
SETTLE_ROUNDS_MAX = 4
"""a plan changes holders, which changes the plan: it comes to rest after two rounds, the limit is for safety"""

_decode = msgspec.msgpack.Decoder(commands.StateCommand).decode


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an entry."""

    accepted: bool
    sentence: str = ""
    """for the cluster log, or why it was refused"""
    findings: tuple[Finding, ...] = ()
    conflict: bool = False
    """an edit that was made from an epoch that is no longer the configuration's"""
    slots_changed: tuple[tuple[str, int], ...] = ()
    """(address, slot) whose holder or phase is another one now"""


@dataclass(slots=True)
class NodeState:
    """A node as the log has it.

    A new incarnation of an admitted node inherits its slots under their generations (LEASES.md, rule 20): what the
    old process reported no longer counts, because results carry the incarnation (25), and a report of the *other* side
    of a move stays valid.  What the resources of the node do is unknown from then on, and is probed.
    """

    name: str
    admitted: bool = False
    incarnation: int = 0
    epoch: int = 0
    """index of the newest Admit or Lost"""
    kernel_boot_id: str = ""
    leaving: bool = False
    """its process is about to end by intention"""
    restarting: bool = False
    """its daemon starts again; what it holds goes on, and it is given nothing new until it is back"""


@dataclass(slots=True)
class State:
    members: Sequence[str]
    configuration: Configuration = field(default_factory=Configuration)
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
    _tickets: Tickets = field(default_factory=Tickets)
    _started: Started = field(default_factory=Started)

    def __post_init__(self) -> None:
        self.members = tuple(self.members)
        self.nodes = {name: NodeState(name) for name in self.members}
        self.plan = plan(self.view())

    # ---- entries

    def apply(self, entry: LogEntry) -> Outcome:
        """Apply the next entry; indices come without gaps."""
        assert entry.index == self.index + 1, f"entry {entry.index} after {self.index}"
        self.index = entry.index
        self.now_ms = max(self.now_ms, entry.stamp_ms)
        before = {(a, n): s for a, slots in self.slots.items() for n, s in slots.items()}
        outcome = self._apply(entry)
        if outcome.accepted and not isinstance(entry.command, Noop):
            self._settle()
        after = {(a, n): s for a, slots in self.slots.items() for n, s in slots.items()}
        changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
        return Outcome(outcome.accepted, outcome.sentence, outcome.findings, outcome.conflict, tuple(changed))

    def _apply(self, entry: LogEntry) -> Outcome:
        match entry.command:
            case Admit(node, incarnation, kernel_boot_id):
                return self._admit(node, incarnation, kernel_boot_id)
            case Lost(node):
                return self._lost(node)
            case Restart(node, incarnation, _):
                if not self._counts(node, incarnation):
                    return Outcome(False, f"{node} is not admitted in that incarnation")
                self.nodes[node].restarting = True
                return Outcome(True, f"the daemon of {node} starts again")
            case Request():
                return self._request(entry.command)
        return Outcome(True)

    def _admit(self, name: str, incarnation: int, kernel_boot_id: str) -> Outcome:
        node = self.nodes.setdefault(name, NodeState(name))
        if not node.admitted or node.incarnation != incarnation:
            self.results.forget_node(name, failures=False)
            self._forget_ready(name)
            for slots in self.slots.values():
                for number, slot in slots.items():
                    if slot.holder == name and slot.opened:
                        slots[number] = unconfirmed(slot)
            node.leaving = False
            if node.kernel_boot_id != kernel_boot_id:
                self._started.forget_node(name)
            for instance in self._started.retired(name, self.configuration):
                # Nobody probes for what is configured no more; it was running, and its kernel has not ended since.
                self.results.presume_running(name, instance, self.index, self.now_ms)
        node.admitted, node.incarnation, node.kernel_boot_id = True, incarnation, kernel_boot_id
        node.restarting = False
        node.epoch = self.index
        return Outcome(True, f"{name} takes part")

    def _lost(self, name: str) -> Outcome:
        node = self.nodes.setdefault(name, NodeState(name))
        node.admitted, node.leaving, node.epoch = False, False, self.index
        node.restarting = False
        self.results.forget_node(name, failures=True)
        self._forget_ready(name)
        freed = 0
        for address, slots in self.slots.items():
            left: dict[int, Slot] = {}
            for number, slot in slots.items():
                after = slot.lost(name, self.index)
                if after is not None:
                    left[number] = after
                freed += slot.holder == name
            self.slots[address] = left
        return Outcome(True, f"{name} is lost" + (f", {freed} slots of it are free" if freed else ""))

    def _forget_ready(self, name: str) -> None:
        for nodes in self.ready.values():
            nodes.discard(name)

    # ---- requests

    def _request(self, request: Request) -> Outcome:
        if not self._tickets.first_time(request.origin, request.incarnation, request.ticket):
            return Outcome(False, "this proposal was applied before")
        try:
            command = _decode(request.body)
        except (msgspec.MsgspecError, ValueError, RecursionError) as problem:
            return Outcome(False, f"the request cannot be read: {problem}")
        match command:
            case commands.Edit():
                return self._edit(command)
            case commands.Result():
                return self._result(command)
            case commands.Slots():
                return self._slots(command)
            case commands.Cleanup(resource, node, _):
                changed = self.results.cleanup(self._family(resource), node)
                return Outcome(True, f"failures of {resource or 'all resources'} are forgotten" if changed else "")
            case commands.Refresh(resource, node, _):
                self.results.refresh(self._family(resource), node)
                return Outcome(True, f"{resource or 'all resources'} will be probed again")
            case commands.Leave(node, incarnation):
                if not self._counts(node, incarnation):
                    return Outcome(False, f"{node} is not admitted in that incarnation")
                self.nodes[node].leaving = True
                return Outcome(True, f"{node} is about to stop")
            case commands.Drain():
                return Outcome(False, "drain is not implemented yet")
            case commands.RemoveNode():
                return Outcome(False, "nodes cannot be removed yet")
        return Outcome(True)

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

    def _edit(self, edit: commands.Edit) -> Outcome:
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
        if errors_of(findings):
            return Outcome(False, "the configuration has errors", findings)
        self._started.edited(self.configuration)
        self.configuration = configuration
        self.configuration_epoch = self.index
        return Outcome(True, edit.comment, findings)

    def _counts(self, name: str, incarnation: int) -> bool:
        node = self.nodes.get(name)
        return node is not None and node.admitted and node.incarnation == incarnation

    def _result(self, result: commands.Result) -> Outcome:
        if not self._counts(result.node, result.incarnation):
            return Outcome(False, f"{result.node} is not admitted in that incarnation")
        promoted = result.node in self.plan.promoted.get(result.instance, ())
        fatal = self._property("start-failure-is-fatal", "true") not in {"false", "off", "no", "n", "0"}
        failed = self.results.add(result, self.index, self.now_ms, promoted, fatal)
        self._started.add(result, self.configuration)
        if result.operation == "stop" and not failed and primitive_of(self.configuration, result.instance) is None:
            self.results.refresh(frozenset({result.instance}), result.node)
        ended = "failed" if failed else "done"
        return Outcome(True, f"{result.operation} of {result.instance} on {result.node}: {ended}")

    def _property(self, name: str, default: str) -> str:
        found = (s.values[name] for s in self.configuration.properties if name in s.values)
        return next(found, default).lower()

    def _slots(self, report: commands.Slots) -> Outcome:
        if not self._counts(report.node, report.incarnation):
            return Outcome(False, f"{report.node} is not admitted in that incarnation")
        if report.address not in self.slots:
            return Outcome(False, f"{report.address} has no slots")
        match report.what:
            case "ready":
                self.ready.setdefault(report.address, set()).add(report.node)
                return Outcome(True, f"{report.address} is up on {report.node}")
            case "failed":
                return self._slots_failed(report)
            case "opened" | "drained" | "closed":
                return self._slots_moved(report)
        return Outcome(False, f"'{report.what}' is nothing that slots do")

    def _slots_failed(self, report: commands.Slots) -> Outcome:
        """It cannot be served there, which like a failed start keeps it away until a cleanup (start-failure-is-fatal).

        Holders stay what they are until closed or lost.
        """
        self.results.fail(report.address, report.node, self.now_ms, INFINITY)
        self.refusals[report.address, report.node] = report.reason
        self.ready.get(report.address, set()).discard(report.node)
        return Outcome(True, f"{report.address} failed on {report.node}: {report.reason}")

    def _slots_moved(self, report: commands.Slots) -> Outcome:
        slots, counted = self.slots[report.address], []
        for number, generation in sorted(report.generations.items()):
            slot = slots.get(number)
            if slot is None or slot.holder != report.node or slot.generation != generation:
                continue
            if report.what == "opened" and slot.phase is Phase.OPEN and not slot.opened:
                slots[number] = Slot(slot.holder, slot.generation, opened=True)
                counted.append(number)
            elif report.what == "drained" and (drained := slot.drained()) is not None:
                slots[number] = drained
                counted.append(number)
            elif report.what == "closed":
                after, meant = slot.closed(self.index)
                if not meant:
                    continue
                counted.append(number)
                if after is None:
                    del slots[number]
                else:
                    slots[number] = after
        if not counted:
            return Outcome(False, f"{report.what} of {report.address} by {report.node} is out of date")
        names = ", ".join(map(str, counted))
        return Outcome(True, f"{report.address}: slots {names} {report.what} on {report.node}")

    # ---- settling

    def _settle(self) -> None:
        self.refusals = {key: reason for key, reason in self.refusals.items() if key in self.results.failures}
        driven = self.slot_driven()
        for address in driven:
            self.slots.setdefault(address, {})
        self._retire(driven)
        for _ in range(SETTLE_ROUNDS_MAX):
            self.plan = self._planned()
            if not self._follow(driven):
                break
        else:
            self.plan = self._planned()

    def _planned(self) -> Plan:
        return with_waiting_starts(plan(self.view()), self.configuration, self._claims())

    def _claims(self) -> Claims:
        admitted = {node.name for node in self.nodes.values() if node.admitted}
        return claims_of(self.in_force, self.slots, self._started.addresses(admitted))

    def _retire(self, driven: Mapping[str, SlotDriven]) -> None:
        """Slots of what is no shared address any more are drained; of what means something else now, closed."""
        for address in list(self.slots):
            target = driven.get(address)
            slots = self.slots[address]
            if target is not None and target.mapping == self.in_force.setdefault(address, target).mapping:
                self.in_force[address] = target
                continue
            if not slots:
                self.in_force.pop(address, None)
                if target is None:
                    del self.slots[address]
                    self.ready.pop(address, None)
                else:
                    self.in_force[address] = target
            elif target is None and self.configuration.find(address) is not None:
                self.slots[address] = release_address(slots, self.index)
            else:
                self.slots[address] = close_address(slots, self.index)

    def _follow(self, driven: Mapping[str, SlotDriven]) -> bool:
        """Turn the plan into holders; True if that changed anything."""
        changed = False
        for address, target in driven.items():
            slots = self.slots[address]
            if address not in self.in_force or self.in_force[address].mapping != target.mapping:
                continue
            if self._served_as_another(address):
                continue
            settled = settle_address(
                slots,
                self.plan.slots.get(address, {}),
                self.plan,
                address,
                [name for name in self.nodes if self._may_hold(address, name)],
                self.index,
            )
            if settled != slots:
                self.slots[address] = settled
                changed = True
        return changed

    def _served_as_another(self, address: str) -> bool:
        """Whether the ip is still in force under another name: it is given out when that has let go of it."""
        if address in second_names(self.in_force, self.slots):
            return True
        return bool(self._claims().get(ip_of(self.in_force[address]), frozenset()) - {address})

    def _may_hold(self, address: str, name: str) -> bool:
        """May a node be given a slot: is it sure that no plain run of the same address accepts its packets?

        A node where nobody has looked counts as one where it runs, for that node itself, and for all as long as no
        slot is held (then the plain resource may have been what served until now).  Once slots are held, an
        unprobed newcomer does not keep the others from taking over what is free.
        """
        known = self.nodes[name]
        if not known.admitted or known.restarting or self.results.standing(name, address) != "stopped":
            return False
        others = [self.results.standing(n.name, address) for n in self.nodes.values() if n.admitted]
        return "running" not in others and ("unknown" not in others or bool(self.slots.get(address)))

    # ---- what others read

    def slot_driven(self) -> dict[str, SlotDriven]:
        """The shared addresses as the configuration wants them; clone-max is the number of nodes by default."""
        nodes = {*self.members, *(entry.name for entry in self.configuration.nodes)}
        return slot_driven(self.configuration, max(1, len(nodes)))

    def view(self) -> View:
        """The state as the scheduler sees it."""
        names = {*self.nodes, *(entry.name for entry in self.configuration.nodes)}
        nodes = {}
        for name in sorted(names):
            node = self.nodes.get(name)
            nodes[name] = NodeView(
                name, online=node is not None and node.admitted, shutdown=node is not None and node.leaving
            )
        return View(
            configuration=_plannable(self.configuration),
            nodes=nodes,
            operations=tuple(o for _, o in sorted(self.results.operations.items())),
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
        )

    def definable(self, node: str, instance: str, operation: str) -> Configuration:
        """The configuration that an operation on a node is to be defined by.

        A stop takes the one under which the instance was started there, everything else today's.
        """
        if operation != "stop":
            return self.configuration
        return self._started.definable(node, instance, self.configuration)

    def wishes(self, node: str) -> dict[str, dict[int, SlotState]]:
        """What this node's kernel shall hold: address → slot → state; slots that are not named are closed.

        An address is up, with all slots closed, on every node that shall own slots, so that what is ordered after
        it can start before the first slot arrives.  Nothing for a node that is not admitted.
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
            if concerned or node in self.plan.slots.get(address, {}).values():
                wished[address] = {n: s.wish(node) for n, s in concerned.items()}
        return wished

    def digest(self) -> str:
        """A short name for the whole state: equal on nodes that have applied the same entries."""
        parts = {
            "index": self.index,
            "now_ms": self.now_ms,
            "configuration": self.configuration.model_dump_json(),
            "epoch": self.configuration_epoch,
            "nodes": [
                [n.name, n.admitted, n.incarnation, n.epoch, n.kernel_boot_id, n.leaving, n.restarting]
                for _, n in sorted(self.nodes.items())
            ],
            "slots": [
                [a, n, s.holder, s.successor, s.phase.value, s.generation, s.opened]
                for a, slots in sorted(self.slots.items())
                for n, s in sorted(slots.items())
            ],
            "in_force": [[a, driven.definition] for a, driven in sorted(self.in_force.items())],
            "ready": [[a, sorted(nodes)] for a, nodes in sorted(self.ready.items())],
            "refusals": sorted([*key, reason] for key, reason in self.refusals.items()),
            "started": self._started.names(),
            "operations": [repr(o) for _, o in sorted(self.results.operations.items())],
            "failures": sorted([*k, v] for k, v in self.results.failures.items()),
            "plan": [repr(self.plan.placement), repr(self.plan.slots), [a.key for a in self.plan.actions]],
        }
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]

    @property
    def operations(self) -> Mapping[tuple[str, str, str, int], object]:
        return MappingProxyType(self.results.operations)

    @property
    def failures(self) -> Mapping[tuple[str, str], int]:
        return MappingProxyType(self.results.failures)


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
