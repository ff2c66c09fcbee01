"""How far slots are that drain: each holder counts its own, and tells the others so that any of them can be asked.

Theory of operation.  Only the holder's kernel knows how many flows are left, and only the holder's clock counts the
drain time-out (LEASES.md, rule 28).  So a host with draining slots tells all others twice a second, in one datagram of
at most ROWS_MAX slots; with more of them it goes on with the next ones the next time.  Nothing depends on it: it is
for people, it never enters the log, and what belongs to no slot that drains is not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain, repeat

from daemon.cluster.messages import Draining
from daemon.state.slots import Phase
from daemon.state.state import State

NS_PER_MS = 1_000_000
TELL_EVERY_NS = 500 * NS_PER_MS
ROWS_MAX = 24
"""a row is up to 45 bytes with a long name: one datagram"""


@dataclass(frozen=True, slots=True)
class Left:
    """What a draining slot still waits for."""

    flows: int
    ms: int
    """until the drain time-out ends it, as the holder said when it counted"""
    conversations: int = 0
    """of UDP"""


Place = tuple[str, int]
"""address and slot"""


@dataclass(slots=True)
class DrainNews:
    node: str
    incarnation: int
    _heard: dict[Place, tuple[str, int, Left]] = field(default_factory=dict)
    """→ holder and generation that it is about"""
    _due_ns: int = 0
    _next: int = 0
    """the row to go on with"""

    def words(self, own: Mapping[Place, tuple[int, Left]], now_ns: int) -> Draining | None:
        """What there is to tell: `own` has the generation of each slot that drains here, and what is left of it."""
        if not own or now_ns < self._due_ns:
            return None
        self._due_ns = now_ns + TELL_EVERY_NS
        places = sorted(own)
        start = self._next if self._next < len(places) else 0
        chosen = places[start : start + ROWS_MAX]
        self._next = start + len(chosen)
        rows = [(a, n, own[a, n][0], own[a, n][1].flows, own[a, n][1].ms) for a, n in chosen]
        return Draining(self.incarnation, rows, tuple(own[place][1].conversations for place in chosen))

    def heard(self, sender: str, message: Draining, state: State) -> None:
        """Of a host that the seal has named.  What is not of its slots as they drain now means nothing."""
        node = state.nodes.get(sender)
        if node is None or node.incarnation != message.incarnation:
            return
        self._heard = {place: news for place, news in self._heard.items() if _is_of(state, place, *news[:2])}
        for row, conversations in zip(message.rows, chain(message.conversations, repeat(0)), strict=False):
            address, number, generation, flows, left_ms = row
            if _is_of(state, (address, number), sender, generation):
                left = Left(max(0, flows), max(0, left_ms), max(0, conversations))
                self._heard[address, number] = (sender, generation, left)

    def known(self, state: State, own: Mapping[Place, tuple[int, Left]]) -> dict[Place, Left]:
        """All that this host knows, its own slots included."""
        heard = {place: news[2] for place, news in self._heard.items() if _is_of(state, place, *news[:2])}
        mine = {place: left for place, (of, left) in own.items() if _is_of(state, place, self.node, of)}
        return heard | mine


def _is_of(state: State, place: Place, holder: str, generation: int) -> bool:
    slot = state.slots.get(place[0], {}).get(place[1])
    return (
        slot is not None and slot.phase is Phase.SPLIT and slot.holder == holder and slot.generation == generation
    )
