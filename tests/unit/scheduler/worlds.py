"""A small world for planning: a view, and an executor that does what a plan says and remembers the results."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from daemon.model.configuration import (
    AnyConstraint,
    AnyResource,
    AttributeSet,
    Clone,
    Colocation,
    Configuration,
    Group,
    Location,
    NodeEntry,
    Operation,
    Order,
    Primitive,
)
from daemon.scheduler import plan
from daemon.scheduler.view import Action, NodeView, OperationView, Plan, View

LIMIT = 40
"""rounds of all nodes' actions after which a world has to be at rest"""


def attributes(owner: str, values: dict[str, str]) -> tuple[AttributeSet, ...]:
    return (AttributeSet(id=f"{owner}-attributes", values=values),) if values else ()


def primitive(name: str, kind: str = "Dummy", **meta: str) -> Primitive:
    monitor = Operation(id=f"{name}-monitor", name="monitor", interval="10s", timeout="20s")
    return Primitive(
        id=name,
        standard="ocf",
        provider="heartbeat",
        type=kind,
        operations=(monitor,),
        meta=attributes(name, {key.replace("_", "-"): value for key, value in meta.items()}),
    )


def group(name: str, *members: str) -> Group:
    return Group(id=name, members=tuple(primitive(member) for member in members))


def clone(name: str, child: Primitive | Group, **meta: str) -> Clone:
    return Clone(id=name, child=child, meta=attributes(name, {key.replace("_", "-"): v for key, v in meta.items()}))


def location(resource: str, node: str, score: str) -> Location:
    return Location(id=f"location-{resource}-{node}", resource=resource, node=node, score=score)


def colocation(resource: str, with_resource: str, score: str = "INFINITY") -> Colocation:
    return Colocation(
        id=f"colocation-{resource}-{with_resource}", resource=resource, with_resource=with_resource, score=score
    )


def order(first: str, then: str, kind: str = "Mandatory") -> Order:
    return Order(
        id=f"order-{first}-{then}",
        first=first,
        then=then,
        first_action="start",
        then_action="start",
        order_kind=kind,
    )


@dataclass
class World:
    """What runs where, as agents would tell; `step` carries out one action of the plan."""

    resources: tuple[AnyResource, ...]
    constraints: tuple[AnyConstraint, ...] = ()
    nodes: tuple[str, ...] = ("a1", "a2", "a3", "a4")
    properties: dict[str, str] = field(default_factory=dict)
    running: set[tuple[str, str]] = field(default_factory=set)
    """(node, instance)"""
    results: dict[tuple[str, str, str, int], OperationView] = field(default_factory=dict)
    failures: dict[tuple[str, str], int] = field(default_factory=dict)
    standby: set[str] = field(default_factory=set)
    offline: set[str] = field(default_factory=set)
    homes: set[tuple[str, str]] = field(default_factory=set)
    """(instance, node): stopped there, and the plan starts it again (`daemon.state.homes`)"""
    starting: set[str] = field(default_factory=set)
    serial: int = 0
    history: list[str] = field(default_factory=list)

    @property
    def configuration(self) -> Configuration:
        entries = tuple(
            NodeEntry(id=name, name=name, attributes=attributes(name, {"standby": "on"}))
            for name in self.nodes
            if name in self.standby
        )
        return Configuration(
            properties=attributes("cib-bootstrap-options", self.properties),
            nodes=entries,
            resources=self.resources,
            constraints=self.constraints,
        )

    def view(self) -> View:
        return View(
            configuration=self.configuration,
            nodes={name: NodeView(name, online=name not in self.offline) for name in self.nodes},
            operations=tuple(result for _, result in sorted(self.results.items())),
            failures=dict(self.failures),
            defaults={"stonith-enabled": "false"},
            homes=frozenset(self.homes),
        )

    def plan(self) -> Plan:
        made = plan(self.view())
        self.starting = {action.instance for action in made.actions if action.operation == "start"}
        self.homes = {home for home in self.homes if home[0] in self.starting and home[1] not in self.offline}
        return made

    def settle(self) -> Plan:
        """Let every node do what it may do, and plan again, until the plan has nothing left."""
        for _ in range(LIMIT):
            now = self.plan()
            ready = [action for node in self.nodes for action in now.runnable(node)]
            if not ready:
                assert not now.actions, f"actions wait for each other: {now.actions}"
                return now
            for action in ready:
                self.do(action)
        raise AssertionError(f"no rest after {LIMIT} rounds: {self.history[-20:]}")

    def do(self, action: Action, exit_code: int | None = None) -> None:
        """An action ends well, or with the given exit code."""
        self.history.append(action.key)
        place = (action.node, action.instance)
        if exit_code is None:
            exit_code = 0 if action.operation != "monitor" or place in self.running else 7
            home = (action.instance, action.node)
            if action.operation == "start":
                self.running.add(place)
                self.homes.discard(home)
            elif action.operation == "stop":
                self.running.discard(place)
                self.homes |= {home} if action.instance in self.starting else set()
        self.record(action.node, action.instance, action.operation, exit_code)

    def record(
        self, node: str, instance: str, operation: str, exit_code: int, interval_ms: int = 0, status: str = "done"
    ) -> None:
        self.serial += 1
        expected = 7 if operation == "monitor" and interval_ms == 0 else 0
        result = OperationView(node, instance, operation, interval_ms, exit_code, status, expected, self.serial, 0)
        self.results[node, instance, operation, interval_ms] = result

    def lose(self, node: str) -> None:
        """A node is gone, with everything that it ran and everything that was known of it."""
        self.offline.add(node)
        self.running = {place for place in self.running if place[0] != node}
        self.results = {key: result for key, result in self.results.items() if key[0] != node}
        self.failures = {key: count for key, count in self.failures.items() if key[1] != node}

    def places(self, instance: str) -> list[str]:
        return sorted(node for node, name in self.running if name == instance)


def shuffled(view: View) -> View:
    """The same view with every dictionary in another order."""
    return replace(
        view,
        nodes=dict(reversed(view.nodes.items())),
        operations=tuple(reversed(view.operations)),
        failures=dict(reversed(view.failures.items())),
    )
