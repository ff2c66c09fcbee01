"""The responder for IPv6 on a real segment: a Linux client's cache learns the shared MAC, and no other one."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address

import pytest
from scapy.layers.inet6 import ICMPv6ND_NS, IPv6
from scapy.layers.l2 import Ether

from datapath import neighbours
from datapath.dialects import NEIGHBOUR_DISCOVERY
from datapath.engine import DatapathError
from datapath.frames import ETHERTYPE_IPV6
from datapath.mac import pack_mac
from datapath.neighbours import UNSPECIFIED, Advertisement
from datapath.responder import Responder, boot_clock_ns
from datapath.strangers import ForeignClaim
from tests.netns.raw_segment import Station, ip, segment, wait_for

pytestmark = pytest.mark.root

VIP = IPv6Address("fd77::ab:cdef")
CLIENT = IPv6Address("fd77::1")
SHARED = "21:37:6f:88:c2:a0"
GROUP_FORM = "33:33:6f:88:c2:a0"
HOST_MAC = "02:00:00:00:00:21"
CLIENT_MAC = "02:00:00:00:00:01"
STRANGER_MAC = "02:00:00:00:00:66"
FAR = 1 << 62
LINK_SETTLES_S = 5


@dataclass
class Pair:
    client: Station
    host: Station
    wire: socket.socket
    responder: Responder[IPv6Address]

    def ask(self, target: IPv6Address = VIP, sender: IPv6Address = CLIENT, mac: str = CLIENT_MAC) -> None:
        self.wire.send(neighbours.solicitation(target, sender, pack_mac(mac)))

    def wakes(self, within_s: float = 0.2) -> bool:
        return bool(select.select([self.responder], [], [], within_s)[0])

    def turn(self, within_s: float = 2) -> list[ForeignClaim]:
        """One turn of an event loop: wait until the responder is readable, and let it work."""
        assert self.wakes(within_s), "the filter let nothing through"
        return self.responder.on_readable()

    def answer(self, within_s: float = 1) -> Advertisement | None:
        """The next advertisement that arrives at the client; other frames of IPv6 are passed over."""
        while select.select([self.wire], [], [], within_s)[0]:
            read = neighbours.parse(self.wire.recv(2048))
            if isinstance(read, Advertisement):
                return read
        return None

    def cache(self) -> str:
        return ip("-n", self.client.namespace, "-6", "neigh", "show", str(VIP))


@pytest.fixture
def pair() -> Iterator[Pair]:
    with segment() as net:
        client = net.station("gw", "192.168.110.1", CLIENT_MAC)
        host = net.station("a1", "192.168.110.121", HOST_MAC)
        for station, address in ((client, CLIENT), (host, IPv6Address("fd77::21"))):
            ip("-n", station.namespace, "address", "add", f"{address}/64", "dev", "eth0", "nodad")
        wire = client.wire(ETHERTYPE_IPV6)
        with host.inside():
            responder = Responder("eth0", NEIGHBOUR_DISCOVERY)
        try:
            made = Pair(client, host, wire, responder)
            responder.serve({VIP: SHARED})
            responder.renew(FAR)

            def heard() -> bool:  # a bridge port forwards a moment after it comes up
                made.ask()
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
    pair.ask()
    assert pair.turn() == []
    assert pair.answer() == Advertisement(pack_mac(HOST_MAC), VIP, VIP, pack_mac(SHARED))


@pytest.mark.parametrize("mac", [SHARED, GROUP_FORM])
def test_a_linux_client_takes_the_shared_mac_and_finds_it_reachable(pair: Pair, mac: str) -> None:
    pair.responder.serve({VIP: mac})
    with pair.client.inside(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"hello", (str(VIP), 9))
    pair.turn()
    entry = wait_for("the neighbour entry", lambda: (text := pair.cache()) and mac in text and text)
    assert "REACHABLE" in entry


def test_a_question_sent_to_the_shared_mac_itself_is_answered(pair: Pair) -> None:
    """A cache revalidates its entry by a unicast solicitation to the MAC that it knows (RFC 4861, section 7.3.3)."""
    head = Ether(src=CLIENT_MAC, dst=SHARED) / IPv6(src=str(CLIENT), dst=str(VIP), hlim=255)
    pair.wire.send(bytes(head / ICMPv6ND_NS(tgt=str(VIP))))
    pair.turn()
    answer = pair.answer()
    assert answer is not None
    assert answer.target_mac == pack_mac(SHARED)


def test_a_probe_for_a_duplicate_is_answered_so_that_nobody_takes_the_address(pair: Pair) -> None:
    """The client's own kernel probes (RFC 4862, section 5.4), and gives the address up."""
    ip("-n", pair.client.namespace, "address", "add", f"{VIP}/64", "dev", "eth0")
    pair.turn()

    def failed() -> bool:
        if pair.wakes(0.05):
            pair.responder.on_readable()
        return "dadfailed" in ip("-n", pair.client.namespace, "-6", "address", "show", "dev", "eth0")

    wait_for("the client to give up", failed)


