"""Two hosts with an engine each, of any kind, and the moves of all slots between them, step by step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from datapath.engine import DatapathError, HashKind, SlotState, Taken, Wish
from datapath.mac import pack_mac
from tests.netns import actions, raw_runner
from tests.netns.engine_contract import ADDRESS, LONG_LEASE_MS, PORT
from tests.netns.inside import Inside
from tests.netns.moves import steps, storm
from tests.netns.segment import CLIENT, CLIENTS, VIP, Member, Segment

T = TypeVar("T")
MAKERS = {
    "bpf": "datapath.bpf.engine:BpfEngine",
    "nft": "datapath.nft.engine:NftEngine",
    "raw": "datapath.raw.engine:RawEngine",
}
SHARED = replace(ADDRESS, hash_kind=HashKind.SOURCEIP_SOURCEPORT)
ALL = range(SHARED.slots)
TARGET = storm.Target(pack_mac(SHARED.mac), SHARED.ip.packed, PORT)
SKEW_S = 0.01
GUARD_S = 0.000_5
SETTLE_S = 0.005
PATIENCE_S = 15.0


@dataclass
class Pair:
    kinds: tuple[str, str]
    segment: Segment
    hosts: tuple[Member, Member]
    sender: Inside
    tap: Inside


@contextmanager
def pair_of(kinds: tuple[str, str], run_dir: Path) -> Iterator[Pair]:
    """All slots are the first one's."""
    with Segment(2) as segment:
        sender, tap = Inside(segment.client.namespace), Inside(segment.client.namespace)
        try:
            for host, kind in zip(segment.hosts, kinds, strict=True):
                host.service.call(actions.serve, host.name, VIP, PORT)
                host.run("ip", "route", "add", CLIENTS, "via", CLIENT)
                here = str(run_dir / host.name)
                host.engine.call(actions.start_engine, MAKERS[kind], here)
                if kind == "raw":
                    host.service.call(raw_runner.serve, here)
                    host.engine.call(steps.await_forwarder)
                host.engine.call(actions.apply, [Wish(SHARED)])
                host.engine.call(actions.renew, LONG_LEASE_MS)
            segment.client.run("ip", "route", "add", "local", CLIENTS, "dev", "lo")
            segment.client.run("ip", "neigh", "add", VIP, "lladdr", SHARED.mac, "nud", "permanent", "dev", "eth0")
            first, second = segment.hosts
            move(first, second)  # once in peace each way: what is imported late is there then
            move(second, first)
            put(first, SlotState.OPEN)
            yield Pair(kinds, segment, (first, second), sender, tap)
        finally:
            sender.kill()
            tap.kill()
            for host, kind in zip(segment.hosts, kinds, strict=False):
                if kind == "raw":
                    host.service.call(raw_runner.unserve)


def put(host: Member, state: SlotState) -> int:
    """When it was done (CLOCK_REALTIME, ns)."""
    return host.engine.call(steps.apply, [Wish(SHARED, dict.fromkeys(ALL, state))])


def _as_often_as_it_takes(step: Callable[[], T]) -> T:
    """A forwarder that is busy does not take a table, and its engine says so."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return step()
        except DatapathError:
            if time.monotonic() >= end:
                raise


@dataclass(frozen=True)
class Moved:
    held: int
    """SYNs"""
    span: tuple[int, int]
    """from closing to opening (CLOCK_REALTIME, ns)"""


def move(old: Member, new: Member, between_s: float = 0.0) -> Moved:
    """All slots, by the steps of docs/decisions/0016-held-syns.md.

    `between_s` passes after the old owner has closed and told, as if that went into the log meanwhile.
    """
    prepare(old, new)
    closed_ns = put(old, SlotState.DRAINING)
    time.sleep(GUARD_S)
    told = old.engine.call(steps.taken, SHARED.resource)
    new.engine.call(steps.refuse, SHARED.resource, told)
    time.sleep(between_s)
    opened_ns = put(new, SlotState.OPENING)
    held = new.engine.call(steps.release, SHARED.resource)
    finish(old, new)
    return Moved(held, (closed_ns, opened_ns))


def prepare(old: Member, new: Member) -> None:
    for host in (old, new):
        host.engine.call(actions.renew, LONG_LEASE_MS)
    put(old, SlotState.NOTING)
    time.sleep(SKEW_S)
    _as_often_as_it_takes(lambda: new.engine.call(steps.listen, SHARED.resource))
    time.sleep(SKEW_S)


def hand_over(old: Member) -> Taken:
    put(old, SlotState.DRAINING)
    time.sleep(GUARD_S)
    return old.engine.call(steps.taken, SHARED.resource)


def finish(old: Member, new: Member) -> None:
    time.sleep(SETTLE_S)
    put(old, SlotState.CLOSED)
    put(new, SlotState.OPEN)
    time.sleep(SETTLE_S)


def storm_over(
    pair: Pair, rate: int, moves: int, between_s: float = 0.0, first: int = 0
) -> tuple[storm.Verdict, int]:
    """Move all slots to and fro under a storm; what became of its SYNs, and how many of them were held."""
    pair.tap.call(storm.start_answers, TARGET)
    pair.sender.call(storm.start_storm, rate, TARGET, first)
    time.sleep(0.1)
    moved = []
    for number in range(moves):
        old, new = pair.hosts if number % 2 == 0 else pair.hosts[::-1]
        moved.append(move(old, new, between_s))
    return verdict_of(pair, [one.span for one in moved]), sum(one.held for one in moved)


def verdict_of(pair: Pair, spans: Sequence[tuple[int, int]] = ()) -> storm.Verdict:
    """End the storm, and see what became of its SYNs."""
    time.sleep(0.05)
    began, sent = pair.sender.call(storm.stop_storm)
    time.sleep(0.5)
    return pair.tap.call(storm.stop_and_judge, began, sent, TARGET, spans)


def plain_moves(pair: Pair, rate: int, who: str, first: int = 0) -> storm.Verdict:
    """To and fro without telling each other anything: the old owner `closes first`, or the new one `opens first`."""
    pair.tap.call(storm.start_answers, TARGET)
    pair.sender.call(storm.start_storm, rate, TARGET, first)
    for old, new in (pair.hosts, pair.hosts[::-1]):
        time.sleep(0.05)
        steps = [(old, SlotState.DRAINING), (new, SlotState.OPENING)]
        for host, state in steps if who == "closes first" else steps[::-1]:
            put(host, state)
            time.sleep(SETTLE_S)
        finish(old, new)
    return verdict_of(pair)
