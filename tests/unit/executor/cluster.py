"""A replicated state that tests drive entry by entry, and configurations worth executing."""

from __future__ import annotations

import msgspec

from daemon.cluster.records import Admit, Command, LogEntry, Lost, Request
from daemon.model.configuration import AttributeSet, Clone, Configuration, Operation, Primitive
from daemon.state.commands import Edit, Result, Slots, StateCommand
from daemon.state.outcome import Outcome
from daemon.state.state import Entered, State

NODES = ("a1", "a2", "a3", "a4")
INCARNATION = 7


def address(**parameters: str) -> Primitive:
    return Primitive(
        id="VIP",
        standard="ocf",
        provider="heartbeat",
        type="IPaddr2",
        instance=(AttributeSet(id="VIP-i", values={"ip": "192.168.110.120", "cidr_netmask": "24"} | parameters),),
        operations=(Operation(id="VIP-m", name="monitor", interval="10s"),),
    )


def shared(slots: int = 4, **parameters: str) -> Configuration:
    meta = {"clone-max": str(slots), "clone-node-max": str(slots), "globally-unique": "true"}
    clone = Clone(id="VIP-clone", child=address(**parameters), meta=(AttributeSet(id="VIP-c", values=meta),))
    return Configuration(resources=(clone,))


def webserver() -> Configuration:
    web = Primitive(
        id="web",
        standard="ocf",
        provider="vipcast",
        type="webserver",
        operations=(Operation(id="web-m", name="monitor", interval="10s"),),
    )
    return Configuration(resources=(web,))


class Cluster:
    """Entries in, state out; `report` plays any node's part."""

    def __init__(self, configuration: Configuration, nodes: tuple[str, ...] = NODES) -> None:
        self.state = State(nodes)
        self._tickets = 0
        for node in nodes:
            self.admit(node)
        self.edit(configuration)

    def append(self, command: Command) -> Outcome:
        return self.state.apply(LogEntry(self.state.index + 1, 1, 1_000 * self.state.index, command))

    def admit(self, node: str, incarnation: int = INCARNATION) -> Outcome:
        return self.append(Admit(node, incarnation, "boot"))

    def lose(self, node: str) -> Outcome:
        return self.append(Lost(node))

    def request(self, command: StateCommand, origin: str = "a1") -> Outcome:
        return self.append(self._requested(command, origin))

    def enter(self, command: StateCommand, origin: str = "a1") -> Entered:
        """A request of which nobody has made a plan yet."""
        request = self._requested(command, origin)
        return self.state.enter(LogEntry(self.state.index + 1, 1, 1_000 * self.state.index, request))

    def _requested(self, command: StateCommand, origin: str) -> Request:
        self._tickets += 1
        return Request(origin, INCARNATION, self._tickets, msgspec.msgpack.encode(command))

    def edit(self, configuration: Configuration) -> Outcome:
        body = configuration.model_dump_json().encode()
        return self.request(Edit(None, body, "test", "edit"))

    def probed(self, instance: str, exit_code: int = 7) -> None:
        """Every node has looked: `instance` runs nowhere (or, with 0, everywhere)."""
        for node in self.state.members:
            self.request(Result(node, INCARNATION, instance, "monitor", 0, exit_code, "done", "", 1, ""), node)

    def ready(self, *nodes: str) -> None:
        for node in nodes or tuple(self.state.members):
            self.request(Slots(node, INCARNATION, "VIP", "ready", {}), node)
