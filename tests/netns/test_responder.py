"""The ARP responder on a real segment: who answers, with which MACs, and when it is silent."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

import pytest

from datapath import frames
from datapath.dialects import ARP
from datapath.engine import DatapathError
from datapath.mac import pack_mac
from datapath.responder import Responder, boot_clock_ns
from datapath.strangers import ForeignClaim
from tests.netns.raw_segment import Station, ip, segment, wait_for

pytestmark = pytest.mark.root

VIP = IPv4Address("192.168.110.120")
SHARED = "21:37:6f:88:c2:a0"
HOST_MAC = "02:00:00:00:00:21"
CLIENT_MAC = "02:00:00:00:00:01"
CLIENT = IPv4Address("192.168.110.1")
FAR = 1 << 62
LINK_SETTLES_S = 5


@dataclass
class Pair:
    client: Station
    host: Station
    wire: socket.socket
    responder: Responder[IPv4Address]

    def ask(self, target: IPv4Address, sender: IPv4Address = CLIENT, mac: str = CLIENT_MAC) -> None:
        self.wire.send(frames.arp_request(target, sender, pack_mac(mac)))

    def wakes(self, within_s: float = 0.2) -> bool:
        return bool(select.select([self.responder], [], [], within_s)[0])

    def turn(self, within_s: float = 2) -> list[ForeignClaim]:
        """One turn of an event loop: wait until the responder is readable, and let it work."""
        assert self.wakes(within_s), "the filter let nothing through"
        return self.responder.on_readable()

    def answer(self, within_s: float = 1) -> frames.Arp | None:
        """The next ARP frame that arrives at the client."""
        if not select.select([self.wire], [], [], within_s)[0]:
            return None
        return frames.parse_arp(self.wire.recv(2048))


@pytest.fixture
def pair() -> Iterator[Pair]:
    with segment() as net:
        client = net.station("gw", str(CLIENT), CLIENT_MAC)
        host = net.station("a1", "192.168.110.121", HOST_MAC)
        wire = client.wire(frames.ETHERTYPE_ARP)
        with host.inside():
            responder = Responder("eth0", ARP)
        try:
            made = Pair(client, host, wire, responder)
            responder.serve({VIP: SHARED})
            responder.renew(FAR)

            def heard() -> bool:  # a bridge port forwards a moment after it comes up
                made.ask(VIP)
                if made.wakes(0.05):
                    responder.on_readable()
                return made.answer(0.05) is not None

            wait_for("the bridge to forward", heard, LINK_SETTLES_S)
            while made.wakes(0.05):
                responder.on_readable()
            while made.answer(0.05) is not None:
                pass
            yield made
        finally:
            responder.close()
            wire.close()


def test_a_question_is_answered_with_the_shared_mac_in_a_frame_from_the_interfaces_own(pair: Pair) -> None:
    pair.ask(VIP)
    assert pair.turn() == []
    assert pair.answer() == frames.Arp(
        destination=pack_mac(CLIENT_MAC),
        source=pack_mac(HOST_MAC),
        operation=frames.ArpOperation.REPLY,
        sender_mac=pack_mac(SHARED),
        sender_ip=VIP,
        target_mac=pack_mac(CLIENT_MAC),
        target_ip=CLIENT,
    )


def test_a_linux_client_takes_the_shared_mac_and_finds_it_reachable(pair: Pair) -> None:
    with pair.client.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"hello", (str(VIP), 9))
    pair.turn()
    entry = wait_for(
        "the neighbour entry",
        lambda: (text := ip("-n", pair.client.namespace, "neigh", "show", str(VIP))) and SHARED in text and text,
    )
    assert "REACHABLE" in entry


def test_a_question_sent_to_the_shared_mac_itself_is_answered(pair: Pair) -> None:
    """A cache revalidates its entry by a unicast request to the MAC that it knows."""
    question = frames.Arp(
        pack_mac(SHARED),
        pack_mac(CLIENT_MAC),
        frames.ArpOperation.REQUEST,
        pack_mac(CLIENT_MAC),
        CLIENT,
        pack_mac(SHARED),
        VIP,
    )
    pair.wire.send(frames.build_arp(question))
    pair.turn()
    answer = pair.answer()
    assert answer is not None
    assert answer.sender_mac == pack_mac(SHARED)


def test_a_probe_for_a_duplicate_is_answered_so_that_nobody_takes_the_address(pair: Pair) -> None:
    pair.ask(VIP, sender=frames.UNSPECIFIED)
    pair.turn()
    answer = pair.answer()
    assert answer is not None
    assert answer.sender_ip == VIP


def test_without_a_lease_it_is_silent(pair: Pair) -> None:
    pair.responder.renew(boot_clock_ns())
    pair.ask(VIP)
    pair.turn()
    assert pair.answer(0.2) is None
    assert pair.responder.silenced == 1


def test_a_lease_that_ends_between_reading_and_sending_silences_the_answer(pair: Pair) -> None:
    """The clock is read after the frame: here it passes the deadline during the call."""
    with pair.host.inside():
        late = Responder("eth0", ARP, clock=lambda: 1001)
    try:
        late.serve({VIP: SHARED})
        late.renew(1000)
        pair.responder.renew(0)
        pair.ask(VIP)
        assert select.select([late], [], [], 2)[0]
        late.on_readable()
        assert late.silenced == 1
        assert pair.answer(0.2) is None
    finally:
        late.close()


def test_a_storm_for_other_addresses_does_not_wake_it(pair: Pair) -> None:
    for number in range(2000):
        pair.ask(IPv4Address(int(IPv4Address("192.168.110.0")) + number % 250 if number % 250 != 120 else 1))
    assert not pair.wakes()
    pair.ask(VIP)
    assert pair.wakes(2)


def test_a_host_that_asks_as_the_address_itself_is_not_answered_and_does_not_wake(pair: Pair) -> None:
    pair.ask(VIP, sender=VIP, mac=SHARED)
    pair.ask(IPv4Address("192.168.110.9"), sender=VIP, mac=SHARED)
    assert not pair.wakes()


def test_a_strangers_claim_is_told_each_time_and_not_answered(pair: Pair) -> None:
    stranger = "02:00:00:00:00:66"
    for _ in range(2):
        pair.ask(VIP, sender=VIP, mac=stranger)
        assert pair.turn() == [ForeignClaim(VIP, stranger, "eth0", stranger)]
    assert pair.answer(0.2) is None


def test_its_own_question_tells_nobody_anything_and_is_answered_by_who_has_the_address(pair: Pair) -> None:
    stranger = "02:00:00:00:00:66"
    pair.responder.renew(0)
    pair.responder.ask(VIP)
    asked = pair.answer()
    assert asked is not None
    assert (asked.is_probe, asked.target_ip, asked.sender_mac) == (True, VIP, pack_mac(HOST_MAC))
    reply = frames.arp_reply(asked, pack_mac(stranger), pack_mac(CLIENT_MAC))
    pair.wire.send(reply)
    assert pair.turn() == [ForeignClaim(VIP, stranger, "eth0", CLIENT_MAC)]
    assert HOST_MAC not in ip("-n", pair.client.namespace, "neigh", "show", str(VIP))


def test_an_address_that_is_no_longer_served_does_not_wake(pair: Pair) -> None:
    other = IPv4Address("192.168.110.130")
    pair.responder.serve({other: SHARED})
    pair.ask(VIP)
    assert not pair.wakes()
    pair.ask(other)
    pair.turn()
    answer = pair.answer()
    assert answer is not None
    assert answer.sender_ip == other
    pair.responder.serve({})
    pair.ask(other)
    assert not pair.wakes()


def test_hundreds_of_addresses_are_served_and_too_many_are_refused_without_a_change(pair: Pair) -> None:
    first = IPv4Address("10.0.0.0")
    pair.responder.serve({first + number: SHARED for number in range(400)})
    pair.ask(first + 399)
    pair.turn()
    assert pair.answer() is not None
    with pytest.raises(DatapathError, match="401 shared addresses"):
        pair.responder.serve({first + number: SHARED for number in range(401)})
    pair.ask(first)
    pair.turn()
    assert pair.answer() is not None


def test_an_announcement_refreshes_a_clients_cache(pair: Pair) -> None:
    ip(*("-n", pair.client.namespace, "neigh", "replace", str(VIP)), *("lladdr", HOST_MAC, "dev", "eth0"))
    ip("-n", pair.client.namespace, "neigh", "change", str(VIP), "dev", "eth0", "nud", "stale")
    pair.responder.announce(VIP, SHARED)
    wait_for(
        "the announcement",
        lambda: SHARED in ip("-n", pair.client.namespace, "neigh", "show", str(VIP)),
    )
    announced = [pair.answer(), pair.answer()]
    assert [frame is not None and frame.is_announcement for frame in announced] == [True, True]


def test_without_a_lease_nothing_is_announced(pair: Pair) -> None:
    pair.responder.renew(0)
    with pytest.raises(DatapathError, match="no lease"):
        pair.responder.announce(VIP, SHARED)
    assert pair.answer(0.2) is None


def test_it_answers_again_when_the_interface_has_been_down(pair: Pair) -> None:
    ip("-n", pair.host.namespace, "link", "set", "eth0", "down")
    assert pair.turn() == []
    ip("-n", pair.host.namespace, "link", "set", "eth0", "up")

    def heard() -> bool:
        pair.ask(VIP)
        if pair.wakes(0.05):
            pair.responder.on_readable()
        return pair.answer(0.05) is not None

    wait_for("an answer", heard)


def test_an_interface_that_has_gone_is_told(pair: Pair) -> None:
    ip("-n", pair.host.namespace, "link", "delete", "eth0")
    with pytest.raises(DatapathError, match="ARP socket on eth0"):
        pair.turn()


def test_a_flood_is_handled_a_bounded_part_at_a_time(pair: Pair) -> None:
    for _ in range(200):
        pair.ask(VIP)
    wait_for("the flood", lambda: pair.wakes(0))
    before = pair.responder.answered
    pair.turn()
    assert 0 < pair.responder.answered - before <= 64


def test_an_unknown_interface_is_named() -> None:
    with segment() as net:
        host = net.station("a1", "192.168.110.121", HOST_MAC)
        with host.inside(), pytest.raises(DatapathError, match="eth7"):
            Responder("eth7", ARP)


def test_a_loopback_device_is_refused() -> None:
    with segment() as net:
        host = net.station("a1", "192.168.110.121", HOST_MAC)
        with host.inside(), pytest.raises(DatapathError, match="not an Ethernet device"):
            Responder("lo", ARP)
