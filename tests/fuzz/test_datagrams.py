"""A small portion of `make fuzz`: no bytes raise, none make anything grow, and members are heard all the while."""

from __future__ import annotations

import struct

import pytest

from daemon.cluster import greeting
from daemon.cluster.messages import Reject, encode
from tests.fuzz.datagrams import BOUNDS, Fuzz


@pytest.mark.parametrize("seed", range(2))
def test_bad_datagrams_raise_nothing_and_grow_nothing_and_a_member_is_heard_afterwards(seed: int) -> None:
    fuzz = Fuzz(seed)
    fuzz.run(12_000)
    before = fuzz.target.heard["a2"]
    piece = struct.pack("!IHH", 2**32 - 1, 0, 1) + encode(Reject(1))
    fuzz.target.receive(fuzz.target.peer.seal(greeting.data(piece)))
    assert fuzz.target.heard["a2"] == before + 1
    refusals = fuzz.target.transport.statistics().refusals
    assert {"malformed", "forged", "undecodable", "unknown-message", "unproven"} <= refusals.keys()


def test_a_bound_that_is_passed_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    fuzz = Fuzz(0)
    fuzz.run(600)
    monkeypatch.setitem(BOUNDS, "sessions", 2)
    with pytest.raises(AssertionError, match="sessions: "):
        fuzz.check()