def test_without_a_lease_it_is_silent(pair: Pair) -> None:
    pair.responder.renew(boot_clock_ns())
    pair.ask()
    pair.turn()
    assert pair.answer(0.2) is None
    assert pair.responder.silenced == 1


def test_questions_for_other_addresses_and_forwarded_ones_do_not_wake_it(pair: Pair) -> None:
    for number in range(500):
        pair.ask(IPv6Address(int(IPv6Address("fd77::1:0")) + number))
    forwarded = bytearray(neighbours.solicitation(VIP, CLIENT, pack_mac(CLIENT_MAC)))
    forwarded[21] = 254
    pair.wire.send(bytes(forwarded))
    assert not pair.wakes()
    pair.ask()
    assert pair.wakes(2)


def test_a_strangers_claim_is_told_each_time_and_another_hosts_answer_never(pair: Pair) -> None:
    pair.wire.send(neighbours.announcement(VIP, pack_mac(SHARED), pack_mac(CLIENT_MAC)))
    assert not pair.wakes()
    for _ in range(2):
        pair.wire.send(neighbours.announcement(VIP, pack_mac(STRANGER_MAC), pack_mac(CLIENT_MAC)))
        assert pair.turn() == [ForeignClaim(VIP, STRANGER_MAC, "eth0", CLIENT_MAC)]


def test_hundreds_of_addresses_are_served_and_too_many_are_refused_without_a_change(pair: Pair) -> None:
    first = int(IPv6Address("fd77::1:0"))
    many = [IPv6Address(first + number) for number in range(101)]
    pair.responder.serve(dict.fromkeys(many[:100], SHARED))
    pair.ask(many[99])
    pair.turn()
    assert pair.answer() is not None
    with pytest.raises(DatapathError, match="101 shared addresses"):
        pair.responder.serve(dict.fromkeys(many, SHARED))
    pair.ask(many[0])
    pair.turn()
    assert pair.answer() is not None


def test_an_announcement_refreshes_a_clients_cache(pair: Pair) -> None:
    ip("-n", pair.client.namespace, "neigh", "replace", str(VIP), "lladdr", HOST_MAC, "dev", "eth0")
    ip("-n", pair.client.namespace, "neigh", "change", str(VIP), "dev", "eth0", "nud", "stale")
    pair.responder.announce(VIP, SHARED)
    wait_for("the announcement", lambda: SHARED in pair.cache())


def test_tagged_frames_are_another_networks_and_mere_priorities_are_ours(pair: Pair) -> None:
    asked = neighbours.solicitation(VIP, CLIENT, pack_mac(CLIENT_MAC))
    pair.wire.send(asked[:12] + b"\x81\0\0\x05" + asked[12:])
    assert not pair.wakes()
    pair.wire.send(asked[:12] + b"\x81\0\xe0\0" + asked[12:])
    pair.turn()
    assert pair.answer() is not None


def test_an_asker_without_an_address_does_not_learn_by_unicast(pair: Pair) -> None:
    pair.ask(sender=UNSPECIFIED)
    pair.turn()
    frames = []
    while select.select([pair.wire], [], [], 0.2)[0]:
        frames.append(pair.wire.recv(2048))
    told = [frame for frame in frames if isinstance(neighbours.parse(frame), Advertisement)]
    assert [frame[:6].hex(":") for frame in told] == ["33:33:00:00:00:01"]
