"""Proposals of this node that are not committed yet, and which requests the log already has.

A proposal is repeated to whoever leads until it is seen committed or abandoned.  A leader appends one that its log
has already only if its memory of it is gone; commands are idempotent by their contents, so that costs an entry and
nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from daemon.cluster.core.snapshot import Remembrance
from daemon.cluster.messages import BODY_BYTES_MAX, ENTRIES_BYTES_MAX, TRAVEL_NS_PER_BYTE, Proposal
from daemon.cluster.records import LogEntry, Request

OUTSTANDING_MAX = 1024
OUTSTANDING_BYTES_MAX = 32 << 20
REMEMBERED_MAX = 4096

Origin = tuple[str, int, int]
"""(node, incarnation, ticket)"""


class TooMuchProposedError(Exception):
    """The cluster does not take more now; the text says what is full and what to do."""


@dataclass(slots=True)
class _Outstanding:
    body: bytes
    due_ns: int


class Proposals:
    def __init__(self, repeat_ns: int) -> None:
        self._repeat_ns = repeat_ns
        self._next_ticket = 1
        self._outstanding: dict[int, _Outstanding] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._outstanding)

    def add(self, body: bytes, now_ns: int) -> int:
        """Raises TooMuchProposedError."""
        if len(body) > BODY_BYTES_MAX:
            raise TooMuchProposedError(
                f"the proposal has {len(body)} bytes, at most {BODY_BYTES_MAX} are taken; split the change"
            )
        if len(self._outstanding) >= OUTSTANDING_MAX or self._bytes + len(body) > OUTSTANDING_BYTES_MAX:
            raise TooMuchProposedError(
                f"{len(self._outstanding)} proposals of this node wait for the cluster already;"
                f" see whether it has quorum, and try again then"
            )
        ticket = self._next_ticket
        self._next_ticket += 1
        self._outstanding[ticket] = _Outstanding(body, now_ns)
        self._bytes += len(body)
        return ticket

    def drop(self, ticket: int) -> bool:
        """Committed or abandoned; False when it was neither known nor outstanding."""
        outstanding = self._outstanding.pop(ticket, None)
        if outstanding is None:
            return False
        self._bytes -= len(outstanding.body)
        return True

    def repeat_now(self, now_ns: int) -> None:
        """There is another leader: it knows nothing of these."""
        for outstanding in self._outstanding.values():
            outstanding.due_ns = now_ns

    def due(self, now_ns: int) -> list[Proposal]:
        """What to send now, one message's worth, oldest first; the rest stays due."""
        taken: list[Proposal] = []
        size = 0
        for ticket, outstanding in self._outstanding.items():
            if outstanding.due_ns > now_ns:
                continue
            size += len(outstanding.body)
            if taken and size > ENTRIES_BYTES_MAX:
                break
            taken.append(Proposal(ticket, outstanding.body))
            outstanding.due_ns = now_ns + max(self._repeat_ns, TRAVEL_NS_PER_BYTE * len(outstanding.body))
        return taken

    def deadline_ns(self) -> int | None:
        return min((outstanding.due_ns for outstanding in self._outstanding.values()), default=None)


class Remembered:
    """Requests that the newest part of the log has, by origin."""

    def __init__(self, earlier: Iterable[Remembrance], entries: Iterable[LogEntry]) -> None:
        """`earlier`: what a snapshot says of the entries before `entries`."""
        self._index: dict[Origin, int] = {}
        self.restored(earlier)
        for entry in entries:
            self.appended(entry)

    def __contains__(self, origin: Origin) -> bool:
        return origin in self._index

    def appended(self, entry: LogEntry) -> None:
        if isinstance(entry.command, Request):
            self._index[origin_of(entry.command)] = entry.index
            if len(self._index) > REMEMBERED_MAX:
                del self._index[next(iter(self._index))]

    def truncated(self, entries: Iterable[LogEntry]) -> None:
        for entry in entries:
            if isinstance(entry.command, Request) and self._index.get(origin_of(entry.command)) == entry.index:
                del self._index[origin_of(entry.command)]

    def restored(self, remembered: Iterable[Remembrance]) -> None:
        self._index = {(known.origin, known.incarnation, known.ticket): known.index for known in remembered}

    def up_to(self, index: int, count: int) -> list[Remembrance]:
        """The newest `count` of those that the log has up to `index`; the same on every node."""
        known = sorted((at, origin) for origin, at in self._index.items() if at <= index)
        return [Remembrance(*origin, at) for at, origin in known[-count:]]


def origin_of(request: Request) -> Origin:
    return request.origin, request.incarnation, request.ticket
