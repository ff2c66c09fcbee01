"""Which proposals have been applied: one that is appended twice counts once."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

REMEMBERED_MAX = 4_096
"""of one origin: a proposal is repeated for seconds, not for thousands of others"""


@dataclass(slots=True)
class Tickets:
    seen: dict[tuple[str, int], tuple[set[int], deque[int]]] = field(default_factory=dict)

    def first_time(self, origin: str, incarnation: int, ticket: int) -> bool:
        """True once for each (origin, incarnation, ticket)."""
        for known in [key for key in self.seen if key[0] == origin and key[1] < incarnation]:
            del self.seen[known]
        tickets, order = self.seen.setdefault((origin, incarnation), (set(), deque()))
        if ticket in tickets:
            return False
        tickets.add(ticket)
        order.append(ticket)
        if len(order) > REMEMBERED_MAX:
            tickets.discard(order.popleft())
        return True

    def forget_origin(self, origin: str) -> None:
        """A node that is no member any more proposes nothing."""
        for known in [key for key in self.seen if key[0] == origin]:
            del self.seen[known]
