"""A snapshot on its way: whatever is lost, late, repeated or nonsense, it arrives whole or not at all."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.cluster.chunks import Splitter
from daemon.cluster.core.compaction import Compaction, Interval
from daemon.cluster.core.reception import Reception, unsoundness
from daemon.cluster.core.sending import BURST_PAUSE_NS, BURST_PIECES, Sendings
from daemon.cluster.core.snapshot import Snapshot, digest_of, head_of, snapshot_of
from daemon.cluster.messages import SNAPSHOT_PIECE_BYTES, SNAPSHOT_WINDOW, SnapshotPiece, decode, encode

MS = 1_000_000
PATIENCE_NS = 25 * MS


def snapshot_at(index: int, size: int, seed: int = 1) -> Snapshot:
    body = random.Random(seed).randbytes(size)
    head = head_of(index=index, term=1, stamp_ms=0, standings={}, recorded={}, roster=None, remembered=())
    return snapshot_of(head, body, digest_of(body))


class Sender:
    """A leader, as far as snapshots go."""

    def __init__(self, *kept: Snapshot) -> None:
        self.sent: list[SnapshotPiece] = []
        self.sendings = Sendings(
            Compaction(kept, Interval()), 1, lambda _, piece: self.sent.append(piece), PATIENCE_NS
        )

    def take(self) -> list[SnapshotPiece]:
        sent, self.sent = self.sent, []
        return sent


def carry(sender: Sender, reception: Reception | None, chance: random.Random, loss: float) -> tuple[Reception, int]:
    """Send until everything is there, with `loss` both ways; how many pieces were sent for it."""
    now_ns, count = 0, 0
    for _ in range(20_000):
        now_ns = max(now_ns + 1, sender.sendings.deadline_ns() or 0)
        sender.sendings.wanted("a2", now_ns)
        sender.sendings.tick(now_ns)
        pieces = sender.take()
        count += len(pieces)
        assert len(pieces) <= BURST_PIECES
        if chance.random() < 0.3:
            chance.shuffle(pieces)
        for piece in pieces:
            if chance.random() < loss:
                continue
            reception = reception or Reception(piece)
            for _ in range(1 + (chance.random() < 0.05)):
                if reception.add(piece) and chance.random() >= loss:
                    sender.sendings.answered("a2", reception.answer(1), now_ns)
        if reception is not None and reception.is_complete:
            return reception, count
    raise AssertionError("it never arrives")


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1 << 30), size=st.integers(0, 200_000), loss=st.sampled_from([0.0, 0.1, 0.25, 0.5]))
def test_it_arrives_as_it_was_through_loss_disorder_and_repetition(seed: int, size: int, loss: float) -> None:
    snapshot = snapshot_at(9, size, seed)
    reception, _ = carry(Sender(snapshot), None, random.Random(seed), loss)
    assert reception.snapshot() == snapshot


def test_without_loss_nothing_is_sent_twice() -> None:
    snapshot = snapshot_at(9, 500_000)
    reception, count = carry(Sender(snapshot), None, _InOrder(), 0.0)
    assert reception.snapshot() == snapshot
    assert count == -(-snapshot.size_bytes // SNAPSHOT_PIECE_BYTES)


class _InOrder(random.Random):
    def random(self) -> float:
        return 1.0


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1 << 30), held=st.integers(1, 150))
def test_another_sender_goes_on_where_the_first_has_ended(seed: int, held: int) -> None:
    """It sends a window of what the receiver has already, before it has heard of it, and the rest once."""
    snapshot, newer = snapshot_at(9, 200_000), snapshot_at(20, 200_000, 2)
    pieces = -(-snapshot.size_bytes // SNAPSHOT_PIECE_BYTES)
    first = Sender(snapshot)
    reception: Reception | None = None
    now_ns = 0
    while reception is None or reception.held_bytes < held * SNAPSHOT_PIECE_BYTES:
        first.sendings.wanted("a2", now_ns)
        first.sendings.tick(now_ns)
        for piece in first.take():
            reception = reception or Reception(piece)
            if reception.add(piece):
                first.sendings.answered("a2", reception.answer(1), now_ns)
        now_ns += BURST_PAUSE_NS
    had = reception.held_bytes // SNAPSHOT_PIECE_BYTES
    second = Sender(snapshot, newer)  # it would send the newer one
    second.sendings.wanted("a2", 0)
    second.sendings.tick(0)
    assert {piece.mark for piece in second.take()} == {newer.mark}
    second.sendings.answered("a2", reception.answer(1), MS)
    reception, count = carry(second, reception, _InOrder(), 0.0)
    assert reception.snapshot() == snapshot
    assert count <= pieces - had + SNAPSHOT_WINDOW


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 1 << 30))
def test_pieces_with_changed_bytes_never_make_a_snapshot(seed: int) -> None:
    chance = random.Random(seed)
    snapshot = snapshot_at(9, 5_000)
    sender = Sender(snapshot)
    sender.sendings.wanted("a2", 0)
    sender.sendings.tick(0)
    pieces = sender.take()
    reception = Reception(pieces[0])
    changed = chance.randrange(len(pieces))
    for number, piece in enumerate(pieces):
        data = bytearray(piece.data)
        if number == changed:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        reception.add(msgspec.structs.replace(piece, data=bytes(data)))
    assert reception.is_complete
    with pytest.raises(ValueError, match=r"its (head|body)"):
        reception.snapshot()


@settings(deadline=None, max_examples=200)
@given(
    number=st.integers(-5, 1 << 40),
    size=st.integers(-5, 1 << 40),
    head_size=st.integers(-5, 1 << 40),
    length=st.integers(0, 3_000),
    index=st.integers(-3, 10),
)
def test_nonsense_takes_no_memory(number: int, size: int, head_size: int, length: int, index: int) -> None:
    piece = SnapshotPiece(1, index, bytes(16), b"", size, head_size, number, bytes(length), asks=False)
    if unsoundness(piece) is None:
        assert 0 < size <= (64 << 20) + (1 << 20)
        reception = Reception(piece)
        reception.add(piece)
        assert reception.held_bytes <= SNAPSHOT_PIECE_BYTES


def test_a_piece_fits_into_one_datagram() -> None:
    big = snapshot_at(1 << 40, 60_000_000 // 60)
    sender = Sender(snapshot_at(1 << 39, 10), big)
    sender.sendings.wanted("a2", 0)
    sender.sendings.tick(0)
    for piece in sender.take():
        assert decode(encode(piece)) == piece
        assert len(Splitter().split(encode(piece))) == 1


def test_it_is_due_at_once_and_never_in_the_past() -> None:
    """A deadline of long ago made its leader believe that it had not been scheduled for hours."""
    sender = Sender(snapshot_at(9, 500_000))
    assert sender.sendings.deadline_ns() is None
    sender.sendings.wanted("a2", 10**15)
    assert sender.sendings.deadline_ns() == 10**15
    sender.sendings.tick(10**15)
    assert sender.sendings.deadline_ns() == 10**15 + BURST_PAUSE_NS


def test_who_asks_no_more_is_sent_no_more() -> None:
    sender = Sender(snapshot_at(9, 500_000))
    sender.sendings.wanted("a2", 0)
    sender.sendings.tick(0)
    assert sender.take()
    sender.sendings.tick(10**10)
    assert sender.take() == []
    assert sender.sendings.deadline_ns() is None


def test_several_receivers_share_one_pace() -> None:
    sender = Sender(snapshot_at(9, 500_000))
    receivers = [f"a{number}" for number in range(2, 8)]
    for name in receivers:
        sender.sendings.wanted(name, 0)
    for burst in range(3 * len(receivers)):
        sender.sendings.tick(burst * BURST_PAUSE_NS)
        sender.sendings.tick(burst * BURST_PAUSE_NS + BURST_PAUSE_NS // 2)
        assert 0 < len(sender.take()) <= BURST_PIECES
