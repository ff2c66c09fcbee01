"""A snapshot: all that the entries up to one index have made, so that they themselves can be forgotten.

It has two parts.  The *head* is what the cluster core remembers of those entries: who takes part, which stores
vote, who belongs to the cluster, which proposals it has.  The *body* is what `State.freeze` gives, sealed to the core.
Every node takes its snapshots at the same positions of the log and from the same entries, so the snapshot of an
index is the same everywhere, byte by byte, and is named by its `mark`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from daemon.cluster.core.standing import Standing
from daemon.cluster.records import Roster

BODY_BYTES_MAX = 64 << 20
"""of a snapshot that is taken or accepted: what a receiver holds in memory is bounded by it"""
HEAD_BYTES_MAX = 1 << 20
MARK_BYTES = 16


class Remembrance(msgspec.Struct, array_like=True, frozen=True):
    """A proposal that the log has: one that is repeated after the snapshot is not appended again."""

    origin: str
    incarnation: int
    ticket: int
    index: int


class Head(msgspec.Struct, array_like=True, frozen=True):
    """Of everything up to `index`, that entry included."""

    index: int
    term: int
    """of the entry at `index`"""
    stamp_ms: int
    """of that entry: stamps never fall, over a snapshot neither"""
    standings: dict[str, Standing]
    recorded: dict[str, str]
    """name → the store that votes under it (rule 21)"""
    roster: Roster | None
    """the newest; None: the founding list of the settings counts"""
    remembered: tuple[Remembrance, ...]
    """the newest, by index"""
    body_bytes: int = 0
    body_digest: bytes = b""
    """SHA-256"""


def head_of(
    *,
    index: int,
    term: int,
    stamp_ms: int,
    standings: Mapping[str, Standing],
    recorded: Mapping[str, str],
    roster: Roster | None,
    remembered: Sequence[Remembrance],
) -> Head:
    """A head without a body yet, the same bytes for the same contents."""
    return Head(
        index, term, stamp_ms, dict(sorted(standings.items())), dict(sorted(recorded.items())), roster,
        tuple(remembered),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Snapshot:
    head: Head
    encoded_head: bytes
    body: bytes
    mark: bytes
    """the name of these very bytes: a digest of the head, which has the body's"""

    @property
    def index(self) -> int:
        return self.head.index

    @property
    def size_bytes(self) -> int:
        """As it travels: the head, then the body."""
        return len(self.encoded_head) + len(self.body)

    def cut(self, first: int, end: int) -> bytes:
        """Bytes `first` to `end`, the latter excluded, of what travels."""
        head = self.encoded_head
        if first >= len(head):
            return self.body[first - len(head) : end - len(head)]
        return head[first:end] + self.body[: max(0, end - len(head))]


def snapshot_of(head: Head, body: bytes, digest: bytes) -> Snapshot:
    """`digest`: `digest_of(body)`, which takes 1 ms for 2 MB and need not be done on the event loop."""
    full = msgspec.structs.replace(head, body_bytes=len(body), body_digest=digest)
    encoded = msgspec.msgpack.encode(full)
    return Snapshot(full, encoded, body, mark_of(encoded))


def digest_of(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()


def mark_of(encoded_head: bytes) -> bytes:
    return hashlib.sha256(encoded_head).digest()[:MARK_BYTES]


def read(encoded_head: bytes, body: bytes, digest: bytes) -> Snapshot:
    """A snapshot as it came from a disk or a peer; `digest` was computed over `body`.

    Raises ValueError where the two do not belong together or the head is none.
    """
    try:
        head = msgspec.msgpack.decode(encoded_head, type=Head)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its head cannot be read: {error}") from None
    if head.body_bytes != len(body) or head.body_digest != digest:
        raise ValueError("its body is not the one that its head names")
    if head.index < 1 or head.term < 0:
        raise ValueError(f"it ends at entry {head.index} of term {head.term}")
    return Snapshot(head, encoded_head, body, mark_of(encoded_head))
