"""The figures that were asked for, beside what was measured.  Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bench.datapath.changes import Change
from bench.datapath.packets import Lane, Packets
from bench.datapath.relay import Relay
from bench.datapath.traffic import Traffic

SLOTS_AT_ONCE = 4096


@dataclass(frozen=True)
class Measured:
    """All of one run."""

    packets: Packets
    alone: dict[str, float]
    relay: dict[str, Relay]
    gigabits: Traffic
    connections: Traffic
    changes: list[Change]


@dataclass(frozen=True)
class Goal:
    text: str
    bound: float
    figure: float
    shown: str
    """how a number is written"""

    @property
    def is_met(self) -> bool:
        return self.figure <= self.bound


def goals(measured: Measured) -> list[Goal]:
    packets = measured.packets
    return [
        Goal(
            "bpf drops a foreign packet: more than a frame to another host's MAC costs the kernel",
            0.15,
            _worst(packets, packets.lanes("bpf", "drop")),
            ".1%",
        ),
        Goal(
            "bpf accepts: more than without a filter", 0.20, _worst(packets, packets.lanes("bpf", "accept")), ".1%"
        ),
        Goal(
            "nft accepts: more than without a filter", 0.40, _worst(packets, packets.lanes("nft", "accept")), ".1%"
        ),
        *(
            Goal(
                f"{change.engine} applies {SLOTS_AT_ONCE:,} slots in one transaction, ms",
                15,
                statistics.median(change.apply_ms),
                ".1f",
            )
            for change in measured.changes
            if change.slots == SLOTS_AT_ONCE
        ),
        *(
            Goal(f"throughput through {kind}: less than plain IP", 0.05, 1 - measured.gigabits.ratio(kind), ".1%")
            for kind in ("bpf", "nft")
        ),
    ]


def _worst(packets: Packets, lanes: Iterable[Lane]) -> float:
    """Over 4, 64 and 1,024 slots and both kinds of hash, of one address."""
    return max(packets.ratio(lane) for lane in lanes if lane.addresses == 1) - 1


def renewals(changes: Iterable[Change]) -> Callable[[str], tuple[float, float]]:
    """engine → (least, most) µs of a renewal over all numbers of slots and addresses."""
    known = list(changes)

    def of(engine: str) -> tuple[float, float]:
        medians = [1000 * statistics.median(one.renew_ms) for one in known if one.engine == engine]
        return min(medians), max(medians)

    return of
