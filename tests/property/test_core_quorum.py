"""Majorities, enumerated: whatever the voters, two quorums meet."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.cluster.core import quorum

names = st.sampled_from("abcdefg")
voters = st.frozensets(names, min_size=1, max_size=7)
values = st.dictionaries(names, st.integers(0, 50))


@settings(deadline=None)
@given(voters)
def test_any_two_quorums_meet(voters: frozenset[str]) -> None:
    subsets = [set(c) for size in range(len(voters) + 1) for c in combinations(sorted(voters), size)]
    quorums = [subset for subset in subsets if quorum.is_quorum(subset, voters)]
    assert quorums
    assert all(a & b for a in quorums for b in quorums)


@settings(deadline=None)
@given(voters, names)
def test_voters_that_differ_by_one_have_quorums_that_meet(voters: frozenset[str], name: str) -> None:
    changed = voters ^ {name}
    if changed:
        everybody = sorted(voters | changed)
        subsets = [set(c) for size in range(len(everybody) + 1) for c in combinations(everybody, size)]
        before = [subset for subset in subsets if quorum.is_quorum(subset, voters)]
        after = [subset for subset in subsets if quorum.is_quorum(subset, changed)]
        assert all(a & b for a in before for b in after)


@settings(deadline=None)
@given(values, voters)
def test_what_is_reached_is_reached_by_a_quorum_and_nothing_higher_is(
    values: dict[str, int], voters: frozenset[str]
) -> None:
    def reach(value: int) -> bool:
        return quorum.is_quorum({name for name, own in values.items() if own >= value}, voters)

    reached = quorum.reached(values, voters)
    if reached is None:
        assert not reach(0)
    else:
        assert reach(reached)
        assert not reach(reached + 1)


@settings(deadline=None)
@given(values, voters)
def test_the_soonest_time_is_when_a_quorum_waits_no_more(values: dict[str, int], voters: frozenset[str]) -> None:
    soonest = quorum.soonest(values, voters)
    waiting = {name for name, wait in values.items() if soonest is not None and wait <= soonest}
    assert (soonest is not None) == quorum.is_quorum(set(values), voters)
    assert soonest is None or quorum.is_quorum(waiting, voters)
