"""Snapshots in the core: when they are taken, what they replace, and what never depends on what they replace."""

from __future__ import annotations

from functools import partial

import msgspec
import pytest

from daemon.cluster.core import Core, HardState, Saved
from daemon.cluster.core.compaction import Compaction, Interval
from daemon.cluster.core.effects import Admitted, ProposalCommitted, Refused, SnapshotComes, SnapshotTaken, WasLate
from daemon.cluster.core.sending import BURST_PIECES, Sendings
from daemon.cluster.core.snapshot import Remembrance, Snapshot, digest_of, head_of, snapshot_of
from daemon.cluster.core.standing import Standing
from daemon.cluster.messages import (
    SNAPSHOT_PIECE_BYTES,
    Append,
    AppendAnswer,
    PreVote,
    Proposal,
    Propose,
    SnapshotAnswer,
    SnapshotPiece,
)
from daemon.cluster.records import Admit
from tests.unit.cluster_core.node import INCARNATION, Node, entries

BODY = b"the state " * 500


def snapshot_at(
    index: int, term: int = 1, body: bytes = BODY, remembered: tuple[Remembrance, ...] = ()
) -> Snapshot:
    standings = {name: Standing(True, 1, f"{name}-boot", index - 1) for name in ("a1", "a2", "a3", "a4")}
    head = head_of(
        index=index,
        term=term,
        stamp_ms=77,
        standings=standings,
        recorded={"a3": "store of a3"},
        roster=None,
        remembered=remembered,
    )
    return snapshot_of(head, body, digest_of(body))


