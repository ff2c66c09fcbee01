"""The nft engine keeps its deadline by the wall clock: where that is set, the lease is written anew at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from datapath.engine import SlotState, Wish
from tests.netns.clock_actions import deadlines_around_a_step
from tests.netns.engine_contract import ADDRESS
from tests.netns.segment import Segment

pytestmark = pytest.mark.root

LEASE_MS = 60_000
TICK_NS = 20_000_000


@pytest.mark.parametrize("step_ms", [30_000, -30_000], ids=["forward", "backward"])
def test_a_stepped_clock_neither_shortens_a_lease_for_long_nor_prolongs_it(tmp_path: Path, step_ms: int) -> None:
    wish = Wish(ADDRESS, {0: SlotState.OPEN})
    with Segment(1) as segment:
        own, stepped, told = segment.hosts[0].engine.call(
            deadlines_around_a_step, str(tmp_path), wish, LEASE_MS, step_ms
        )
    assert stepped <= own + TICK_NS
    if step_ms > 0:
        assert stepped < own - TICK_NS, "forward: the rules would fall silent early"
    assert abs(told - own) <= TICK_NS
