"""Which single change of the roster is next: the leader's housekeeping, as a pure function.

One change at a time, and only between electorates all of whose quorums intersect (LEASES.md, rule 22).  In the order of
what matters most: who is to go goes; a voter whose store was lost loses its vote; learners that have caught up get
one, up to VOTERS_MAX; who asks to join becomes a learner; a voter that is gone for long makes room for a learner.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

import msgspec

from daemon.cluster.core.membership import MEMBERS_MAX
from daemon.cluster.core.quorum import VOTERS_MAX, Electorate, intersects, is_quorum
from daemon.cluster.core.rosters import electorate_of
from daemon.cluster.records import Member, Roster

REMOVED_MAX = 64


@dataclass(frozen=True, slots=True)
class Applicant:
    """A node that is not on the roster and asks for it."""

    name: str
    store_id: str
    witness: bool = False


@dataclass(frozen=True, slots=True)
class Situation:
    """What the leader knows of the nodes besides the roster."""

    leader: str
    stores: Mapping[str, str]
    """name → the store that it has now, of all that are connected, the leader included"""
    caught_up: AbstractSet[str] = frozenset()
    """connected, and lacking hardly an entry, and not the newest roster"""
    nearly: AbstractSet[str] = frozenset()
    """connected, and lacking hardly an entry, but perhaps the newest roster for a moment"""
    retired: AbstractSet[str] = frozenset()
    """to be taken off the roster, and holding no lease any more"""
    absent: AbstractSet[str] = frozenset()
    """lost for long"""
    applicants: tuple[Applicant, ...] = ()
    tie_breaker: str = ""
    """who is wished to have the extra vote"""
    fencing: bool = False
    """whether, of two voters, a fenced one's vote is wished to count"""
    counted: AbstractSet[str] = frozenset()
    """fenced, so that the leader counts its vote as long as the electorate is what it is"""
    cluster_id: str = ""
    """what the leader calls a cluster that has no id"""
    recorded: Mapping[str, str] = field(default_factory=dict)
    """name → the store that votes under it, before the first Roster of the log"""


def next_change(roster: Roster, situation: Situation) -> Roster | None:
    """The roster that is to follow this one; None where all is as it should be, or nothing may be changed now.

    The tie-breaker is not switched on while something else is about to follow: it was switched off for just that,
    perhaps, and the two would take turns until a slow node has confirmed the one before the other is appended.
    """
    change = _next_change(roster, situation)
    if change is not None and change.tie_breaker and not roster.tie_breaker:
        soon = replace(situation, caught_up=situation.caught_up | situation.nearly)
        return change if _next_change(roster, soon) == change else None
    return change


def _next_change(roster: Roster, situation: Situation) -> Roster | None:
    explicit = _with_stores(roster, situation)
    old = electorate_of(roster)
    for wish in _wishes(explicit, situation):
        if _is_counted_by(explicit, wish):
            if _can_be_committed(wish, situation, old) and _can_be_committed(_alone(explicit), situation, old):
                return _alone(explicit)
        elif intersects(old, electorate_of(wish)):
            if _can_be_committed(wish, situation, old):
                return wish
        elif old.tie_breaker and _can_be_committed(_without_tie_breaker(wish), situation, old):
            change = _without_tie_breaker(explicit)  # first, so that the wish may follow
            if _can_be_committed(change, situation, old):
                return change
    return None


def _is_counted_by(roster: Roster, wish: Roster) -> bool:
    """Whether somebody may count a fenced node by the electorate that `wish` changes, and has not heard of it.

    That has to be taken back first, on both disks.
    """
    return roster.fencing and electorate_of(wish) != electorate_of(roster)


def _alone(roster: Roster) -> Roster:
    return _changed(roster, roster.members, "a fenced node's vote does not count any more", fencing=False)


def _without_tie_breaker(roster: Roster) -> Roster:
    return _changed(roster, roster.members, f"{roster.tie_breaker} breaks no ties meanwhile", tie_breaker="")


def _can_be_committed(roster: Roster, situation: Situation, old: Electorate) -> bool:
    """Whether a quorum of it is there, and has nearly the whole log.

    It counts from its append on.  One whose quorum is not to be had could never be committed, nor taken back, and the
    cluster would have ended with it: of two voters the one that breaks ties would give up its extra vote for the sake
    of a third that joins, with the second one dead.  A fenced node counts for the `old` electorate and no other.
    """
    electorate = electorate_of(roster)
    present = [
        member.name
        for member in roster.members
        if situation.stores.get(member.name) == member.store_id
        and (member.name == situation.leader or member.name in situation.caught_up)
    ]
    fenced = situation.counted if electorate == old else frozenset()
    return is_quorum({*present, *fenced}, electorate)


def _with_stores(roster: Roster, situation: Situation) -> Roster:
    """The founding list says nothing of stores: its voters are those whose store the log has recorded."""
    members = tuple(
        member
        if member.store_id
        else msgspec.structs.replace(member, store_id=situation.recorded.get(member.name, ""))
        for member in roster.members
    )
    return msgspec.structs.replace(roster, members=members)


