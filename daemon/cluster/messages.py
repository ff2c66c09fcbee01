"""What the cluster cores of two nodes say to each other.

The transport seals each message, binds it to its sender, cuts what exceeds one datagram and puts it together again.
Any message may be lost, repeated, reordered or late: none relies on another.  Times never travel, only durations do
(LEASES.md, rule 1).
"""

from __future__ import annotations

from typing import get_args

import msgspec

from daemon.cluster.records import LogEntry

ENTRIES_BYTES_MAX = 64 << 10
"""of the entries of one Append, unless a single entry is bigger"""
BODY_BYTES_MAX = 4 << 20
"""of one proposal: a configuration of several thousand resources"""
TRAVEL_NS_PER_BYTE = 250
"""of a long message, pieces that are sent again included: one is not repeated as a whole before that"""

SNAPSHOT_PIECE_BYTES = 1_088
"""of a snapshot in one datagram, beside what names it"""
SNAPSHOT_WINDOW = 64
"""pieces that may be on their way to one receiver; their bits fit one integer"""


class Heartbeat(msgspec.Struct, tag="hb", array_like=True, frozen=True):
    """I am here.  Every heartbeat goes to everyone; the leader answers it with a Grant."""

    incarnation: int
    """of the sending process; rises with every start"""
    kernel_boot_id: str
    """/proc/sys/kernel/random/boot_id of the sending host: tells whether an old process's rules are gone (20)"""
    sequence: int
    """from 1 in each incarnation"""
    term: int
    epoch: int
    """of the sender's admission that its kernel holds (rule 19); 0 before the first"""
    heard: dict[str, tuple[int, int]]
    """peer → newest (incarnation, sequence) that the sender has heard of it; not of every peer (`core.echoes`)"""
    store_id: str = ""
    """of the sender's disk (rule 21); "": of a version that did not tell"""
    blank: bool = False
    """the sender has never voted nor confirmed anything, as far as its store remembers"""
    votes: bool = True
    """the sender has the right to vote on its disk"""
    joins: bool = False
    """the sender's settings name no founders: it belongs to the cluster that takes it in"""
    witness: bool = False
    """the sender votes and keeps the log, and holds nothing"""
    slack_ms: int = 0
    """the sender is not scheduled in time, and asks for a lease that is so much longer (`Admit`)"""
    reads_partial: bool = False
    """the sender takes it for no news where a heartbeat does not name it; older ones believe themselves unheard"""
    terms: tuple[int, ...] = ()
    """by which the sender holds and counts leases (`Timers.terms`); (): of a version that did not tell"""


class Append(msgspec.Struct, tag="ap", array_like=True, frozen=True):
    """A leader's round, with entries or without; each is answered at once (rule 8)."""

    term: int
    round: int
    """counts the leader's rounds within its term"""
    prev_index: int
    prev_term: int
    entries: list[LogEntry]
    commit: int
    quorate: bool
    """whether a majority answered lately, as the leader saw it when it sent this; for status alone"""


class AppendAnswer(msgspec.Struct, tag="aa", array_like=True, frozen=True):
    term: int
    round: int
    match: int
    """up to here my disk holds what this term's leader holds"""
    want: int
    """0, or: send me entries from this index, `prev_index` did not match"""


class Reject(msgspec.Struct, tag="rj", array_like=True, frozen=True):
    """What you sent is of a term that is over; this is mine."""

    term: int


class PreVote(msgspec.Struct, tag="pv", array_like=True, frozen=True):
    """Would you elect me in `term`?  Changes nothing at the voter."""

    term: int
    last_index: int
    last_term: int


class PreVoteAnswer(msgspec.Struct, tag="pa", array_like=True, frozen=True):
    term: int
    """of the question"""
    granted: bool
    wait_ns: int
    """of a refusal: ask again after this long; -1: the log is behind, asking again is of no use"""


class Vote(msgspec.Struct, tag="vo", array_like=True, frozen=True):
    term: int
    last_index: int
    last_term: int
    transfer: bool
    """the leader itself asked for this election: promises to it do not bind (rule 10)"""


class VoteAnswer(msgspec.Struct, tag="va", array_like=True, frozen=True):
    term: int
    granted: bool


class Transfer(msgspec.Struct, tag="tr", array_like=True, frozen=True):
    """The leader of `term` grants nothing any more: stand now (rule 10)."""

    term: int


class Grant(msgspec.Struct, tag="gr", array_like=True, frozen=True):
    """Your lease runs from your own stamp of heartbeat `sequence` (rule 13)."""

    term: int
    incarnation: int
    sequence: int
    epoch: int
    commit: int = -1
    """of the leader, so that you know how old what you know can be (`core.freshness`); -1: of an older version"""


class AskRestart(msgspec.Struct, tag="rs", array_like=True, frozen=True):
    """To the leader: my process is about to start again; log a restart lease.  Repeated until it is committed."""

    incarnation: int
    duration_ms: int


