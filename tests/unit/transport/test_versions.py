"""A node one minor version older and a present one understand each other, in both directions."""

from __future__ import annotations

import msgspec
import pytest

from daemon.cluster import greeting, messages
from daemon.cluster.chunks import Splitter
from daemon.cluster.core.snapshot import Head, head_of
from daemon.cluster.hearing import Probe
from daemon.cluster.messages import (
    Append,
    AskRestart,
    Dismissed,
    Grant,
    Heartbeat,
    Message,
    PreVote,
    Reject,
    UnknownMessageError,
    VoteAnswer,
)
from daemon.cluster.records import Admit, LogEntry, Member, Roster
from daemon.cluster.seal import MAJOR, Algorithm, Opened, Opener, Reason, Refused, Sealer
from daemon.cluster.transport import Transport
from tests import messages_2_1
from tests import older_messages as older

KEY = bytes(range(32))
ENTRY = LogEntry(1, 1, 0, Admit("a2", 7, "boot"))
SHARED: tuple[Message, ...] = (
    Heartbeat(7, "boot", 1, 3, 5, {"a1": (1, 9)}, "store", joins=True, witness=True),
    Append(1, 2, 0, 0, [ENTRY], 1, True),
    PreVote(3, 1, 1),
    VoteAnswer(3, True),
    Grant(1, 7, 1, 1, 5),
    Reject(9),
)


@pytest.mark.parametrize("message", SHARED, ids=lambda message: type(message).__name__)
def test_an_older_node_reads_what_a_present_one_writes_without_what_it_does_not_know(message: Message) -> None:
    read = older.decode(messages.encode(message))
    assert type(read).__name__ == type(message).__name__
    for field in read.__struct_fields__:
        assert getattr(read, field) == getattr(message, field)


@pytest.mark.parametrize("message", SHARED, ids=lambda message: type(message).__name__)
def test_a_present_node_reads_what_an_older_one_writes_with_defaults_for_what_is_new(message: Message) -> None:
    written = older.encode(older.decode(messages.encode(message)))
    read = messages.decode(written)
    known = older.decode(written).__struct_fields__
    for field in msgspec.structs.fields(read):
        expected = getattr(message, field.name) if field.name in known else field.default
        assert getattr(read, field.name) == expected


def test_messages_that_came_later_are_unknown_to_the_older_one_and_nothing_worse() -> None:
    for later in (Dismissed("store"), AskRestart(7, 1000)):
        with pytest.raises(msgspec.ValidationError):
            older.decode(messages.encode(later))
    with pytest.raises(UnknownMessageError, match="'zz'"):
        messages.decode(msgspec.msgpack.encode(["zz", 1, {"deep": [1]}]))


def test_a_field_at_the_end_that_a_newer_one_adds_is_passed_over() -> None:
    newer = msgspec.msgpack.encode([*msgspec.msgpack.decode(messages.encode(Reject(4))), "new", {"a": 1}])
    assert messages.decode(newer) == Reject(4)


def test_minor_versions_open_each_others_seals_and_major_ones_do_not() -> None:
    opener = Opener(KEY, "demo", own=("a1", b"o" * 16))
    for minor in (0, 1, 2, 3, 200):
        opened = opener.open(Sealer(KEY, "demo", f"n{minor}", 7, salt=b"p" * 16, minor=minor).seal(b"x"))
        assert isinstance(opened, Opened)
        assert opened.minor == minor
    datagram = bytearray(Sealer(KEY, "demo", "a2", 7, salt=b"p" * 16).seal(b"x"))
    datagram[4] = MAJOR + 1
    assert opener.open(bytes(datagram)) == Refused(Reason.VERSION)