def pieces_of(snapshot: Snapshot, term: int = 1) -> list[SnapshotPiece]:
    count = -(-snapshot.size_bytes // SNAPSHOT_PIECE_BYTES)
    return [
        SnapshotPiece(
            term,
            snapshot.index,
            snapshot.mark,
            b"",
            snapshot.size_bytes,
            len(snapshot.encoded_head),
            number,
            snapshot.cut(number * SNAPSHOT_PIECE_BYTES, (number + 1) * SNAPSHOT_PIECE_BYTES),
            asks=number == count - 1,
        )
        for number in range(count)
    ]


def follower(log: tuple[int, ...] = (), **saved: object) -> Node:
    node = Node("a2", Saved("store", HardState(1), entries(*log), **saved))  # type: ignore[arg-type]
    node.restored.clear()
    node.follow("a1", 1)
    return node


def restored(snapshot: Snapshot, log: tuple[int, ...] = ()) -> Node:
    node = follower(log)
    for piece in pieces_of(snapshot):
        node.receive("a1", piece)
    return node


# --- received


def test_a_snapshot_takes_the_place_of_log_and_state() -> None:
    node = restored(snapshot_at(40), log=(1, 1))
    log = node.core.replica.log
    assert node.restored == [40]
    assert (log.first_index, log.last_index, log.last_term, log.last_stamp_ms) == (41, 40, 1, 77)
    assert node.core.replica.commit == 40
    assert node.core.replica.admissions.tail["a4"].admitted
    assert node.core.replica.admissions.recorded == {"a3": "store of a3"}
    assert node.core.committed_entries(1, 10) == []


def test_the_entries_behind_it_are_asked_for_at_once() -> None:
    node = restored(snapshot_at(40))
    wants = [answer.want for answer in node.take(AppendAnswer)]
    assert 41 in wants
    node.receive("a1", Append(1, 2, 40, 1, list(entries(1, first=41)), 41, True))
    assert [entry.index for entry in node.committed] == [41]


def test_nothing_of_it_is_confirmed_before_the_disk_has_it() -> None:
    node = follower()
    node.disk_works = False
    for piece in pieces_of(snapshot_at(40)):
        node.receive("a1", piece)
    node.receive("a1", Append(1, 2, 40, 1, list(entries(1, first=41)), 41, True))
    assert {answer.match for answer in node.take(AppendAnswer)} == {0}
    node.disk_works = True
    node.sync()
    assert node.take(AppendAnswer)[-1].match == 41


def test_a_conflicting_log_goes_as_a_whole() -> None:
    node = follower((1,))
    node.receive("a1", Append(1, 2, 1, 1, list(entries(1, 1, first=2)), 1, True))
    node.receive("a3", Append(2, 1, 0, 0, [], 0, True))
    for piece in pieces_of(snapshot_at(2, term=2), term=2):
        node.receive("a3", piece)
    assert node.core.replica.log.last_index == 2
    assert node.core.replica.log.term_at(2) == 2
    assert node.restored == [2]


def test_a_log_that_has_its_last_entry_is_kept_and_committed_up_to_there() -> None:
    """The entries have come some other way, and what follows them may be confirmed already."""
    node = follower((1, 1, 1, 1))
    for piece in pieces_of(snapshot_at(3)):
        node.receive("a1", piece)
    assert node.restored == []
    assert [entry.index for entry in node.committed] == [1, 2, 3]
    assert node.core.replica.log.last_index == 4


def test_an_older_one_than_what_is_committed_changes_nothing() -> None:
    node = follower((1, 1, 1))
    node.receive("a1", Append(1, 2, 3, 1, [], 3, True))
    for piece in pieces_of(snapshot_at(2)):
        node.receive("a1", piece)
    assert node.restored == []
    assert node.core.replica.commit == 3
    assert node.take(SnapshotAnswer) == []


def test_rounds_are_answered_at_once_while_it_comes() -> None:
    node = follower()
    first, *_ = pieces_of(snapshot_at(40))
    node.receive("a1", first)
    node.take(AppendAnswer)
    node.receive("a1", Append(1, 9, 45, 1, [], 45, True))
    assert [(answer.round, answer.want) for answer in node.take(AppendAnswer)] == [(9, 1)]


def test_one_with_a_wrong_digest_is_not_used_and_is_begun_again() -> None:
    node = follower()
    snapshot = snapshot_at(40)
    forged = Snapshot(snapshot.head, snapshot.encoded_head, b"x" * len(BODY), snapshot.mark)
    for piece in pieces_of(forged):
        node.receive("a1", piece)
    assert node.restored == []
    assert any(isinstance(event, Refused) and "body" in event.reason for event in node.events)
    for piece in pieces_of(snapshot):
        node.receive("a1", piece)
    assert node.restored == [40]


def test_a_new_leader_is_told_what_is_there_already() -> None:
    node = follower()
    pieces = pieces_of(snapshot_at(40))
    for piece in pieces[:3]:
        node.receive("a1", piece)
    node.receive("a3", Append(2, 1, 0, 0, [], 0, True))
    node.take(SnapshotAnswer)
    node.receive("a3", pieces_of(snapshot_at(40), term=2)[-1])
    (answer,) = node.take(SnapshotAnswer)
    assert (answer.mark, answer.pieces) == (snapshot_at(40).mark, 3)
    comes = [event for event in node.events if isinstance(event, SnapshotComes)]
    assert [(event.sender, event.held_bytes) for event in comes] == [("a1", 0), ("a3", 3 * SNAPSHOT_PIECE_BYTES)]


def test_a_leader_that_holds_another_one_as_well_is_told_to_go_on_with_the_one_that_is_begun() -> None:
    node = follower()
    begun, newer = snapshot_at(40), snapshot_at(80, body=b"newer" * 1_000)
    node.receive("a1", pieces_of(begun)[0])
    node.take(SnapshotAnswer)
    last = pieces_of(newer)[-1]
    node.receive("a1", msgspec.structs.replace(last, also=begun.mark))
    (answer,) = node.take(SnapshotAnswer)
    assert (answer.mark, answer.pieces) == (begun.mark, 1)
    node.receive("a1", last)  # it holds that one alone now
    (answer,) = node.take(SnapshotAnswer)
    assert answer.mark == newer.mark


def test_a_piece_of_a_former_term_is_rejected() -> None:
    node = follower()
    node.receive("a3", Append(2, 1, 0, 0, [], 0, True))
    node.receive("a1", pieces_of(snapshot_at(40))[0])
    assert node.take(SnapshotAnswer) == []
    assert node.core.replica.leader == "a3"


def test_own_proposals_that_it_stands_for_are_through() -> None:
    node = follower()
    ticket = node.core.propose(b"mine", node.now_ns)
    node.drain()
    remembered = (Remembrance("a2", INCARNATION, ticket, 33),)
    for piece in pieces_of(snapshot_at(40, remembered=remembered)):
        node.receive("a1", piece)
    assert ProposalCommitted(ticket, 33) in node.events
    node.take(Propose)
    node.pass_ms(500)
    assert node.take(Propose) == []


# --- taken


def leader_with_snapshot(entries_between: int) -> Node:
    kind = partial(Core, snapshot_interval=Interval(entries=entries_between))
    node = Node(kind=kind)  # type: ignore[arg-type]
    node.lead()
    return node


def commit(node: Node, body: bytes) -> None:
    node.core.propose(body, node.now_ns)
    node.drain()
    node.answer("a2", "a3", "a4")


def take(node: Node, index: int) -> None:
    assert node.core.snapshot_due(index)
    node.core.snapshot(index, BODY, digest_of(BODY), node.now_ns)
    node.drain()


def test_one_is_due_at_every_position_and_the_log_is_cut_behind_the_one_before() -> None:
    node = leader_with_snapshot(8)
    while not node.core.snapshot_due(8):
        commit(node, b"edit")
    take(node, 8)
    assert node.core.first_index == 1, "one interval is always there"
    while node.core.replica.commit < 16:
        commit(node, b"edit")
    take(node, 16)
    assert node.core.first_index == 9
    assert [snapshot.index for snapshot in node.core.snapshots] == [8, 16]
    assert [event.index for event in node.events if isinstance(event, SnapshotTaken)] == [8, 16]
    assert node.core.replica.log.term_at(8) == node.term
    assert [entry.index for entry in node.core.committed_entries(1, 3)] == [9, 10, 11]


def test_a_position_is_left_out_while_the_disk_is_busy_with_the_one_before() -> None:
    node = leader_with_snapshot(8)
    while node.core.replica.commit < 8:
        commit(node, b"edit")
    node.disk_works = False
    take(node, 8)
    for _ in range(8):
        node.core.propose(b"edit", node.now_ns)
    node.drain()
    append = [send.message for send in node.outbox if isinstance(send.message, Append)][-1]
    for peer in ("a2", "a3", "a4"):
        node.receive(peer, AppendAnswer(node.term, append.round, node.core.replica.log.last_index, 0))
    assert node.core.replica.commit >= 16
    assert not node.core.snapshot_due(16)


def test_a_proposal_that_is_repeated_right_after_it_is_not_appended_again() -> None:
    snapshot = snapshot_at(5, remembered=(Remembrance("a3", 1, 7, 4),))
    node = Node("a1", Saved("store", HardState(1, None, votes=True), (), (snapshot,)))
    node.lead()
    before = node.core.replica.log.last_index
    node.receive("a3", _propose(7))
    assert node.core.replica.log.last_index == before
    node.receive("a3", _propose(8))
    assert node.core.replica.log.last_index == before + 1


def _propose(ticket: int) -> Propose:
    return Propose(1, [Proposal(ticket, b"again")])


# --- started from


def test_a_process_starts_from_the_newest_and_the_log_behind_the_older() -> None:
    older, newer = snapshot_at(2), snapshot_at(4)
    saved = Saved("store", HardState(3, None, votes=True), entries(1, 1, 2, first=3), (older, newer))
    node = Node("a2", saved)
    assert node.restored == [4]
    assert node.committed == []
    assert node.core.replica.commit == 4
    assert (node.core.first_index, node.core.replica.log.last_index) == (3, 5)
    assert node.core.replica.admissions.committed["a1"].admitted
    node.receive("a1", Append(3, 1, 5, 2, [], 5, True))
    assert [entry.index for entry in node.committed] == [5]
    assert not any(isinstance(event, Admitted) for event in node.events)


def test_entries_from_before_the_log_are_taken_for_what_they_are() -> None:
    """A leader resends from where it likes: what is gone here is committed, so it is the same there."""
    node = Node("a2", Saved("store", HardState(3, None, votes=True), (), (snapshot_at(4),)))
    node.receive("a1", Append(3, 1, 1, 1, list(entries(1, 1, 1, 1, first=2)), 5, True))
    assert [entry.index for entry in node.committed] == [5]
    assert node.take(AppendAnswer)[-1].want == 0


@pytest.mark.parametrize("first", [1, 3])
def test_a_log_that_ends_before_the_snapshot_is_damaged(first: int) -> None:
    older, newer = snapshot_at(2), snapshot_at(9)
    saved = Saved("store", HardState(3), entries(1, 1, 1, 1, first=first), (older, newer))
    with pytest.raises(ValueError, match="before the snapshot of entry 9"):
        Node("a2", saved)


# --- sent


def led_from(snapshot: Snapshot) -> Node:
    node = Node("a1", Saved("store", HardState(1, None, votes=True), (), (snapshot,)))
    node.win()
    node.answer("a2", "a3")
    return node


def test_who_lacks_what_is_gone_gets_the_snapshot_in_bursts_and_the_rounds_go_on() -> None:
    node = led_from(snapshot_at(40, body=bytes(300_000)))
    node.receive("a4", AppendAnswer(node.term, 2, 0, 1))
    node.take(Append)
    sent = 0
    for turn in range(1, 31):
        node.pass_ms(2)
        burst = node.take(SnapshotPiece)
        sent += len(burst)
        assert sent <= (turn + 1) * BURST_PIECES
        if burst:
            node.receive("a4", SnapshotAnswer(node.term, burst[0].mark, burst[-1].number + 1, 0))
        node.hear_all()
        if any(isinstance(send.message, Append) for send in node.outbox):
            node.answer("a2", "a3")
    assert sent > 3 * BURST_PIECES
    assert node.take(Append), "rounds go out all the while"
    assert not any(isinstance(event, WasLate) for event in node.events)


def test_nobody_is_admitted_who_lacks_the_snapshot_however_few_entries_follow_it() -> None:
    node = led_from(snapshot_at(40))
    node.incarnations["a4"] = 9
    node.boots["a4"] = "a4-new-boot"
    for match, want, admitted in ((0, 1, False), (40, 0, True)):
        for _ in range(40):
            node.pass_ms(40)
            node.hear_all()
            node.answer("a2", "a3")
            node.receive("a4", AppendAnswer(node.term, 2, match, want))
        commands = [entry.command for entry in node.core.replica.log.after(40)]
        assert (Admit("a4", 9, "a4-new-boot") in commands) == admitted


def test_a_candidate_with_nothing_but_a_snapshot_tells_where_it_ends() -> None:
    node = Node("a1", Saved("store", HardState(1, None, votes=True), (), (snapshot_at(40, term=1),)))
    node.pass_ms(2)
    (question, *_) = node.take(PreVote)
    assert (question.last_index, question.last_term) == (40, 1)


def test_a_receiver_that_starts_again_before_the_whole_is_on_its_disk_gets_it_anew() -> None:
    """Seed 60597 of the simulation: it had said that it has everything, so nothing was ever sent again."""
    snapshot = snapshot_at(40)
    sent: list[int] = []
    patience_ns = 25_000_000
    sendings = Sendings(
        Compaction((snapshot,), Interval()), 1, lambda peer, piece: sent.append(piece.number), patience_ns
    )
    sendings.wanted("a3", 0)
    sendings.tick(0)
    count = len(sent)
    assert count > 1
    sendings.answered("a3", SnapshotAnswer(1, snapshot.mark, count, 0), 1)
    for now_ns in range(2, 8 * patience_ns, patience_ns // 5):
        sendings.wanted("a3", now_ns)
        sendings.tick(now_ns)
    assert sent[count : 2 * count] == list(range(count))


def test_a_receiver_that_has_the_whole_and_is_silent_gets_nothing_again() -> None:
    snapshot = snapshot_at(40)
    sent: list[int] = []
    sendings = Sendings(Compaction((snapshot,), Interval()), 1, lambda peer, piece: sent.append(piece.number), 10)
    sendings.wanted("a3", 0)
    sendings.tick(0)
    count = len(sent)
    sendings.answered("a3", SnapshotAnswer(1, snapshot.mark, count, 0), 1)
    for now_ns in range(2, 200):
        sendings.tick(now_ns)
    assert len(sent) == count
