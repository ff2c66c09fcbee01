"""The messages of protocol 2.0, frozen: what a node one minor version older encodes, and what it understands.

Never changed together with `daemon.cluster.messages`: it stands for a program that nobody changes any more.  It has
no `Dismissed`, no `AskRestart`, no snapshots, and none of the fields that came later.
"""

from __future__ import annotations

import msgspec

from daemon.cluster.records import LogEntry


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


class Append(msgspec.Struct, tag="ap", array_like=True, frozen=True):
    term: int
    round: int
    prev_index: int
    prev_term: int
    entries: list[LogEntry]
    commit: int
    quorate: bool


class AppendAnswer(msgspec.Struct, tag="aa", array_like=True, frozen=True):
    term: int
    round: int
    match: int
    want: int


class Reject(msgspec.Struct, tag="rj", array_like=True, frozen=True):
    term: int


class PreVote(msgspec.Struct, tag="pv", array_like=True, frozen=True):
    term: int
    last_index: int
    last_term: int


class PreVoteAnswer(msgspec.Struct, tag="pa", array_like=True, frozen=True):
    term: int
    granted: bool
    wait_ns: int


class Vote(msgspec.Struct, tag="vo", array_like=True, frozen=True):
    term: int
    last_index: int
    last_term: int
    transfer: bool


class VoteAnswer(msgspec.Struct, tag="va", array_like=True, frozen=True):
    term: int
    granted: bool


class Transfer(msgspec.Struct, tag="tr", array_like=True, frozen=True):
    term: int


class Grant(msgspec.Struct, tag="gr", array_like=True, frozen=True):
    term: int
    incarnation: int
    sequence: int
    epoch: int


class Proposal(msgspec.Struct, array_like=True, frozen=True):
    ticket: int
    body: bytes


class Propose(msgspec.Struct, tag="pr", array_like=True, frozen=True):
    incarnation: int
    proposals: list[Proposal]


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
    | Propose
)

_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def decode(data: bytes) -> Message:
    """Raises msgspec.ValidationError for what this version does not know, as that program did."""
    return _decoder.decode(data)


def encode(message: Message) -> bytes:
    return msgspec.msgpack.encode(message)
