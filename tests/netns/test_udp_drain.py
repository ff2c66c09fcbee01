"""UDP through a move, by engines of every kind and in mixed pairs: who speaks stays, who falls silent goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from datapath.engine import SlotState
from tests.netns import actions
from tests.netns.moves import hosts, steps, talks
from tests.netns.moves.hosts import SHARED, Pair, pair_of, put
from tests.netns.segment import VIP

pytestmark = pytest.mark.root

PAIRS = [("bpf", "nft"), ("nft", "raw"), ("raw", "bpf")]
"""each engine gives once and takes once"""
PEER = (VIP, hosts.PORT)
PACE_S = 0.02
IDLE_S = 0.4
"""the time-out of conversations"""
TALKERS, PAUSERS, EARLY, LATE = (range(at, at + 10) for at in (0, 100, 200, 300))


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    with pair_of(request.param, tmp_path) as pair:
        yield pair


def test_a_conversation_stays_while_it_talks_and_goes_when_it_has_been_silent(pair: Pair) -> None:
    old, new = pair.hosts
    client = pair.sender
    pair.segment.client.service.call(actions.start_tap)
    client.call(talks.start, PEER, PACE_S)
    client.call(talks.speak, [*TALKERS, *PAUSERS])
    time.sleep(0.2)

    hosts.prepare(old, new)
    put(old, SlotState.KEEPING_UDP)
    new.engine.call(steps.refuse, SHARED.resource, old.engine.call(steps.taken, SHARED.resource))
    put(new, SlotState.LEAVING_UDP)
    client.call(talks.speak, [*TALKERS, *PAUSERS, *EARLY])
    time.sleep(IDLE_S)

    put(old, SlotState.DRAINING)
    known = old.engine.call(steps.conversations, SHARED.resource, IDLE_S)
    assert not known.too_many
    assert len(known.slots) == len(TALKERS) + len(PAUSERS) + len(EARLY)
    new.engine.call(steps.leave, SHARED.resource, set(known.slots))
    opened_ns = put(new, SlotState.OPENING)
    client.call(talks.speak, [*TALKERS, *EARLY, *LATE])
    time.sleep(IDLE_S + 0.1)

    left = old.engine.call(steps.conversations, SHARED.resource, IDLE_S)
    assert len(left.slots) == len(TALKERS) + len(EARLY)
    new.engine.call(steps.leave, SHARED.resource, set(left.slots))
    told_ns = client.call(talks.now_ns)
    client.call(talks.speak, [*TALKERS, *PAUSERS, *EARLY, *LATE])
    time.sleep(0.2)
    closing_ns = client.call(talks.now_ns)
    hosts.finish(old, new)
    closed_ns = client.call(talks.now_ns)
    time.sleep(0.1)

    said = client.call(talks.stop)
    heard = talks.answers_on_the_wire(pair.segment.client.service.call(actions.stop_tap), PEER)
    assert {number for number, talk in said.items() if any(len(one.answers) > 1 for one in talk.values())} == set()
    assert [word for word, macs in heard.items() if len(macs) > 1] == []
    assert len(heard) > 1_000

    def answered(numbers: range, since_ns: int, until_ns: int) -> set[str]:
        """By whom; 'nobody' is among them where any datagram was lost."""
        return {
            one.answers[0] if one.answers else "nobody"
            for number in numbers
            for one in said[number].values()
            if since_ns <= one.when_ns < until_ns
        }

    assert answered(TALKERS, 0, closing_ns) == {"h1"}
    assert answered(EARLY, 0, closing_ns) == {"h1"}
    assert answered(PAUSERS, 0, opened_ns) == {"h1"}
    assert answered(PAUSERS, told_ns, closing_ns) == {"h2"}
    assert answered(LATE, opened_ns, closing_ns) == {"h2"}
    assert answered(TALKERS, closed_ns, closed_ns + 10**9) == {"h2"}
