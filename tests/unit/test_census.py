"""Connections of slots whose time is over are reset, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from datapath import census
from tests.unit.datapath_hold.taps import ADDRESS


@dataclass
class Answer:
    """Of the kernel: one connection of slot 0 and one of slot 1."""

    client: slice = field(default_factory=lambda: slice(0))
    sockets: list[bytes] = field(default_factory=lambda: [b"slot 0", b"slot 1"])
    names: list[bytes] = field(default_factory=lambda: [b"", b""])


def test_a_slot_that_is_served_here_again_meanwhile_keeps_its_new_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended: list[bytes] = []

    class Chosen:
        def __init__(self, sockets: list[bytes], _: slice) -> None:
            self._sockets = sockets

        def flows(self) -> list[bytes]:
            return self._sockets

    def abort(flows: list[bytes]) -> int:
        ended.extend(flows)
        return len(flows)

    def connections(_: object) -> Iterator[Answer]:
        yield Answer()
        yield Answer()

    monkeypatch.setattr(census, "connections", connections)
    monkeypatch.setattr(census, "slots_of", lambda address, names: [0, 1])
    monkeypatch.setattr(census, "Batch", Chosen)
    monkeypatch.setattr(census, "abort", abort)
    closed = {0, 1}
    job = census.end(ADDRESS, lambda: closed)
    next(job)
    closed.discard(1)
    assert census.whole(job) == 3
    assert ended == [b"slot 0", b"slot 1", b"slot 0"]
