"""Each SYN that arrives while slots move is answered exactly once, by engines of every kind and in every pair."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from datapath.engine import SlotState
from tests.netns import actions, raw_runner
from tests.netns.moves import steps, storm
from tests.netns.moves.hosts import (
    SHARED,
    TARGET,
    Pair,
    pair_of,
    plain_moves,
    prepare,
    put,
    storm_over,
    verdict_of,
)

pytestmark = pytest.mark.root

KINDS = ("bpf", "nft", "raw")
PAIRS = [(old, new) for old in KINDS for new in KINDS]
RATE, MOVES = 5_000, 20
RAW_RATE, RAW_MOVES = 500, 10
"""what an ordinary process can follow while other tests run beside"""


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    with pair_of(request.param, tmp_path) as pair:
        yield pair


def test_each_syn_that_arrives_during_a_move_is_answered_exactly_once(pair: Pair) -> None:
    rate, moves = (RAW_RATE, RAW_MOVES) if "raw" in pair.kinds else (RATE, MOVES)
    verdict, held = storm_over(pair, rate, moves, between_s=0.003)
    assert held > 0, "no SYN came between closing and opening: nothing was tried"
    assert verdict.unanswered == []
    assert verdict.twice == []
    assert verdict.strange == 0


@pytest.mark.parametrize("pair", [("bpf", "raw"), ("raw", "nft"), ("raw", "raw")], ids="-".join, indirect=True)
def test_a_forwarder_that_is_stopped_for_moments_loses_no_syn_of_a_move_and_doubles_none(pair: Pair) -> None:
    """On a busy machine it misses tables that come while it waits for a processor."""
    stumbling = [host for host, kind in zip(pair.hosts, pair.kinds, strict=True) if kind == "raw"]
    for seed, host in enumerate(stumbling):
        host.service.call(raw_runner.stumble, seed)
    try:
        verdict, held = storm_over(pair, RAW_RATE, 2 * RAW_MOVES, between_s=0.003)
    finally:
        for host in stumbling:
            host.service.call(raw_runner.walk)
    assert held > 0
    assert verdict.unanswered == []
    assert verdict.twice == []


@pytest.mark.parametrize("pair", [(kind, kind) for kind in KINDS], ids="-".join, indirect=True)
def test_nothing_that_was_held_comes_in_once_the_lease_is_over(pair: Pair) -> None:
    """A host that was stopped finds its queue full of SYNs, which others have answered meanwhile."""
    old, new = pair.hosts
    pair.tap.call(storm.start_answers, TARGET)
    pair.sender.call(storm.start_storm, RAW_RATE, TARGET, 0)
    prepare(old, new)
    closed_ns = put(old, SlotState.DRAINING)
    new.engine.call(steps.refuse, SHARED.resource, old.engine.call(steps.taken, SHARED.resource))
    time.sleep(0.1)
    new.engine.call(actions.renew, -1)
    put(new, SlotState.OPENING)
    new.engine.call(steps.release, SHARED.resource)
    verdict = verdict_of(pair, [(closed_ns, time.time_ns())])
    assert len(verdict.unanswered) > RAW_RATE // 20, "those since the old owner closed"
    assert verdict.waits_ns, "those before"
    assert verdict.held_ns == []


def test_the_storm_shows_what_a_move_without_it_costs(tmp_path: Path) -> None:
    """Else a count of nothing would mean nothing."""
    with pair_of(("bpf", "bpf"), tmp_path) as pair:
        gap, overlap = (
            plain_moves(pair, RATE, "closes first"),
            plain_moves(pair, RATE, "opens first", first=100_000),
        )
    assert gap.unanswered
    assert not gap.twice
    assert overlap.twice
    assert not overlap.unanswered
