"""Whom a heartbeat names, with what was heard of them last.

Of n nodes each hears n heartbeats in each interval; were each to name n peers, a cluster of 128 would spend its time
with reading names, in datagrams that the network has to cut.  Two things hang on being named:

* A peer takes this node's other messages once it was named with its own incarnation (`membership`: *fresh*).  That is
  told once and stays true, so it may be told in turns.
* A leader grants to those who have heard it lately, so whoever leads, or may lead next, is named every time: voters.

So a heartbeat of a large cluster names all voters, and some of the others: those first who were not named yet since
they started, then those whose turn is the longest ago.  What a lost datagram had said is said again in the next turn.

A process of an older version that is not named believes itself unheard.  While one is there, all are named.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daemon.cluster.core.membership import Peer

NAMED_MAX = 16
"""peers that are all named, every time; of more, `TURNS` besides those who must be"""
TURNS = 8
OLDER_KEPT_NS = 60_000_000_000
"""an older version that was heard within this time is still counted on"""


class Echoes:
    def __init__(self) -> None:
        self._named_max, self._turns = NAMED_MAX, TURNS
        self._named: dict[str, tuple[int, int]] = {}
        """peer → (its incarnation, own sequence) when it was last named"""

    def name_few(self, turns: int) -> None:
        """In clusters of every size, only `turns` besides those who must be."""
        self._named_max, self._turns = 0, turns

    def choose(
        self, peers: Mapping[str, Peer], needed: Collection[str] | None, sequence: int, now_ns: int
    ) -> dict[str, tuple[int, int]]:
        """What heartbeat `sequence` says; `needed`: who must be named, None: everybody."""
        heard = [peer for peer in peers.values() if peer.ever_heard]
        if needed is not None and len(heard) > self._named_max and not _older_is_there(heard, now_ns):
            heard = self._some(heard, needed, sequence)
        return {peer.name: (peer.incarnation, peer.sequence) for peer in heard}

    def _some(self, heard: list[Peer], needed: Collection[str], sequence: int) -> list[Peer]:
        chosen = [peer for peer in heard if peer.name in needed]
        others = [peer for peer in heard if peer.name not in needed]
        others.sort(key=self._last_named)
        chosen += others[: self._turns]
        if len(self._named) > 2 * len(heard):
            self._named = {peer.name: self._named[peer.name] for peer in heard if peer.name in self._named}
        for peer in chosen:
            self._named[peer.name] = (peer.incarnation, sequence)
        return chosen

    def _last_named(self, peer: Peer) -> int:
        """By the own sequence; 0: this process of it was never named."""
        incarnation, sequence = self._named.get(peer.name, (-1, 0))
        return sequence if incarnation == peer.incarnation else 0


def _older_is_there(heard: list[Peer], now_ns: int) -> bool:
    return any(not peer.reads_partial and now_ns - (peer.heard_ns or 0) <= OLDER_KEPT_NS for peer in heard)
