"""What change of the roster comes next (`steward`): one vote at a time, and nothing that could not be committed."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product

import msgspec
import pytest

from daemon.cluster.core.quorum import VOTERS_MAX, intersects, is_quorum
from daemon.cluster.core.rosters import electorate_of
from daemon.cluster.core.steward import REMOVED_MAX, Applicant, Situation, next_change
from daemon.cluster.records import Member, Roster


def store(name: str) -> str:
    return f"store of {name}"


def roster(voters: str, learners: str = "", tie_breaker: str = "") -> Roster:
    members = [Member(name, store(name), name in voters) for name in voters + learners]
    return Roster(tuple(members), (), tie_breaker)


def all_is_well(names: str, leader: str = "a") -> Situation:
    others = frozenset(names) - {leader}
    return Situation(leader, {name: store(name) for name in names}, caught_up=others)


def without(situation: Situation, *names: str) -> Situation:
    """They are not connected."""
    stores = {name: own for name, own in situation.stores.items() if name not in names}
    return replace(situation, stores=stores, caught_up=situation.caught_up - set(names))


def voters(change: Roster | None) -> str:
    assert change is not None
    return "".join(sorted(member.name for member in change.members if member.votes))


def changes(now: Roster, situation: Situation) -> list[Roster]:
    """All that follow, each committed before the next one."""
    done: list[Roster] = []
    while (change := next_change(now, situation)) is not None:
        assert len(done) < 40, "it never ends"
        done.append(change)
        now = change
    return done


def test_where_all_is_as_it_should_be_nothing_changes() -> None:
    assert next_change(roster("abc"), all_is_well("abc")) is None


# --- joining


def test_who_asks_to_join_learns_first_and_votes_once_it_has_caught_up() -> None:
    situation = replace(all_is_well("ab"), applicants=(Applicant("c", store("c")),))
    joined = next_change(roster("ab"), situation)
    assert joined is not None
    assert joined.members[-1] == Member("c", store("c"), votes=False)
    assert next_change(joined, all_is_well("ab")) is None
    assert voters(next_change(joined, all_is_well("abc"))) == "abc"


def test_at_most_seven_vote() -> None:
    names = "abcdefghi"
    assert voters(changes(roster("abcde", "fghi"), all_is_well(names))[-1]) == "abcdefg"
    assert VOTERS_MAX == 7


def test_a_store_that_was_removed_does_not_join_again_but_another_one_does() -> None:
    now = msgspec.structs.replace(roster("ab"), removed=(("c", store("c")),))
    again, new = Applicant("c", store("c")), Applicant("c", "another store")
    assert next_change(now, replace(all_is_well("ab"), applicants=(again,))) is None
    assert next_change(now, replace(all_is_well("ab"), applicants=(new,))) is not None


def test_a_learner_with_another_store_than_the_roster_has_is_not_promoted() -> None:
    situation = all_is_well("abc")
    situation = replace(situation, stores={**situation.stores, "c": "another store"})
    learner = next_change(roster("ab", "c"), situation)
    assert learner is not None
    assert learner.members[-1] == Member("c", "another store", votes=False)


# --- stores, rule 21


def test_a_voter_whose_store_was_lost_learns_and_then_votes_as_another_one() -> None:
    situation = all_is_well("abc")
    situation = replace(situation, stores={**situation.stores, "b": "new"}, caught_up=frozenset("c"))
    first = next_change(roster("abc"), situation)
    assert voters(first) == "ac"
    assert first is not None
    assert Member("b", "new", votes=False) in first.members
    second = next_change(first, replace(situation, caught_up=frozenset("bc")))
    assert voters(second) == "abc"


def test_the_founding_list_is_written_down_with_the_stores_that_are_recorded() -> None:
    founding = Roster(tuple(Member(name, "", True) for name in "abc"))
    situation = replace(
        all_is_well("abc"), recorded={name: store(name) for name in "abc"}, applicants=(Applicant("d", store("d")),)
    )
    change = next_change(founding, situation)
    assert change is not None
    assert [member.store_id for member in change.members] == [store(name) for name in "abcd"]


def test_no_roster_is_written_for_a_voter_that_was_never_there_unless_it_is_the_one_to_go() -> None:
    founding = Roster(tuple(Member(name, "", True) for name in "abc"))
    situation = replace(without(all_is_well("abc"), "c"), recorded={"a": store("a"), "b": store("b")})
    assert next_change(founding, replace(situation, applicants=(Applicant("d", store("d")),))) is None
    assert voters(next_change(founding, replace(situation, retired=frozenset("c")))) == "ab"


# --- going


def test_who_is_retired_is_removed_and_its_store_is_remembered() -> None:
    change = next_change(roster("abc"), replace(all_is_well("abc"), retired=frozenset("b")))
    assert voters(change) == "ac"
    assert change is not None
    assert change.removed == (("b", store("b")),)


def test_a_leader_does_not_remove_itself() -> None:
    assert next_change(roster("abc"), replace(all_is_well("abc"), retired=frozenset("a"))) is None


def test_a_dead_voter_is_removed_by_a_quorum_of_the_rest() -> None:
    change = next_change(roster("abc"), replace(without(all_is_well("abc"), "c"), retired=frozenset("c")))
    assert voters(change) == "ab"


def test_only_so_many_removed_stores_are_remembered() -> None:
    removed = tuple((f"x{number}", "store") for number in range(REMOVED_MAX))
    now = msgspec.structs.replace(roster("abc"), removed=removed)
    change = next_change(now, replace(all_is_well("abc"), retired=frozenset("b")))
    assert change is not None
    assert len(change.removed) == REMOVED_MAX
    assert change.removed[-1] == ("b", store("b"))


def test_a_voter_that_is_gone_for_long_makes_room_where_there_is_a_learner() -> None:
    names = "abcdefgh"
    gone = replace(without(all_is_well(names), "c"), absent=frozenset("c"))
    done = changes(roster("abcdefg", "h"), gone)
    assert [voters(change) for change in done] == ["abdefg", "abdefgh"]
    assert next_change(roster("abcdefg"), replace(gone, stores={}, caught_up=frozenset("bdefg"))) is None


# --- the tie-breaker, rule 22


def test_the_tie_breaker_is_switched_on_and_off() -> None:
    wished = replace(all_is_well("ab"), tie_breaker="b")
    on = next_change(roster("ab"), wished)
    assert on is not None
    assert on.tie_breaker == "b"
    off = next_change(on, replace(wished, tie_breaker=""))
    assert off is not None
    assert off.tie_breaker == ""


def test_the_tie_breaker_is_never_moved_directly() -> None:
    now = roster("ab", tie_breaker="a")
    done = changes(now, replace(all_is_well("ab"), tie_breaker="b"))
    assert [change.tie_breaker for change in done] == ["", "b"]


def test_a_third_voter_comes_where_the_tie_breaker_has_given_up_its_vote() -> None:
    done = changes(roster("ab", "c", tie_breaker="a"), replace(all_is_well("abc"), tie_breaker="a"))
    assert [(voters(change), change.tie_breaker) for change in done] == [("ab", ""), ("abc", ""), ("abc", "a")]


def test_the_tie_breaker_keeps_its_vote_while_it_decides_alone() -> None:
    """Without it the roster would need the dead one, and nobody could ever take that back."""
    situation = without(all_is_well("abc"), "b")
    assert next_change(roster("ab", "c", tie_breaker="a"), replace(situation, tie_breaker="a")) is None


def test_whoever_is_gone_gives_way_to_the_third_without_the_tie_breaker_s_help() -> None:
    situation = replace(without(all_is_well("abc"), "b"), tie_breaker="a", absent=frozenset("b"))
    done = changes(roster("ab", "c", tie_breaker="a"), situation)
    assert [voters(change) for change in done] == ["a", "ac"]


def test_the_tie_breaker_waits_while_what_it_was_switched_off_for_is_only_a_moment_away() -> None:
    """Whoever leaves or learns is quicker with its disk than the others: the two would take turns for ever."""
    wished = replace(all_is_well("abc"), tie_breaker="a", nearly=frozenset("bc"))
    leaving = replace(wished, retired=frozenset("c"), caught_up=frozenset("c"))
    assert next_change(roster("abc"), leaving) is None
    learning = replace(wished, caught_up=frozenset("b"))
    assert next_change(roster("ab", "c"), learning) is None
    on = next_change(roster("ab", "c"), replace(learning, nearly=frozenset("b")))
    assert on is not None
    assert on.tie_breaker == "a", "one that lacks much of the log is not waited for"


# --- whatever the situation


SITUATIONS = list(product(range(1, 5), range(3), range(3), (False, True)))


@pytest.mark.parametrize(("votes", "learn", "wiped", "tie"), SITUATIONS)
def test_whatever_changes_keeps_quorums_meeting_and_has_its_own_quorum_there(
    votes: int, learn: int, wiped: int, tie: bool
) -> None:
    names = "abcdefg"[: votes + learn]
    now = roster(names[:votes], names[votes:], "a" if tie else "")
    for away in (set(some) for size in range(len(names)) for some in combinations(names[1:], size)):
        connected = without(all_is_well(names), *away)
        lost = {name: "new" for name in names[1 : 1 + wiped] if name not in away}
        for retired, wish in product(("", *names), ("", *names[:2])):
            situation = replace(
                connected,
                stores={**connected.stores, **lost},
                retired=frozenset(retired),
                absent=frozenset(away),
                tie_breaker=wish,
                applicants=(Applicant("x", "store"),),
            )
            current = now
            for change in changes(now, situation):
                old, new = electorate_of(current), electorate_of(change)
                present = [
                    member.name for member in change.members if situation.stores.get(member.name) == member.store_id
                ]
                assert intersects(old, new)
                assert is_quorum(present, new)
                assert len(old.voters ^ new.voters) <= 1
                current = change


# --- a fenced peer's vote


def with_fencing(now: Roster) -> Roster:
    return msgspec.structs.replace(now, fencing=True)


def test_two_voters_agree_that_fencing_counts_where_it_is_wished_and_nobody_breaks_ties() -> None:
    wished = replace(all_is_well("ab"), fencing=True)
    assert changes(roster("ab"), wished) == [next_change(roster("ab"), wished)]
    assert changes(roster("ab"), wished)[-1].fencing
    assert next_change(roster("abc"), replace(all_is_well("abc"), fencing=True)) is None
    change = changes(roster("ab"), replace(wished, tie_breaker="a"))[-1]
    assert (change.tie_breaker, change.fencing) == ("a", False)


def test_it_is_taken_back_before_the_electorate_changes() -> None:
    situation = replace(all_is_well("abc"), fencing=True)
    first, second = changes(with_fencing(roster("ab", "c")), situation)
    assert (voters(first), first.fencing) == ("ab", False)
    assert (voters(second), second.fencing) == ("abc", False)


def test_it_is_taken_back_with_the_wish() -> None:
    (change,) = changes(with_fencing(roster("ab")), all_is_well("ab"))
    assert (voters(change), change.fencing) == ("ab", False)


def test_without_the_peer_nothing_is_taken_back() -> None:
    alone = without(replace(all_is_well("abc"), fencing=True), "b")
    assert next_change(with_fencing(roster("ab", "c")), alone) is None


def test_a_fenced_peer_counts_for_taking_it_back_and_for_no_other_electorate() -> None:
    alone = replace(without(all_is_well("ab"), "b"), fencing=True, counted=frozenset("b"), retired=frozenset("b"))
    first, second = changes(with_fencing(roster("ab")), alone)
    assert (voters(first), first.fencing) == ("ab", False)
    assert voters(second) == "a"
    third = replace(without(all_is_well("abc"), "b", "c"), counted=frozenset("b"))
    assert next_change(roster("ab", "c"), third) is None


def test_a_learner_joins_while_a_fenced_peer_counts() -> None:
    alone = replace(without(all_is_well("ab"), "b"), fencing=True, counted=frozenset("b"))
    change = next_change(with_fencing(roster("ab")), replace(alone, applicants=(Applicant("c", store("c")),)))
    assert change is not None
    assert (voters(change), change.fencing, len(change.members)) == ("ab", True, 3)


def test_a_cluster_without_an_id_gets_the_one_that_its_leader_proposes_and_keeps_it() -> None:
    before = roster("abc")
    one, two = (replace(all_is_well("abc"), cluster_id=name) for name in ("one", "two"))
    named = next_change(before, one)
    assert named is not None
    assert (named.members, named.cluster_id) == (before.members, "one")
    assert next_change(named, two) is None, "once and for all"
    smaller = next_change(named, replace(two, retired=frozenset("c")))
    assert smaller is not None
    assert (len(smaller.members), smaller.cluster_id) == (2, "one"), "whatever else changes"
