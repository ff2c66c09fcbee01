from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.cluster.chunks import (
    AGE_MAX_NS,
    MESSAGE_BYTES_MAX,
    PENDING_BYTES_MAX,
    PENDING_MAX,
    PIECE_BYTES_MAX,
    Joiner,
    OversizedError,
    Splitter,
)

messages = st.integers(0, 6 * PIECE_BYTES_MAX).map(lambda size: bytes(i % 251 for i in range(size)))


@given(st.lists(messages, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_messages_come_out_whole_whatever_the_order_and_repeats_of_their_pieces(
    sent: list[bytes],
    random,  # type: ignore[no-untyped-def]
) -> None:
    splitter, joiner = Splitter(), Joiner()
    pieces = [piece for message in sent for piece in splitter.split(message)]
    assert all(len(piece) <= PIECE_BYTES_MAX for piece in pieces)
    random.shuffle(pieces)
    whole = [message for piece in pieces if (message := joiner.add(piece, 0)) is not None]
    assert sorted(whole) == sorted(sent)
    assert joiner.bytes_held == 0


def test_a_missing_piece_delivers_nothing_and_is_forgotten_with_age() -> None:
    splitter, joiner = Splitter(), Joiner()
    pieces = splitter.split(bytes(3 * PIECE_BYTES_MAX))
    assert [joiner.add(piece, 0) for piece in pieces[1:]] == [None] * (len(pieces) - 1)
    assert joiner.add(splitter.split(b"next")[0], AGE_MAX_NS + 1) == b"next"
    assert (joiner.bytes_held, joiner.dropped) == (0, 1)
    assert joiner.add(pieces[0], AGE_MAX_NS + 2) is None


def test_unfinished_messages_are_bounded_in_number() -> None:
    splitter, joiner = Splitter(), Joiner()
    for _ in range(PENDING_MAX + 5):
        joiner.add(splitter.split(bytes(2 * PIECE_BYTES_MAX))[0], 0)
    assert joiner.dropped == 5
    assert joiner.bytes_held <= PENDING_MAX * PIECE_BYTES_MAX


def test_unfinished_messages_are_bounded_in_bytes() -> None:
    splitter, joiner = Splitter(), Joiner()
    for _ in range(4):
        for piece in splitter.split(bytes(MESSAGE_BYTES_MAX))[:-1]:
            joiner.add(piece, 0)
    assert joiner.bytes_held <= PENDING_BYTES_MAX
    assert joiner.dropped >= 2


def test_a_message_that_is_too_long_is_refused_by_name() -> None:
    with pytest.raises(OversizedError, match=f"{MESSAGE_BYTES_MAX + 1} bytes"):
        Splitter().split(bytes(MESSAGE_BYTES_MAX + 1))


@given(st.lists(st.binary(max_size=PIECE_BYTES_MAX + 20), max_size=50))
def test_nonsense_neither_raises_nor_grows(pieces: list[bytes]) -> None:
    joiner = Joiner()
    for piece in pieces:
        joiner.add(piece, 0)
    assert joiner.bytes_held <= PENDING_BYTES_MAX
