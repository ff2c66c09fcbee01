"""What reaches a transport from a holder of the key, and what becomes of it: no socket, every byte chosen here."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.cluster import greeting
from daemon.cluster.acquaintances import STRANGERS_MAX
from daemon.cluster.chunks import Splitter
from daemon.cluster.messages import Heartbeat, Message, Reject, encode
from daemon.cluster.seal import Algorithm, Sealer
from daemon.cluster.transport import Transport

KEY = bytes(range(32))
OWN_SALT = b"o" * 16
SOURCE = ("10.0.0.2", 5405)


class Peer:
    """A member a2 that seals whatever it is told to, and a transport of a1 that hears it."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Message]] = []
        self.now_ns = 0
        self.transport = Transport(
            cluster="demo",
            node="a1",
            members=("a1", "a2"),
            key=KEY,
            incarnation=1,
            salt=OWN_SALT,
            algorithm=Algorithm.AES_256_GCM,
            on_message=lambda sender, message: self.heard.append((sender, message)),
            clock=lambda: self.now_ns,
        )
        self.sealer = Sealer(KEY, "demo", "a2", 7, salt=b"p" * 16)
        self.splitter = Splitter()

    def greet(self) -> None:
        self.payload(b"\x02\x00" + OWN_SALT)

    def payload(self, payload: bytes) -> None:
        self.transport._receive("eth0", self.sealer.seal(payload), SOURCE)

    def message(self, encoded: bytes) -> None:
        for piece in self.splitter.split(encoded):
            self.payload(greeting.data(piece))

    @property
    def refusals(self) -> dict[str, int]:
        return dict(self.transport.statistics().refusals)


def test_a_member_that_has_greeted_us_is_delivered() -> None:
    peer = Peer()
    peer.message(encode(Reject(1)))
    assert peer.heard == []
    assert peer.refusals == {"unproven": 1}
    peer.greet()
    peer.message(encode(Reject(2)))
    assert peer.heard == [("a2", Reject(2))]


def test_strangers_with_the_key_are_heard_and_only_so_many_are_remembered() -> None:
    peer = Peer()
    peer.greet()
    for number in range(3 * STRANGERS_MAX):
        stranger = Sealer(KEY, "demo", f"s{number}", 7, salt=b"%016d" % number)
        peer.transport._receive("eth0", stranger.seal(b"\x02\x00" + OWN_SALT), SOURCE)
        peer.transport._receive(
            "eth0", stranger.seal(greeting.data(Splitter().split(encode(Reject(1)))[0])), SOURCE
        )
    assert peer.heard[-1] == (f"s{3 * STRANGERS_MAX - 1}", Reject(1))
    transport = peer.transport
    assert len(transport._acquaintances) == STRANGERS_MAX + 1
    assert len(transport._opener._sessions) == STRANGERS_MAX + 1
    peer.message(encode(Reject(2)))
    assert peer.heard[-1] == ("a2", Reject(2)), "a member is not forgotten for them"
    transport.known(("a1", "s1"))
    assert "a2" in transport._acquaintances.strangers, "who was removed is a stranger again"


def test_an_undecodable_message_is_counted_and_the_next_one_delivered() -> None:
    peer = Peer()
    peer.greet()
    for wrong in (
        b"",
        b"\xc1",
        msgspec.msgpack.encode(["zz", 1]),
        msgspec.msgpack.encode(["rj", "text"]),
        b"\x91" * 5000,
    ):
        peer.message(wrong)
    assert peer.refusals == {"undecodable": 4, "unknown-message": 1}
    peer.message(encode(Reject(3)))
    assert peer.heard == [("a2", Reject(3))]


def test_a_heartbeat_for_another_incarnation_is_refused() -> None:
    peer = Peer()
    peer.greet()
    peer.message(encode(Heartbeat(6, "boot", 1, 1, 0, {})))
    peer.message(encode(Heartbeat(7, "boot", 1, 1, 0, {})))
    assert [message.sequence for _, message in peer.heard if isinstance(message, Heartbeat)] == [1]
    assert peer.refusals == {"incarnation": 1}


def test_a_wrong_key_is_logged_with_what_to_compare(caplog: pytest.LogCaptureFixture) -> None:
    peer = Peer()
    stranger = Sealer(bytes(32), "demo", "a2", 7, salt=b"p" * 16)
    for _ in range(3):
        peer.transport._receive("eth0", stranger.seal(b"x"), SOURCE)
    assert [record.message for record in caplog.records] == [
        "refused a datagram from 10.0.0.2: wrong-key: a2 (sealed with a key that this node does not have: "
        "compare 'vipcast key status' on both; where the older one is, type 'vipcast cluster join --force TOKEN', "
        "with a token that 'vipcast cluster token' prints on the other)"
    ]


def test_a_neighbour_cluster_is_told_from_a_wrong_key(caplog: pytest.LogCaptureFixture) -> None:
    peer = Peer()
    neighbour = Sealer(bytes(32), "staging", "b1", 7, salt=b"p" * 16)
    peer.transport._receive("eth0", neighbour.seal(b"x"), SOURCE)
    assert peer.refusals == {"other-cluster": 1}
    assert "10.0.0.2: other-cluster: b1 (of a cluster with another name" in caplog.text


def test_unfinished_messages_are_given_up_and_counted() -> None:
    peer = Peer()
    peer.greet()
    pieces = peer.splitter.split(bytes(5000))
    peer.payload(greeting.data(pieces[0]))
    peer.now_ns += 60_000_000_000
    peer.message(encode(Reject(1)))
    assert peer.heard == [("a2", Reject(1))]
    assert peer.transport.statistics().incomplete == 1


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=1300), max_size=20), st.lists(st.binary(max_size=400), max_size=20))
def test_no_payload_of_a_faulty_member_raises(payloads: list[bytes], messages: list[bytes]) -> None:
    peer = Peer()
    for payload in payloads:
        peer.payload(payload)
    peer.greet()
    for payload in payloads:
        peer.payload(payload)
        peer.payload(b"\x01" + payload)
    for message in messages:
        peer.message(message)
    peer.message(encode(Reject(9)))
    assert peer.heard[-1] == ("a2", Reject(9))


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=2000), max_size=30))
def test_no_datagram_of_a_stranger_raises_or_is_delivered(datagrams: list[bytes]) -> None:
    peer = Peer()
    peer.greet()
    for datagram in datagrams:
        peer.transport._receive("eth0", datagram, SOURCE)
    assert peer.heard == []
    assert sum(peer.refusals.values()) == len(datagrams)