class SnapshotPiece(msgspec.Struct, tag="sp", array_like=True, frozen=True):
    """Of the leader's snapshot, for one who lacks entries that the leader has no more.  Fits into one datagram."""

    term: int
    index: int
    """of the snapshot"""
    mark: bytes
    """its name: pieces of one mark belong together, whoever sends them"""
    also: bytes
    """mark of the other snapshot that the sender holds; empty: it has none"""
    size: int
    """bytes of the whole, head and body"""
    head_size: int
    """bytes of it that are the head"""
    number: int
    """it begins at byte `number` · SNAPSHOT_PIECE_BYTES"""
    data: bytes
    asks: bool
    """the last of a burst: say what you have"""


class SnapshotAnswer(msgspec.Struct, tag="sa", array_like=True, frozen=True):
    """What I have of the snapshot `mark`; what I lack, send me."""

    term: int
    mark: bytes
    pieces: int
    """all pieces before this one"""
    ahead: int
    """and those behind it whose bits are set: bit n is piece `pieces` + 1 + n"""


class Dismissed(msgspec.Struct, tag="di", array_like=True, frozen=True):
    """This store of yours was taken off the roster; it does not join again by itself."""

    store_id: str


class Hold(msgspec.Struct, tag="ho", array_like=True, frozen=True):
    """Between holder and successor of slots that move (daemon/executor/holds.py); nothing depends on its arrival."""

    incarnation: int
    address: str
    generation: int
    what: str
    """noting, preparing, listening, asking, confirming"""
    leaves_udp: bool = False
    """listening: the sender will leave UDP until it is told what of it is free (daemon/executor/datagrams.py)"""
    number: int = 0
    """confirming: of the UdpKept by which the sender goes"""


class HoldTaken(msgspec.Struct, tag="ht", array_like=True, frozen=True):
    """The SYNs that the holder has taken, and whose repetitions are its own (datapath.engine.Taken)."""

    incarnation: int
    address: str
    generation: int
    is_whole: bool
    """false: it cannot tell, so do not wait for it"""
    client_bytes: int
    """of a client's address, with which each name begins"""
    syns: bytes
    """names one after the other: client, its port, our port, initial sequence number"""
    flows: bytes
    """the same without a number"""
    keeps_udp: bool = False
    """the holder goes on with some or all of UDP: which, a UdpKept says"""


class UdpKept(msgspec.Struct, tag="uk", array_like=True, frozen=True):
    """The conversations of UDP that the holder of moving slots keeps: all others are the successor's.

    Repeated until it is confirmed; a higher number names fewer.
    """

    incarnation: int
    address: str
    generation: int
    number: int
    """from 1 for each process and move"""
    name_bytes: int
    """of each name"""
    names: bytes
    """one after the other: client, its port, our port"""


class Draining(msgspec.Struct, tag="dr", array_like=True, frozen=True):
    """How far the sender's draining slots are (daemon/executor/progress.py); for people alone."""

    incarnation: int
    rows: list[tuple[str, int, int, int, int]]
    """address, slot, generation, flows left, milliseconds left of the drain time-out"""
    conversations: tuple[int, ...] = ()
    """of UDP that are left of each row; (): of a version that did not tell"""


class Proposal(msgspec.Struct, array_like=True, frozen=True):
    ticket: int
    body: bytes


class Propose(msgspec.Struct, tag="pr", array_like=True, frozen=True):
    """To the leader: append these for me.  Repeated until the proposer sees them committed."""

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
    | AskRestart
    | Propose
    | Dismissed
    | SnapshotPiece
    | SnapshotAnswer
    | Hold
    | HoldTaken
    | UdpKept
    | Draining
)

TAGS = frozenset(str(kind.__struct_config__.tag) for kind in get_args(Message))
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    return _encoder.encode(message)


class UnknownMessageError(ValueError):
    """Of a kind that this version does not know: a newer one may send it, and it is passed over."""


def decode(data: bytes) -> Message:
    """Raises UnknownMessageError, or ValueError for bytes that are no message (msgspec's errors are ValueErrors).

    Fields that a newer version has added at the end are passed over (msgspec, array_like structs).
    """
    try:
        return _decoder.decode(data)
    except msgspec.ValidationError:
        tag = _tag_of(data)
        if tag and tag not in TAGS:
            raise UnknownMessageError(f"a message of kind {tag!r}") from None
        raise


def _tag_of(data: bytes) -> str:
    """The first word of an array in MessagePack, read without unpacking the rest; empty: there is none."""
    start = {0xDC: 3, 0xDD: 5}.get(data[0], 1 if data[0] & 0xF0 == 0x90 else 0) if data else 0
    if not start or len(data) <= start or data[start] & 0xE0 != 0xA0:
        return ""
    tag = data[start + 1 : start + 1 + (data[start] & 0x1F)]
    return tag.decode("ascii") if tag.isalnum() and tag.isascii() else ""
