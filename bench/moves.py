"""SYNs while slots move to and fro between two hosts: how many are answered by none or two, how late held ones are.

Two engines in namespaces, with all steps of a move but the log's (docs/decisions/0016-held-syns.md); then whole
daemons, whose log takes its time.  Both with cores at rest and with a busy loop on each.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.load import busy, every_core
from bench.report import Figure, Report, heading
from tests.lab import Lab
from tests.lab.service import await_status, serve_web, served, share_address, shared
from tests.netns.moves import storm
from tests.netns.moves.hosts import Pair, pair_of, storm_over
from tests.netns.moves.labstorm import LabStorm

RATES = {"bpf": 20_000, "nft": 20_000, "raw": 2_000}
"""SYNs a second; the raw engine's forwarder takes two packets for each"""
CORE_PRIORITY = 2
MOVES_A_RUN = 10
MOVES_A_STORM = 50
GOAL_MS = 5.0
NS_PER_MS = 1e6
LAB_RATE = 2_000
HELD_MS = 1.0
"""of whole daemons it is not known when they opened: what waited for longer was held"""
SETTLE_S = 0.2


def measure(report: Report, runs: int) -> None:
    for load in (0, every_core()):
        name = "both cores busy" if load else "idle"
        heading(
            f"Moves of all slots under SYNs, engines alone, {name}",
            ["none / two: SYNs that nobody or two answered"],
        )
        with busy(load):
            for engine, rate in RATES.items():
                _engines(report, engine, rate, runs * MOVES_A_RUN, name)
        heading(f"The same with whole daemons, {LAB_RATE:,} SYN/s, {name}")
        with busy(load):
            for engine in RATES:
                _daemons(report, engine, runs, name)


def _engines(report: Report, engine: str, rate: int, moves: int, load: str) -> None:
    sent = none = two = 0
    held: list[int] = []
    with tempfile.TemporaryDirectory() as room, pair_of((engine, engine), Path(room)) as pair, _in_a_hurry(pair):
        for done in range(0, moves, MOVES_A_STORM):
            verdict, _ = storm_over(pair, rate, min(MOVES_A_STORM, moves - done), first=done * rate)
            sent, none, two = sent + verdict.sent, none + len(verdict.unanswered), two + len(verdict.twice)
            held += verdict.held_ns
    label = f"{engine}, {load}"
    report.add(Figure(f"{label}: none", "SYNs", (none,)))
    report.add(Figure(f"{label}: two", "SYNs", (two,)))
    report.add(Figure(f"{label}: SYNs sent in {moves} moves", "SYNs", (sent,)))
    if held:
        waits = tuple(wait / NS_PER_MS for wait in held)
        report.add(Figure(f"{label}: a held SYN waits", "ms", waits, goal=GOAL_MS))


@contextmanager
def _in_a_hurry(pair: Pair) -> Iterator[None]:
    """Engines, and who tells them what to do, run in real-time cores; sender and tap are to keep up as well."""
    for host in pair.hosts:
        host.engine.call(storm.hurry, CORE_PRIORITY)
    for process in (pair.sender, pair.tap):
        process.call(storm.hurry, CORE_PRIORITY - 1)
    storm.hurry(CORE_PRIORITY)
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _daemons(report: Report, engine: str, runs: int, load: str) -> None:
    with Lab(hosts=2, engine=engine) as lab:
        lab.start_daemons()
        lab.await_cluster()
        share_address(lab, hash_kind="sourceip-sourceport")
        serve_web(lab)
        with LabStorm(lab, LAB_RATE) as blown:
            for _ in range(runs):
                _to_and_fro(lab)
    verdict = blown.verdict
    label = f"daemons, {engine}, {load}"
    report.add(Figure(f"{label}: none", "SYNs", (len(verdict["unanswered"]),)))
    report.add(Figure(f"{label}: two", "SYNs", (len(verdict["twice"]),)))
    report.add(Figure(f"{label}: SYNs sent in {2 * runs} moves", "SYNs", (verdict["sent"],)))
    waits = tuple(ms for wait in verdict["waits_ns"] if (ms := wait / NS_PER_MS) > HELD_MS)
    if waits:
        report.add(Figure(f"{label}: a SYN that waits over {HELD_MS:g} ms", "ms", waits, goal=GOAL_MS))


def _to_and_fro(lab: Lab) -> None:
    for command, holders in (("standby", {"a2"}), ("unstandby", {"a1", "a2"})):
        lab["a2"].vipcast(f"node {command} a1").check()
        await_status(
            lab,
            lambda status, wanted=holders: served(status) and set(shared(lab, on="a2").holders.values()) == wanted,  # type: ignore[misc]
            f"slots of {', '.join(sorted(holders))}",
            on="a2",
        )
        time.sleep(SETTLE_S)