def test_a_transport_hears_an_older_node_and_counts_what_a_newer_one_says_beyond_it() -> None:
    heard: list[Message] = []
    transport = Transport(
        cluster="demo",
        node="a1",
        members=("a1", "a2", "a3"),
        key=KEY,
        incarnation=1,
        salt=b"o" * 16,
        algorithm=Algorithm.AES_256_GCM,
        on_message=lambda sender, message: heard.append(message),
        clock=lambda: 0,
    )
    splitter = Splitter()
    for name, minor in (("a2", 0), ("a3", 9)):
        sealer = Sealer(KEY, "demo", name, 7, salt=name.encode() * 8, minor=minor)
        payloads = [b"\x02\x00" + b"o" * 16, b"\x63 a kind of payload that came later"]
        payloads += [greeting.data(splitter.split(msgspec.msgpack.encode(["zz", 1]))[0])]
        payloads += [greeting.data(splitter.split(older.encode(older.Reject(minor)))[0])]
        for payload in payloads:
            transport._receive("eth0", sealer.seal(payload), ("192.0.2.2", 5405))
    assert heard == [Reject(0), Reject(9)]
    statistics = transport.statistics()
    assert statistics.refusals == {"unknown-kind": 2, "unknown-message": 2}
    assert statistics.minors == {"a2": 0, "a3": 9}


class Wire:
    """A link that remembers what it was to send, and whether to one or to all."""

    group, port = "239.192.110.1", 5405

    def __init__(self, name: str) -> None:
        self.name = name
        self.to_one: list[bytes] = []
        self.to_all: list[bytes] = []

    def send(self, datagram: bytes, address: object) -> None:
        self.to_one.append(datagram)

    def send_to_all(self, datagram: bytes, besides: object) -> None:
        self.to_all.append(datagram)

    def trust(self, salts: object) -> None:
        pass


@pytest.mark.parametrize("minor", [2, 3])
def test_what_is_for_an_older_node_that_knows_no_addressees_goes_nowhere_but_to_it(minor: int) -> None:
    """Where it was not heard yet a newer one is reached by multicast, and nobody else takes that."""
    transport = Transport(
        cluster="demo",
        node="a1",
        members=("a1", "a2", "a3"),
        key=KEY,
        incarnation=1,
        salt=b"o" * 16,
        algorithm=Algorithm.AES_256_GCM,
        on_message=lambda sender, message: None,
        clock=lambda: 0,
    )
    heard, unheard = Wire("eth0"), Wire("eth1")
    transport._links = [heard, unheard]  # type: ignore[list-item]
    sealer = Sealer(KEY, "demo", "a2", 7, salt=b"p" * 16, minor=minor)
    transport._receive("eth0", sealer.seal(b"\x02\x00" + b"o" * 16), ("192.0.2.2", 5405))
    for wire in (heard, unheard):
        wire.to_one, wire.to_all = [], []
    transport.send("a2", VoteAnswer(1, True))
    assert (len(heard.to_one), len(heard.to_all)) == (1, 0)
    assert (len(unheard.to_one), len(unheard.to_all)) == (0, 0 if minor < greeting.ADDRESSED_SINCE else 1)
    said = Opener(KEY, "demo", own=("a2", b"p" * 16)).open(heard.to_one[0])
    assert isinstance(said, Opened)
    assert said.payload[0] == (1 if minor < greeting.ADDRESSED_SINCE else 8)


def test_a_roster_with_an_id_is_one_without_to_an_older_node_in_the_log_and_in_a_snapshot() -> None:
    roster = Roster((Member("a1", "s1", True),), (("a3", "s3"),), "a1", "the cluster has an id", False, "0a" * 16)
    entry = LogEntry(4, 2, 9, roster)
    read = msgspec.msgpack.decode(msgspec.msgpack.encode(entry), type=messages_2_1.LogEntry)
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(read), type=LogEntry)
    assert again == msgspec.structs.replace(entry, command=msgspec.structs.replace(roster, cluster_id=""))
    head = head_of(index=4, term=2, stamp_ms=9, standings={}, recorded={"a1": "s1"}, roster=roster, remembered=())
    older_head = msgspec.msgpack.decode(msgspec.msgpack.encode(head), type=messages_2_1.Head)
    assert older_head.roster == read.command
    written = msgspec.msgpack.decode(msgspec.msgpack.encode(older_head), type=Head)
    assert written.roster == again.command


def test_a_probe_with_a_public_half_is_one_without_to_an_older_node_and_the_other_way_round() -> None:
    marks = (b"abcd", b"efgh")
    present = Probe(True, True, False, marks, b"p" * 32).encode()
    before = present[: 2 + present[1] * 4]
    assert Probe.decode(present) == Probe(True, True, False, marks, b"p" * 32)
    assert Probe.decode(before) == Probe(True, True, False, marks)
    assert Probe.decode(present[:-1]) == Probe(True, True, False, marks), "half a public half is none"
