"""The replicated state as bytes: the body of a snapshot.

    "vipcast state 1\\n" · crc32 of the rest (4 bytes, big endian) · msgpack of `Frozen`

Nodes that have applied the same entries write the same bytes: every table is sorted by its key, and the configuration
is the JSON that the newest accepted edit came with, not dumped anew (which would also take 50 ms for thousands of
resources).  What follows from the rest by calculation, the plan, is not in it, only the time that it was made for.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable
from operator import attrgetter
from typing import TypeVar

import msgspec

from daemon.scheduler.drained import Drained
from daemon.scheduler.view import OperationView
from daemon.state.addresses import SlotDriven
from daemon.state.edits import EditRecord
from daemon.state.excerpts import Excerpt
from daemon.state.nodes import NodeState
from daemon.state.results import Results
from daemon.state.slots import Phase, Slot
from daemon.state.started import Origin, Started
from daemon.state.tickets import Tickets

FORMAT = b"vipcast state 1\n"
FAMILY = b"vipcast state "
CRC_BYTES = 4


class ThawError(ValueError):
    """Bytes that no state can be made of; the sentence says why."""


NodeRow = tuple[str, bool, int, int, str, bool, bool, bool]
SlotRow = tuple[int, str, int, str, str | None, bool]
OperationRow = tuple[str, str, str, int, int, str, int, int, int, str, str]
DrainRow = tuple[str, str, int, int]
"""node, address, slot as in `Drained.key`; since when"""
OriginRow = tuple[str, str, str, str | None, int | None]


class InForce(msgspec.Struct, array_like=True, frozen=True):
    """A `SlotDriven` with its parameters in the order of their names."""

    address: str
    clone: str
    slots: int
    mapping: str
    parameters: list[tuple[str, str]]


class Frozen(msgspec.Struct, array_like=True, frozen=True):
    """Everything that `State.apply` depends on, field by field as in `State`."""

    index: int
    now_ms: int
    planned_ms: int
    members: list[str]
    witnesses: list[str]
    rostered: bool
    configuration: bytes
    configuration_epoch: int
    nodes: list[NodeRow]
    slots: list[tuple[str, list[SlotRow]]]
    ready: list[tuple[str, list[str]]]
    in_force: list[InForce]
    refusals: list[tuple[str, str, str]]
    operations: list[OperationRow]
    failures: list[tuple[str, str, int]]
    last_failures: list[tuple[str, str, int]]
    tickets: list[tuple[str, int, list[int]]]
    """origin, incarnation, in the order in which they were seen"""
    excerpts: list[bytes]
    """each once; the two below name them by their place here"""
    origins: list[OriginRow]
    former: list[list[tuple[str, int]]]
    edits: list[EditRecord]
    since: list[tuple[str, int]] = []
    """node → since when it is admitted; former versions wrote none"""
    drains: list[DrainRow] = []
    """former versions wrote none"""
    homes: list[tuple[str, str]] = []
    """former versions wrote none"""


V = TypeVar("V")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Frozen).decode


def encode(frozen: Frozen) -> bytes:
    body = _encode(frozen)
    return b"".join((FORMAT, zlib.crc32(body).to_bytes(CRC_BYTES, "big"), body))


def decode(data: bytes) -> Frozen:
    """Raises ThawError for bytes of another format, and for damaged ones."""
    if not data.startswith(FORMAT):
        if data.startswith(FAMILY):
            named = data[: data.find(b"\n", 0, 64)].decode("ascii", "replace")
            raise ThawError(
                f"the state is written as '{named}', and this vipcast reads '{FORMAT.decode().strip()}': "
                "use the version that wrote it, or a newer one"
            )
        raise ThawError("these bytes are no state of vipcast")
    checksum, body = data[len(FORMAT) : len(FORMAT) + CRC_BYTES], memoryview(data)[len(FORMAT) + CRC_BYTES :]
    if zlib.crc32(body).to_bytes(CRC_BYTES, "big") != checksum:
        raise ThawError(f"the state is damaged: its checksum does not fit its {len(body)} bytes")
    try:
        return _decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as problem:
        raise ThawError(f"the state cannot be read: {problem}") from problem


# ---- tables and their rows

_node_row = attrgetter(
    "name", "admitted", "incarnation", "epoch", "kernel_boot_id", "leaving", "restarting", "removing"
)
_operation_row = attrgetter(
    "node",
    "instance",
    "operation",
    "interval_ms",
    "exit_code",
    "status",
    "expected",
    "serial",
    "stamp_ms",
    "definition",
    "reason",
)


def nodes_frozen(nodes: dict[str, NodeState]) -> list[NodeRow]:
    return [_node_row(node) for _, node in sorted(nodes.items())]


def nodes_thawed(rows: Iterable[NodeRow]) -> dict[str, NodeState]:
    return {row[0]: NodeState(*row) for row in rows}


def since_frozen(nodes: dict[str, NodeState]) -> list[tuple[str, int]]:
    return [(name, node.since_ms) for name, node in sorted(nodes.items()) if node.since_ms]


def since_thawed(nodes: dict[str, NodeState], rows: Iterable[tuple[str, int]]) -> None:
    for name, since_ms in rows:
        if name in nodes:
            nodes[name].since_ms = since_ms


def drains_frozen(drains: dict[Drained, int]) -> list[DrainRow]:
    return sorted((*drain.key, since_ms) for drain, since_ms in drains.items())


def drains_thawed(rows: Iterable[DrainRow]) -> dict[Drained, int]:
    return {
        Drained(node or None, address or None, slot if slot >= 0 else None): since_ms
        for node, address, slot, since_ms in rows
    }


def slots_frozen(slots: dict[str, dict[int, Slot]]) -> list[tuple[str, list[SlotRow]]]:
    return [
        (
            address,
            [(n, s.holder, s.generation, s.phase.value, s.successor, s.opened) for n, s in sorted(held.items())],
        )
        for address, held in sorted(slots.items())
    ]


def slots_thawed(rows: Iterable[tuple[str, list[SlotRow]]]) -> dict[str, dict[int, Slot]]:
    return {
        address: {
            number: Slot(holder, generation, Phase(phase), successor, opened)
            for number, holder, generation, phase, successor, opened in held
        }
        for address, held in rows
    }


def in_force_frozen(in_force: dict[str, SlotDriven]) -> list[InForce]:
    return [
        InForce(d.address, d.clone, d.slots, d.mapping, sorted(d.parameters.items()))
        for _, d in sorted(in_force.items())
    ]


def in_force_thawed(rows: Iterable[InForce]) -> dict[str, SlotDriven]:
    return {r.address: SlotDriven(r.address, r.clone, r.slots, r.mapping, dict(r.parameters)) for r in rows}


def operations_frozen(results: Results) -> list[OperationRow]:
    return [_operation_row(results.operations[key]) for key in sorted(results.operations)]


def results_thawed(frozen: Frozen) -> Results:
    operations = [OperationView(*row) for row in frozen.operations]
    return Results(
        {(o.node, o.instance, o.operation, o.interval_ms): o for o in operations},
        pairs_thawed(frozen.failures),
        pairs_thawed(frozen.last_failures),
    )


def pairs_frozen(table: dict[tuple[str, str], V]) -> list[tuple[str, str, V]]:
    return [(*key, value) for key, value in sorted(table.items())]


def pairs_thawed(rows: Iterable[tuple[str, str, V]]) -> dict[tuple[str, str], V]:
    return {(one, other): value for one, other, value in rows}


def tickets_frozen(tickets: Tickets) -> list[tuple[str, int, list[int]]]:
    return [(*key, list(order)) for key, (_, order) in sorted(tickets.seen.items())]


def tickets_thawed(rows: Iterable[tuple[str, int, list[int]]]) -> Tickets:
    return Tickets({(origin, incarnation): (set(order), deque(order)) for origin, incarnation, order in rows})


def started_frozen(started: Started) -> tuple[list[bytes], list[OriginRow], list[list[tuple[str, int]]]]:
    """(excerpts, origins, former)"""
    places: dict[bytes, int] = {}

    def place(excerpt: Excerpt) -> int:
        return places.setdefault(excerpt.encoded, len(places))

    origins: list[OriginRow] = [
        (node, instance, o.definition, o.ip, None if o.excerpt is None else place(o.excerpt))
        for (node, instance), o in sorted(started.origins.items())
    ]
    former = [[(name, place(e)) for name, e in sorted(changed.items())] for changed in started.former]
    return list(places), origins, former


def started_thawed(frozen: Frozen) -> Started:
    excerpts = [Excerpt.decode(encoded) for encoded in frozen.excerpts]
    started = Started()
    for node, instance, definition, ip, place in frozen.origins:
        started.origins[node, instance] = Origin(definition, ip, None if place is None else excerpts[place])
    for changed in frozen.former:
        started.former.append({name: excerpts[place] for name, place in changed})
    return started
