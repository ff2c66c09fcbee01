"""Messages, log entries and snapshot heads of protocol 2.1, frozen: what a node one minor version older understands.

Never changed together with `daemon.cluster`: it stands for a program that nobody changes any more.  It has snapshots,
rosters, dismissals and restarts; its rosters have no cluster id, and it holds no SYNs.  What has not changed since 2.0
is in `older_messages`.
"""

from __future__ import annotations

import msgspec

from tests.older_messages import (
    AppendAnswer,
    PreVote,
    PreVoteAnswer,
    Propose,
    Reject,
    Transfer,
    Vote,
    VoteAnswer,
)


class Noop(msgspec.Struct, tag="noop", array_like=True, frozen=True):
    founders: tuple[str, ...] = ()


class Admit(msgspec.Struct, tag="admit", array_like=True, frozen=True):
    node: str
    incarnation: int
    kernel_boot_id: str
    store_id: str = ""
    slack_ms: int = 0


class Lost(msgspec.Struct, tag="lost", array_like=True, frozen=True):
    node: str


class Restart(msgspec.Struct, tag="restart", array_like=True, frozen=True):
    node: str
    incarnation: int
    duration_ms: int


class Request(msgspec.Struct, tag="request", array_like=True, frozen=True):
    origin: str
    incarnation: int
    ticket: int
    body: bytes


class Member(msgspec.Struct, array_like=True, frozen=True):
    name: str
    store_id: str
    votes: bool
    witness: bool = False


class Roster(msgspec.Struct, tag="roster", array_like=True, frozen=True):
    members: tuple[Member, ...]
    removed: tuple[tuple[str, str], ...] = ()
    tie_breaker: str = ""
    why: str = ""
    fencing: bool = False


class LogEntry(msgspec.Struct, array_like=True, frozen=True):
    index: int
    term: int
    stamp_ms: int
    command: Noop | Admit | Lost | Restart | Roster | Request


class Head(msgspec.Struct, array_like=True, frozen=True):
    """Of a snapshot, as far as its bytes say which roster counts; standings and remembrances stay as they came."""

    index: int
    term: int
    stamp_ms: int
    standings: msgspec.Raw
    recorded: dict[str, str]
    roster: Roster | None
    remembered: msgspec.Raw
    body_bytes: int = 0
    body_digest: bytes = b""


class Heartbeat(msgspec.Struct, tag="hb", array_like=True, frozen=True):
    incarnation: int
    kernel_boot_id: str
    sequence: int
    term: int
    epoch: int
    heard: dict[str, tuple[int, int]]
    store_id: str = ""
    blank: bool = False
    votes: bool = True
    joins: bool = False
    witness: bool = False
    slack_ms: int = 0


class Append(msgspec.Struct, tag="ap", array_like=True, frozen=True):
    term: int
    round: int
    prev_index: int
    prev_term: int
    entries: list[LogEntry]
    commit: int
    quorate: bool


class Grant(msgspec.Struct, tag="gr", array_like=True, frozen=True):
    term: int
    incarnation: int
    sequence: int
    epoch: int
    commit: int = -1


class AskRestart(msgspec.Struct, tag="rs", array_like=True, frozen=True):
    incarnation: int
    duration_ms: int


class SnapshotPiece(msgspec.Struct, tag="sp", array_like=True, frozen=True):
    term: int
    index: int
    mark: bytes
    also: bytes
    size: int
    head_size: int
    number: int
    data: bytes
    asks: bool


class SnapshotAnswer(msgspec.Struct, tag="sa", array_like=True, frozen=True):
    term: int
    mark: bytes
    pieces: int
    ahead: int


class Dismissed(msgspec.Struct, tag="di", array_like=True, frozen=True):
    store_id: str


Message = (
    Heartbeat
    | Append
    | AppendAnswer
    | Reject
    | PreVote
    | PreVoteAnswer
    | Vote
    | VoteAnswer
    | Transfer
    | Grant
    | AskRestart
    | Propose
    | Dismissed
    | SnapshotPiece
    | SnapshotAnswer
)

_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def decode(data: bytes) -> Message:
    """Raises msgspec.ValidationError for what this version does not know, as that program did."""
    return _decoder.decode(data)


def encode(message: Message) -> bytes:
    return msgspec.msgpack.encode(message)
