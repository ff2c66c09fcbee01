"""Majorities, enumerated: whatever the electorate, two quorums meet, also over any change that the steward makes."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.cluster.core import quorum
from daemon.cluster.core.quorum import VOTERS_MAX, Electorate, intersects

EVERYBODY = "abcdefgh"
names = st.sampled_from(EVERYBODY[:7])
values = st.dictionaries(names, st.integers(0, 50))


@st.composite
def electorates(draw: st.DrawFn) -> Electorate:
    voters = draw(st.frozensets(names, min_size=1, max_size=VOTERS_MAX))
    return Electorate(voters, draw(st.sampled_from(["", *sorted(voters)])))


def quorums(electorate: Electorate) -> list[set[str]]:
    everybody = sorted(electorate.voters)
    subsets = [set(some) for size in range(len(everybody) + 1) for some in combinations(everybody, size)]
    return [subset for subset in subsets if quorum.is_quorum(subset, electorate)]


@settings(deadline=None)
@given(electorates())
def test_any_two_quorums_meet(electorate: Electorate) -> None:
    found = quorums(electorate)
    assert found
    assert all(a & b for a in found for b in found)


@settings(deadline=None)
@given(electorates(), electorates())
def test_intersects_says_whether_quorums_of_two_electorates_meet(one: Electorate, other: Electorate) -> None:
    assert intersects(one, other) == all(a & b for a in quorums(one) for b in quorums(other))


@pytest.mark.parametrize("count", range(1, VOTERS_MAX + 1))
def test_electorates_that_differ_by_one_plain_vote_may_follow_each_other(count: int) -> None:
    few, more = Electorate(frozenset(EVERYBODY[:count])), Electorate(frozenset(EVERYBODY[: count + 1]))
    assert intersects(few, more)
    assert intersects(more, few)


@pytest.mark.parametrize("count", range(2, VOTERS_MAX + 1))
def test_a_tie_breaker_may_be_switched_on_and_off_while_the_voters_stay(count: int) -> None:
    voters = frozenset(EVERYBODY[:count])
    assert intersects(Electorate(voters), Electorate(voters, "a"))
    assert intersects(Electorate(voters, "a"), Electorate(voters))


@pytest.mark.parametrize("count", [2, 4, 6])
def test_a_tie_breaker_may_not_move_directly(count: int) -> None:
    voters = frozenset(EVERYBODY[:count])
    assert not intersects(Electorate(voters, "a"), Electorate(voters, "b"))


def test_a_vote_may_not_be_added_beside_a_tie_breaker() -> None:
    """{a} decides for a and b; of a, b and c, b and c decide without it."""
    assert not intersects(Electorate(frozenset("ab"), "a"), Electorate(frozenset("abc")))


def test_the_other_of_two_may_be_removed_by_the_one_that_breaks_ties() -> None:
    assert intersects(Electorate(frozenset("ab"), "a"), Electorate(frozenset("a")))


def test_two_votes_at_once_may_not_be_added() -> None:
    assert not intersects(Electorate(frozenset("a")), Electorate(frozenset("abc")))


@pytest.mark.parametrize("count", [1, 3, 5, 7])
def test_an_odd_number_has_no_ties_to_break(count: int) -> None:
    voters = frozenset(EVERYBODY[:count])
    assert quorums(Electorate(voters, "a")) == quorums(Electorate(voters))


@settings(deadline=None)
@given(values, electorates())
def test_what_is_reached_is_reached_by_a_quorum_and_nothing_higher_is(
    values: dict[str, int], electorate: Electorate
) -> None:
    def reach(value: int) -> bool:
        return quorum.is_quorum({name for name, own in values.items() if own >= value}, electorate)

    reached = quorum.reached(values, electorate)
    if reached is None:
        assert not reach(0)
    else:
        assert reach(reached)
        assert not reach(reached + 1)


@settings(deadline=None)
@given(values, electorates())
def test_the_soonest_time_is_when_a_quorum_waits_no_more(values: dict[str, int], electorate: Electorate) -> None:
    soonest = quorum.soonest(values, electorate)
    waiting = {name for name, wait in values.items() if soonest is not None and wait <= soonest}
    assert (soonest is not None) == quorum.is_quorum(set(values), electorate)
    assert soonest is None or quorum.is_quorum(waiting, electorate)
