"""docs/performance/datapath.md and its plots."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace

from bench.datapath.goals import Measured, goals, renewals
from bench.datapath.packets import ADDRESSES, SLOTS, SLOTS_OF_MANY, Lane, Packets
from bench.datapath.traffic import AT_ONCE, FILTERS
from datapath.engine import HashKind
from tests.simulation.plotting import Curve, log_log

NAMES = {"none": "no filter", "peer": "the peer's rules", "nft": "nft", "bpf": "bpf", "raw": "raw"}
COLOURS = {
    ("none", "accept"): "#333333",
    ("none", "drop"): "#aaaaaa",
    ("peer", "accept"): "#a14f00",
    ("peer", "drop"): "#f0a860",
    ("nft", "accept"): "#1b4f8a",
    ("nft", "drop"): "#7ab8ee",
    ("bpf", "accept"): "#1f6b24",
    ("bpf", "drop"): "#7fce84",
}
IN_KERNEL = ("peer", "nft", "bpf")


def page(measured: Measured) -> str:
    packets, relay = measured.packets, measured.relay
    least, most = zip(*(renewals(measured.changes)(engine) for engine in ("bpf", "nft", "raw")), strict=True)
    sender = packets.ns(Lane("none", "send", 0, 1))
    drop = Lane("none", "drop", 0, 1)
    bare = packets.ns(drop)
    by_port = Lane("bpf", "drop", SLOTS_OF_MANY, 1, HashKind.SOURCEIP_SOURCEPORT)
    return f"""# What the engines cost

Written by `make bench-datapath`: one run, with its plots. Linux {platform.release()}, Python {
        platform.python_version()
    },
{os.cpu_count()} cores that other programs used as well, so only what stands side by side here can be compared: the
candidates were measured in turn, a burst or a second each, and a ratio is the median of the rounds' ratios.

*The peer's rules*: Pacemaker's agent of 2026 in a cluster of four, one nft rule at prerouting, priority mangle, for
each slot that the host holds. In all of it a host holds a quarter of the slots.

## Goals

{_table(["goal", "bound", "measured", ""], _goal_rows(measured))}

## A packet

ns of CPU for a UDP frame of 60 octets, on one core: the sender's call, the cable, the filter, and the receiver's
queue or the drop. Beside it the ratio to the same without a filter, which for a drop is a frame to another host's MAC
({bare:.0f} ns). The sender's part alone, to a device that drops at once, is {sender:.0f} ns of each.

{_table(["one address", *_columns(SLOTS, "slots")], _rows(packets, [(slots, 1) for slots in SLOTS]))}

![ns of CPU by slots](datapath-slots.svg)

{
        _table(
            [f"{SLOTS_OF_MANY} slots each", *_columns(ADDRESSES, "addresses")],
            _rows(packets, [(SLOTS_OF_MANY, count) for count in ADDRESSES]),
        )
    }

![ns of CPU by addresses](datapath-addresses.svg)

These hash by `sourceip`, as the peer does. By `sourceip-sourceport`, {SLOTS_OF_MANY} slots:

{_table(["", "accepted", "dropped", "not for a shared address"], _by_port_rows(packets))}

- A frame to another host's MAC is dropped where IP begins; a filter drops earlier, and of the {
        packets.ns(by_port) - bare:.0f} ns
  that bpf takes more some 60 are what the kernel takes to call a program that does nothing.
- The sender's {sender:.0f} ns are in both; without them a foreign packet costs bpf {
        _without(packets, by_port, sender):.2f} times what the frame to
  another host's MAC costs, nft {
        _without(packets, replace(by_port, filter="nft"), sender):.2f} times; one that is accepted {
        _without(packets, replace(by_port, what="accept"), sender):.2f} and {
        _without(packets, replace(by_port, filter="nft", what="accept"), sender):.2f} times what it costs without
  a filter. The goals are of the whole way, sender and receiver on one core.
- The program alone (BPF_PROG_TEST_RUN): accepted {measured.alone["accept"]:.0f} ns, foreign {
        measured.alone["drop"]:.0f}, not ours {measured.alone["pass"]:.0f}; of
  these {measured.alone["too short to look at"]:.0f} are the kernel's own for a packet that is too short to look at.
- With many addresses every engine, and the kernel without one, pays for what no longer fits into the cache: each
  burst of 512 frames goes to as many of the addresses as it can.
- **raw** works in a process of its own: {
        relay["accept"].forwarder_ns:,.0f} ns of the forwarder's CPU for a packet that it accepts and
  {relay["drop"].forwarder_ns:,.0f} for one that it drops, besides {relay["accept"].kernel_ns:,.0f} and {
        relay["drop"].kernel_ns:,.0f} of the sender and the packet socket.

## Through the address

A client and a host, all slots on the host; *no filter* is a plain address.

{
        _table(
            ["", "iperf3, Gbit/s", "of plain IP", f"HTTP connections/s (Apache, {AT_ONCE} at once)", "of plain IP"],
            _traffic_rows(measured),
        )
    }

