"""What is drained, and how far it is."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.cli.layout.resources import Paint, plain
from daemon.control.schema import AddressStatus, DrainStatus, SlotStatus, StatusDocument

SLOTS_LISTED_MAX = 32
"""more draining slots of an address are only counted"""


def drains(document: StatusDocument, paint: Paint = plain) -> Iterator[str]:
    """The paragraph of `vipcast status`; nothing where nothing is drained."""
    if document.drains:
        yield ""
        yield "Drained:"
    for drain in document.drains:
        yield paint(f"* {told(drain)}", "moving")


def drains_in_full(document: StatusDocument, paint: Paint = plain) -> Iterator[str]:
    """`vipcast drain status`: also each slot that drains, for whatever reason."""
    if not document.drains:
        yield "Nothing is drained"
    for drain in document.drains:
        yield paint(told(drain), "moving" if drain.slots_left else "good")
    for address in document.addresses:
        yield from _moving(address)


def told(drain: DrainStatus) -> str:
    """`a2 drains: 3 slots left, 12 connections, 2 UDP conversations, 48 s until they are broken`; `a2 is drained`."""
    name = _name(drain)
    if not drain.slots_left:
        return f"{name} is drained"
    parts = [_count(drain.slots_left, "slot") + " left"]
    parts += _waits_for(drain.flows_left, drain.udp_left, drain.drain_left_ms)
    return f"{name} drains: {', '.join(parts)}"


def words(drain: DrainStatus) -> str:
    """What follows `vipcast drain` and `vipcast undrain`."""
    if drain.address is None:
        return f"node {drain.node}"
    node = f" {drain.node}" if drain.node is not None else ""
    return (
        f"slot {drain.address}:{drain.slot}{node}" if drain.slot is not None else f"address {drain.address}{node}"
    )


def waiting(slot: SlotStatus) -> str:
    """`, 12 connections, 48 s until they are broken`; empty where nothing is known."""
    return "".join(f", {part}" for part in _waits_for(slot.flows_left, slot.udp_left, slot.drain_left_ms))


def _moving(address: AddressStatus) -> Iterator[str]:
    moving = [slot for slot in address.slots if slot.phase in {"draining", "opening"}]
    for slot in moving[:SLOTS_LISTED_MAX]:
        to = f"to {slot.successor}" if slot.successor is not None else "to nobody"
        yield f"  slot {address.id}:{slot.slot} from {slot.holder} {to} ({slot.phase}){waiting(slot)}"
    if len(moving) > SLOTS_LISTED_MAX:
        yield f"  and {len(moving) - SLOTS_LISTED_MAX} more slots of {address.id}"


def _name(drain: DrainStatus) -> str:
    if drain.address is None:
        return drain.node or "everything"
    what = drain.address if drain.slot is None else f"slot {drain.address}:{drain.slot}"
    return what if drain.node is None else f"{what} on {drain.node}"


def _waits_for(flows: int | None, talks: int | None, left_ms: int | None) -> Iterator[str]:
    if flows is not None:
        yield _count(flows, "connection")
    if talks:
        yield _count(talks, "UDP conversation")
    left = (flows or 0) + (talks or 0)
    if left and left_ms is not None:
        yield f"{left_ms / 1000:.0f} s until {'it is' if left == 1 else 'they are'} broken"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