def _wishes(roster: Roster, situation: Situation) -> Iterator[Roster]:
    """Everything that could be done now, the most urgent first; each differs from `roster` in one thing."""
    for wish in (*_removals(roster, situation), *_rest(roster, situation)):
        unknown = [member.name for member in wish.members if member.votes and not member.store_id]
        if not unknown:  # else the founding list still counts for somebody who was never there
            yield wish


def _rest(roster: Roster, situation: Situation) -> Iterator[Roster]:
    yield from _lost_stores(roster, situation)
    yield from _promotions(roster, situation)
    yield from _joins(roster, situation)
    yield from _replacements(roster, situation)
    yield from _tie_breaker(roster, situation)
    yield from _fencing(roster, situation)
    yield from _naming(roster, situation)


def _removals(roster: Roster, situation: Situation) -> Iterator[Roster]:
    for member in roster.members:
        if member.name in situation.retired and member.name != situation.leader:
            stays = tuple(one for one in roster.members if one is not member)
            store_id = member.store_id or situation.stores.get(member.name, "")
            removed = (*roster.removed, (member.name, store_id))[-REMOVED_MAX:]
            yield _changed(roster, stays, f"{member.name} is removed", removed=removed)


def _lost_stores(roster: Roster, situation: Situation) -> Iterator[Roster]:
    """Rule 21: what the former store has promised nobody knows; the new one begins as a learner."""
    for member in roster.members:
        store_id = situation.stores.get(member.name, member.store_id)
        if member.store_id and store_id != member.store_id:
            learner = msgspec.structs.replace(member, store_id=store_id, votes=False)
            yield _with_member(roster, learner, f"{member.name} has another store: it learns")


def _promotions(roster: Roster, situation: Situation) -> Iterator[Roster]:
    if sum(member.votes for member in roster.members) >= VOTERS_MAX:
        return
    for member in roster.members:
        same = member.store_id and situation.stores.get(member.name) == member.store_id
        leaves = member.name in situation.retired or member.name in situation.absent
        if not member.votes and same and member.name in situation.caught_up and not leaves:
            voter = msgspec.structs.replace(member, votes=True)
            yield _with_member(roster, voter, f"{member.name} votes")


def _joins(roster: Roster, situation: Situation) -> Iterator[Roster]:
    names = {member.name for member in roster.members}
    for one in situation.applicants:
        dismissed = (one.name, one.store_id) in roster.removed
        if one.name not in names and not dismissed and len(names) < MEMBERS_MAX:
            joined = (*roster.members, Member(one.name, one.store_id, votes=False, witness=one.witness))
            what = "as a witness" if one.witness else "as a learner"
            yield _changed(roster, joined, f"{one.name} joins {what}")


def _replacements(roster: Roster, situation: Situation) -> Iterator[Roster]:
    """A vote that nobody gives for long is of more use with somebody who is there."""
    spare = [one.name for one in roster.members if not one.votes and one.name in situation.caught_up]
    if not spare:
        return
    for member in roster.members:
        if member.votes and member.name in situation.absent and member.name != situation.leader:
            learner = msgspec.structs.replace(member, votes=False)
            yield _with_member(roster, learner, f"{member.name} is gone for long: its vote goes to another")


def _tie_breaker(roster: Roster, situation: Situation) -> Iterator[Roster]:
    """On or off, never from one to another."""
    wished = situation.tie_breaker
    if roster.tie_breaker == wished:
        return
    if roster.tie_breaker:
        yield _changed(roster, roster.members, f"{roster.tie_breaker} breaks no ties any more", tie_breaker="")
    elif any(member.name == wished and member.votes for member in roster.members):
        yield _changed(roster, roster.members, f"{wished} breaks ties", tie_breaker=wished)


def _fencing(roster: Roster, situation: Situation) -> Iterator[Roster]:
    """Where it has a meaning: two voters that can both serve, and neither breaks ties."""
    voters = [member for member in roster.members if member.votes]
    two = len(voters) == 2 and not any(member.witness for member in voters)
    fencing = situation.fencing and two and not situation.tie_breaker and not roster.tie_breaker
    if fencing and not roster.fencing:
        yield _changed(roster, roster.members, "of two voters, a fenced one's vote counts", fencing=True)
    elif roster.fencing and not fencing:
        yield _alone(roster)


def _naming(roster: Roster, situation: Situation) -> Iterator[Roster]:
    """An id is given once: who has it on his disk hears no other cluster any more."""
    if situation.cluster_id and not roster.cluster_id:
        named = msgspec.structs.replace(roster, cluster_id=situation.cluster_id)
        yield _changed(named, roster.members, "the cluster has an id")


def _with_member(roster: Roster, changed: Member, why: str) -> Roster:
    members = tuple(changed if member.name == changed.name else member for member in roster.members)
    return _changed(roster, members, why)


def _changed(
    roster: Roster,
    members: tuple[Member, ...],
    why: str,
    *,
    removed: tuple[tuple[str, str], ...] | None = None,
    tie_breaker: str | None = None,
    fencing: bool | None = None,
) -> Roster:
    """An extra vote does not outlive the vote of its bearer."""
    chosen = roster.tie_breaker if tie_breaker is None else tie_breaker
    if not any(member.name == chosen and member.votes for member in members):
        chosen = ""
    counts = roster.fencing if fencing is None else fencing
    gone = roster.removed if removed is None else removed
    return Roster(members, gone, chosen, why, counts, roster.cluster_id)