## Slots and leases

CPU of the daemon's core, kernel included, to open all slots of an address in one transaction, and to renew the lease of
the whole host; for raw, what its forwarder does besides is not in it.

{_table(["", "slots × addresses", "apply, ms", "renew, µs", "kernel memory, KiB"], _change_rows(measured))}

- A renewal is one write, whatever stands under the lease: bpf {_span(least[0], most[0])} µs, nft {
        _span(least[1], most[1])
    }, raw {_span(least[2], most[2])}.
- Most of bpf's memory is for SYNs: tables of 65,536 entries stand ready for moves and for cookies, however few slots
  there are. raw has its table in a file that it shares with its forwarder.
"""


def plot(packets: Packets, which: str) -> str:
    """By `slots` or by `addresses`."""
    curves = []
    for kind in IN_KERNEL:
        for what, dashes in (("accept", "accepted"), ("drop", "dropped")):
            lanes = [lane for lane in packets.lanes(kind, what) if _is_on(lane, which)]
            lanes.sort(key=lambda lane: lane.addresses if which == "addresses" else lane.slots)
            xs = [lane.addresses if which == "addresses" else lane.slots for lane in lanes]
            name = f"{NAMES[kind]}, {dashes}"
            curves.append(Curve(name, xs, [packets.ns(lane) for lane in lanes], COLOURS[kind, what]))
    across = curves[0].xs
    for what, name in (("accept", "no filter, accepted"), ("drop", "another host's MAC, dropped")):
        curves.append(
            Curve(name, across, [packets.ns(Lane("none", what, 0, 1))] * len(across), COLOURS["none", what])
        )
    return log_log(f"ns of CPU for a packet, by {which}", curves)


def _is_on(lane: Lane, which: str) -> bool:
    if lane.kind is not HashKind.SOURCEIP:
        return False
    return lane.slots == SLOTS_OF_MANY if which == "addresses" else lane.addresses == 1


def _goal_rows(measured: Measured) -> Iterable[Sequence[str]]:
    for goal in goals(measured):
        figures = (format(value, goal.shown) for value in (goal.bound, goal.figure))
        yield [goal.text, *figures, "met" if goal.is_met else "**missed**"]


def _columns(counts: Iterable[int], what: str) -> list[str]:
    return [f"{count:,} {what}" if count > 1 else f"1 {what.removesuffix('es')}" for count in counts]


def _rows(packets: Packets, shapes: Sequence[tuple[int, int]]) -> Iterable[Sequence[str]]:
    for what, named in (("accept", "accepted"), ("drop", "dropped")):
        bare = [
            Lane(kind, what, slots, count).peer for kind, (slots, count) in zip(["none"] * 9, shapes, strict=False)
        ]
        yield [f"{named}: no filter", *(f"{packets.ns(lane):,.0f}" for lane in bare)]
        for kind in IN_KERNEL:
            lanes = [Lane(kind, what, slots, count) for slots, count in shapes]
            yield [f"{named}: {NAMES[kind]}", *(_cell(packets, lane) for lane in lanes)]


def _by_port_rows(packets: Packets) -> Iterable[Sequence[str]]:
    bare = [packets.ns(Lane("none", what, 0, 1)) for what in ("accept", "drop", "pass")]
    yield [NAMES["none"], *(f"{ns:,.0f}" for ns in bare)]
    for kind in ("nft", "bpf"):
        judged = [Lane(kind, what, SLOTS_OF_MANY, 1, HashKind.SOURCEIP_SOURCEPORT) for what in ("accept", "drop")]
        yield [kind, *(_cell(packets, lane) for lane in (*judged, Lane(kind, "pass", SLOTS_OF_MANY, 1)))]


def _cell(packets: Packets, lane: Lane) -> str:
    return f"{packets.ns(lane):,.0f} · {packets.ratio(lane):.2f}"


def _traffic_rows(measured: Measured) -> Iterable[Sequence[str]]:
    for kind in FILTERS:
        cells = [NAMES[kind]]
        for traffic, digits in ((measured.gigabits, 1), (measured.connections, 0)):
            cells += [f"{traffic.of(kind):,.{digits}f}", f"{traffic.ratio(kind):.3f}"]
        yield cells


def _change_rows(measured: Measured) -> Iterable[Sequence[str]]:
    for change in measured.changes:
        yield [
            change.engine,
            f"{change.slots:,} × {change.addresses}",
            f"{statistics.median(change.apply_ms):.2f}",
            f"{1000 * statistics.median(change.renew_ms):.1f}",
            f"{change.memory_bytes / 1024:,.0f}",
        ]


def _without(packets: Packets, lane: Lane, sender_ns: float) -> float:
    """Ratio of what is left when the sender's part is taken off both."""
    return (packets.ns(lane) - sender_ns) / (packets.ns(lane.peer) - sender_ns)


def _span(least: float, most: float) -> str:
    return f"{least:.1f} to {most:.1f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
