"""A cluster of one state and obedient nodes: entries go in, kernels and agents answer at once."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from daemon.cluster.records import Admit, Command, LogEntry, Lost, Request
from daemon.model.configuration import (
    AnyConstraint,
    AnyResource,
    AttributeSet,
    Clone,
    Colocation,
    Configuration,
    NodeEntry,
    Operation,
    Order,
    Primitive,
)
from daemon.state.commands import Edit, Result, Slots, StateCommand
from daemon.state.outcome import Outcome
from daemon.state.slots import Phase
from daemon.state.state import State

NODES = ("a1", "a2", "a3", "a4")
LIMIT = 400

REPORTS = {Phase.DRAINING: "drained", Phase.SPLIT: "closed", Phase.CLOSING: "closed"}


def primitive(name: str, kind: str, **parameters: str) -> Primitive:
    return Primitive(
        id=name,
        standard="ocf",
        provider="heartbeat",
        type=kind,
        operations=(Operation(id=f"{name}-monitor-interval-10s", name="monitor", interval="10s"),),
        instance=(AttributeSet(id=f"{name}-instance_attributes", values=parameters),) if parameters else (),
    )


def clone(name: str, child: Primitive, **meta: str) -> Clone:
    values = {key.replace("_", "-"): value for key, value in meta.items()}
    sets = (AttributeSet(id=f"{name}-meta_attributes", values=values),) if values else ()
    return Clone(id=name, child=child, meta=sets)


VIP = primitive("VIP", "IPaddr2", ip="192.168.110.120", cidr_netmask="24", clusterip_hash="sourceip")
WEB = primitive("webserver", "apache", configfile="/etc/apache2/apache2.conf")
VIP_CLONE = clone("VIP-clone", VIP, clone_max="4", clone_node_max="4", globally_unique="true")
WEB_CLONE = clone("webserver-clone", WEB)


def together(web: str, vip: str) -> tuple[AnyConstraint, ...]:
    return (
        Colocation(id="together", resource=web, with_resource=vip, score="INFINITY"),
        Order(id="after", first=vip, then=web, first_action="start", then_action="start"),
    )


@dataclass
class Cluster:
    state: State = field(default_factory=lambda: State(NODES))
    running: set[tuple[str, str]] = field(default_factory=set)
    entries: list[LogEntry] = field(default_factory=list)
    tickets: int = 0
    stubborn: set[str] = field(default_factory=set)
    """instances whose start is not carried out (yet)"""
    mute: set[str] = field(default_factory=set)
    """nodes that report nothing"""

    def entry(self, command: Command) -> Outcome:
        index = len(self.entries) + 1
        entry = LogEntry(index, 1, 1_000 * index, command)
        self.entries.append(entry)
        return self.state.apply(entry)

    def request(self, command: StateCommand, origin: str = "a1") -> Outcome:
        self.tickets += 1
        return self.entry(Request(origin, 1, self.tickets, msgspec.msgpack.encode(command)))

    def admit(self, *nodes: str, incarnation: int = 1) -> None:
        for node in nodes or NODES:
            self.entry(Admit(node, incarnation, f"boot-of-{node}"))

    def lose(self, node: str) -> Outcome:
        self.running = {place for place in self.running if place[0] != node}
        return self.entry(Lost(node))

    def edit(
        self,
        *resources: AnyResource,
        constraints: tuple[AnyConstraint, ...] = (),
        standby: tuple[str, ...] = (),
        base: int | None = None,
    ) -> Outcome:
        nodes = tuple(
            NodeEntry(id=n, name=n, attributes=(AttributeSet(id=f"{n}-attributes", values={"standby": "on"}),))
            for n in standby
        )
        configuration = Configuration(nodes=nodes, resources=resources, constraints=constraints)
        return self.request(Edit(base, configuration.model_dump_json().encode(), "root", "an edit"))

    def result(
        self, node: str, instance: str, operation: str, exit_code: int, interval_ms: int = 0, incarnation: int = 1
    ) -> Outcome:
        command = Result(node, incarnation, instance, operation, interval_ms, exit_code, "done", "", 1, "")
        return self.request(command, node)

    def slots(self, node: str, what: str, generations: dict[int, int], incarnation: int = 1) -> Outcome:
        return self.request(Slots(node, incarnation, "VIP", what, generations), node)

    # ---- obedience

    def settle(self) -> None:
        """Let every node do and report what the state asks, until nobody has anything to do."""
        for _ in range(LIMIT):
            busy = [node for node in NODES if node not in self.mute and (self._kernel(node) or self._agents(node))]
            if not busy:
                return
        raise AssertionError("the cluster does not come to rest")

    def _kernel(self, node: str) -> bool:
        incarnation = self.state.nodes[node].incarnation
        for address in self.state.wishes(node):
            if node not in self.state.ready.get(address, ()):
                return self.request(Slots(node, incarnation, address, "ready", {}), node).accepted
        for address, slots in self.state.slots.items():
            for number, slot in slots.items():
                what = REPORTS.get(slot.phase, "" if slot.opened else "opened")
                if slot.holder == node and what and self.state.nodes[node].admitted:
                    command = Slots(node, incarnation, address, what, {number: slot.generation})
                    return self.request(command, node).accepted
        return False

    def _agents(self, node: str) -> bool:
        incarnation = self.state.nodes[node].incarnation
        for action in self.state.plan.runnable(node):
            place = (node, action.instance)
            if action.instance in self.stubborn and action.operation == "start":
                continue
            if action.operation == "start":
                self.running.add(place)
            elif action.operation == "stop":
                self.running.discard(place)
            code = 0 if action.operation != "monitor" or place in self.running else 7
            self.result(node, action.instance, action.operation, code, incarnation=incarnation)
            return True
        return False

    # ---- what is so

    def holders(self) -> dict[int, str]:
        return {number: slot.holder for number, slot in sorted(self.state.slots.get("VIP", {}).items())}

    def places(self, instance: str) -> list[str]:
        return sorted(node for node, name in self.running if name == instance)


def serving() -> Cluster:
    """Four hosts that serve one address together, with a web server on each."""
    cluster = Cluster()
    cluster.admit()
    assert cluster.edit(VIP_CLONE, WEB_CLONE, constraints=together("webserver-clone", "VIP-clone")).accepted
    cluster.settle()
    return cluster
