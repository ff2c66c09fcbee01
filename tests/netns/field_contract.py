"""What every engine must stand in the field: other interfaces on the segment, and what others change on the host.

Mixed into the classes of tests/netns/test_*_engine*.py; uses their fixtures.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from datapath.engine import Address, MacMode, SlotState, Wish
from datapath.mac import igmp_group, shared_mac
from datapath.neighbours import solicited_node
from tests.netns import actions
from tests.netns.engine_contract import (
    ADDRESS,
    LONG_LEASE_MS,
    PATIENCE_S,
    SILENCE_S,
    SLOTS,
    all_slots,
    fingerprint,
    many_sources,
    outcomes,
    share,
    until,
)
from tests.netns.frames import CLIENT_MAC
from tests.netns.segment import PREFIXLEN, VIP, Member, Segment
from tests.netns.segment_contract import ADDRESS6, OPEN6, VIP6

OPEN = Wish(ADDRESS, all_slots(SlotState.OPEN))
JOINED = Wish(
    replace(ADDRESS, mac=shared_mac(ADDRESS.ip, PREFIXLEN, mode=MacMode.IGMP), mac_mode=MacMode.IGMP), OPEN.states
)
BOTH = [JOINED, Wish(replace(ADDRESS6, resource="VIP6"), OPEN6.states)]
PINGS = 40
BESIDE = "eth1"


class FieldContract:
    def test_by_another_interface_on_the_segment_no_packet_comes_in_twice(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        """A second cable, or what a macvlan stands on: frames to the shared MAC arrive there as well."""
        hosts[0].engine.call(actions.apply, BOTH)
        hosts[1].engine.call(actions.apply, [Wish(wish.address) for wish in BOTH])
        for host in hosts[:2]:
            host.engine.call(actions.renew, LONG_LEASE_MS)
        with second_interface(segment, hosts[0]), second_interface(segment, hosts[1]):
            for host in hosts[:2]:
                # it came, nobody has undone anything
                assert {change.what for change in host.engine.call(actions.repair)} == {"added"}
            before = [echoes(host) for host in hosts]
            segment.client.service.call(
                actions.send_frames, [ping for wish in BOTH for ping in pings(wish.address)]
            )
            until(lambda: echoes(hosts[0]), before[0] + 2 * PINGS)
            time.sleep(SILENCE_S)
            taken = [echoes(host) - former for host, former in zip(hosts, before, strict=True)]
            assert taken == [2 * PINGS, 0, 0]
            for host in hosts[:2]:
                host.engine.call(actions.remove)
                assert "= 1" not in host.run(
                    "sysctl", *(f"net.{ip}.conf.{BESIDE}.drop_unicast_in_l2_multicast" for ip in ("ipv4", "ipv6"))
                )

    def test_a_shared_mac_of_one_station_serves_and_no_switch_learns_it(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        """A switch that had learnt it would send everything to one host alone."""
        mac = shared_mac(ADDRESS.ip, PREFIXLEN, mode=MacMode.UNICAST)
        share(replace(ADDRESS, mac=mac, mac_mode=MacMode.UNICAST), hosts, dict(enumerate([*hosts[:2]] * 2)))
        told = ["ip", "neigh", "replace", VIP, "nud", "permanent", "dev", "eth0", "lladdr"]
        segment.client.run(*told, mac)
        try:
            assert outcomes(segment, many_sources(20), PATIENCE_S) == {"h1", "h2"}
            sent = segment.client.engine.call(actions.send_datagrams, many_sources(20), VIP, 8080, SILENCE_S)
            assert {len(answers) for answers in sent.values()} == {1}
            learnt = hosts[0].run("bridge", "-n", segment.switch, "fdb")
            assert hosts[0].run("cat", "/sys/class/net/eth0/address").strip() in learnt
            assert mac not in learnt
        finally:
            segment.client.run(*told, ADDRESS.mac)

    def test_each_thing_that_others_undo_is_named_and_done_again(self, hosts: list[Member]) -> None:
        host = hosts[0]
        # the kernel's own addresses are there once it knows that nobody else has them
        assert until(lambda: len(host.run("ip", "-6", "address", "show", "tentative")), 0) == 0
        host.engine.call(actions.apply, BOTH)
        host.engine.call(actions.renew, LONG_LEASE_MS)
        assert host.engine.call(actions.repair) == []
        before = fingerprint(host)
        for damage in damages(host.engine.call(actions.place)):
            host.run(*damage.split())
            changes = host.engine.call(actions.repair)
            assert [change.what for change in changes] == ["repaired"], damage
            assert host.engine.call(actions.repair) == [], damage
        assert fingerprint(host) == before

    def test_nothing_answers_while_rules_and_settings_are_gone_and_all_is_well_after_one_repair(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        share(ADDRESS, hosts, dict.fromkeys(range(SLOTS), hosts[0]))
        for host in hosts:
            host.run("nft", "flush", "ruleset")
        answers = segment.client.engine.call(actions.send_datagrams, many_sources(10), VIP, 8080, SILENCE_S)
        assert max(len(answer) for answer in answers.values()) <= 1
        for host in hosts:
            host.run("sysctl", "-qw", *SETTINGS)
            host.engine.call(actions.repair)
        assert outcomes(segment, many_sources(10), PATIENCE_S) == {"h1"}
        answers = segment.client.engine.call(actions.send_datagrams, many_sources(10), VIP, 8080, SILENCE_S)
        assert list(answers.values()) == [["h1"]] * 10


SETTINGS = [
    f"net.ipv4.conf.{interface}.{name}=0"
    for interface in ("all", "eth0")
    for name in ("arp_ignore", "arp_announce", "drop_unicast_in_l2_multicast")
]


def damages(place: str) -> list[str]:
    """Commands that each take away one thing that one of the addresses needs."""
    return [
        *(f"sysctl -qw {setting}" for setting in SETTINGS),
        "sysctl -qw net.ipv6.conf.eth0.drop_unicast_in_l2_multicast=0",
        *(f"ip maddr del {wish.address.mac} dev eth0" for wish in BOTH),
        f"ip addr del {igmp_group(ADDRESS.ip)}/32 dev eth0",
        f"ip addr del {solicited_node(VIP6)}/128 dev eth0",
        *(f"ip addr del {wish.address.ip}/{wish.address.ip.max_prefixlen} dev {place}" for wish in BOTH),
    ]


@contextmanager
def second_interface(segment: Segment, host: Member) -> Iterator[None]:
    """Another cable to the same switch."""
    port = f"q-{host.name}"
    switch = segment.switch
    for words in (
        f"ip -n {switch} link add {port} type veth peer {BESIDE} netns {host.namespace}",
        f"ip -n {switch} link set {port} master br0 up",
        f"ip -n {host.namespace} link set {BESIDE} up",
    ):
        host.run(*words.split())
    try:
        yield
    finally:
        host.run("ip", "link", "del", BESIDE)


def pings(address: Address) -> list[bytes]:
    head = Ether(dst=address.mac, src=CLIENT_MAC)
    if address.ip.version == 4:
        return [
            bytes(head / IP(src=f"10.80.3.{n + 1}", dst=str(address.ip)) / ICMP(id=n) / Raw(b"x"))
            for n in range(PINGS)
        ]
    return [
        bytes(head / IPv6(src=f"fd78::3:{n + 1:x}", dst=str(VIP6)) / ICMPv6EchoRequest(id=n, data=b"x"))
        for n in range(PINGS)
    ]


def echoes(host: Member) -> int:
    """Echo requests that have reached this host's own stack."""
    titles, values = (
        line.split() for line in host.run("cat", "/proc/net/snmp").splitlines() if line.startswith("Icmp:")
    )
    of_ipv6 = dict(line.split() for line in host.run("cat", "/proc/net/snmp6").splitlines())
    return int(values[titles.index("InEchos")]) + int(of_ipv6["Icmp6InEchos"])
