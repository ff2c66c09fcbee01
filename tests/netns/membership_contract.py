"""Groups that hosts are members of, as a switch that snoops sees them: beside `EngineContract`.

Queries are crafted with scapy; what a host answers is captured at the client's port.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from scapy.contrib.igmp import IGMP
from scapy.contrib.igmpv3 import IGMPv3, IGMPv3gr, IGMPv3mq, IGMPv3mr
from scapy.layers.inet import IP, IPOption_Router_Alert
from scapy.layers.inet6 import (
    ICMPv6MLQuery,
    ICMPv6MLQuery2,
    ICMPv6MLReport,
    ICMPv6MLReport2,
    IPv6,
    IPv6ExtHdrHopByHop,
    RouterAlert,
)
from scapy.layers.l2 import Ether

from datapath.engine import MacMode, SlotState, Wish
from datapath.mac import igmp_group, shared_mac
from datapath.neighbours import solicited_node
from tests.netns import actions
from tests.netns.engine_contract import ADDRESS, LONG_LEASE_MS, PATIENCE_S, all_slots
from tests.netns.segment import CLIENT, CLIENTS, PREFIXLEN, Member, Segment
from tests.netns.segment_contract import ADDRESS6, VIP6

ROUTER_MAC = "02:00:00:00:00:fe"
GROUP = str(igmp_group(ADDRESS.ip))
GROUP6 = str(solicited_node(VIP6))
AT_ONCE = 1
"""a tenth of a second (IGMP), a millisecond (MLD): the most that an answer may wait"""
MEMBERS = [
    Wish(
        replace(ADDRESS, mac=shared_mac(ADDRESS.ip, PREFIXLEN, mode=MacMode.IGMP), mac_mode=MacMode.IGMP),
        all_slots(SlotState.OPEN),
    ),
    Wish(replace(ADDRESS6, resource="VIP6"), all_slots(SlotState.OPEN)),
]


class MembershipContract:
    def test_the_groups_are_joined_kept_and_told_to_every_querier(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        host, client = hosts[0], segment.client
        client.service.call(actions.start_tap)
        host.engine.call(actions.apply, MEMBERS)
        host.engine.call(actions.renew, LONG_LEASE_MS)
        joined = reports(heard_until(client, lambda said: {GROUP, GROUP6} <= said.keys()))
        assert {GROUP, GROUP6} <= joined.keys()
        # an interface that goes down loses its IPv6 addresses, and with them the reason for its groups
        host.run("ip", "link", "set", "eth0", "down")
        client.service.call(actions.start_tap)
        host.run("ip", "link", "set", "eth0", "up")
        host.engine.call(actions.repair)
        again = reports(heard_until(client, lambda said: {GROUP, GROUP6} <= said.keys()))
        assert {GROUP, GROUP6} <= again.keys(), "joined again after the interface was down"
        restore_route(host)
        ask_and_hear(client, host)

    def test_a_group_that_comes_before_the_hosts_own_address_is_never_a_source(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        """The network is configured anew while the address is held: the group is back first."""
        host, client = hosts[0], segment.client
        host.engine.call(actions.apply, MEMBERS)
        host.run("ip", "-4", "address", "flush", "dev", "eth0")
        host.engine.call(actions.repair)
        host.run("ip", "address", "add", f"{host.ip}/{PREFIXLEN}", "dev", "eth0")
        restore_route(host)
        client.service.call(actions.start_tap)
        client.service.call(actions.send_frames, [igmp3_query(GROUP)])
        said = reports(heard_until(client, lambda said: GROUP in said))
        assert said[GROUP] == {host.ip}
        route = host.run("ip", "route", "get", "255.255.255.255", "oif", "eth0")
        assert f"src {host.ip} " in route


def restore_route(host: Member) -> None:
    """It went with the interface, or with its address; the other tests' clients are behind it."""
    host.run("ip", "route", "replace", CLIENTS, "via", CLIENT)


def ask_and_hear(client: Member, host: Member) -> None:
    """Every kind of query is answered, the newest versions first: an old querier silences them for a while."""
    own6 = host.run("ip", "-6", "-o", "address", "show", "dev", "eth0", "scope", "link")
    queries: list[tuple[bytes, str]] = [
        (igmp3_query("0.0.0.0"), GROUP),
        (igmp3_query(GROUP), GROUP),
        (igmp2_query("0.0.0.0"), GROUP),
        (igmp2_query(GROUP), GROUP),
        (mld2_query("::"), GROUP6),
        (mld2_query(GROUP6), GROUP6),
        (mld1_query("::"), GROUP6),
        (mld1_query(GROUP6), GROUP6),
    ]
    for number, (query, group) in enumerate(queries):
        client.service.call(actions.start_tap)
        client.service.call(actions.send_frames, [query])
        said = reports(heard_until(client, lambda said, group=group: group in said))
        assert group in said, f"query {number} is not answered"
        source = next(iter(said[group]))
        assert source == host.ip if group == GROUP else source in own6, f"query {number}: from {source}"


def heard_until(client: Member, enough: Callable[[dict[str, set[str]]], bool]) -> list[bytes]:
    """What the tap of a client has heard once that is enough; ends the tap."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and not enough(reports(client.service.call(actions.tapped))):
        time.sleep(0.02)
    frames: list[bytes] = client.service.call(actions.stop_tap)
    return frames


def reports(captured: list[bytes]) -> dict[str, set[str]]:
    """Group → who has reported to be a member of it."""
    found: dict[str, set[str]] = {}
    for frame in captured:
        if frame[12:14] not in (b"\x08\x00", b"\x86\xdd"):
            continue
        packet = Ether(frame)
        groups: list[str] = []
        if IGMPv3mr in packet:
            groups = [record.maddr for record in packet[IGMPv3mr].records if isinstance(record, IGMPv3gr)]
        elif IGMP in packet and packet[IGMP].type == 0x16:
            groups = [packet[IGMP].gaddr]
        elif ICMPv6MLReport2 in packet:
            groups = mld2_groups(bytes(packet[ICMPv6MLReport2]))
        elif ICMPv6MLReport in packet:
            groups = [str(IPv6Address(packet[ICMPv6MLReport].mladdr))]
        source = packet[IP].src if IP in packet else packet[IPv6].src if IPv6 in packet else ""
        for group in groups:
            found.setdefault(group, set()).add(source)
    return found


def mld2_groups(report: bytes) -> list[str]:
    """Groups of a report (RFC 3810, section 5.2); scapy reads the first record alone."""
    groups, at = [], 8
    for _ in range(int.from_bytes(report[6:8], "big")):
        auxiliary, sources = report[at + 1], int.from_bytes(report[at + 2 : at + 4], "big")
        groups.append(str(IPv6Address(report[at + 4 : at + 20])))
        at += 20 + 16 * sources + 4 * auxiliary
    return groups


def igmp2_query(group: str) -> bytes:
    to = "224.0.0.1" if group == "0.0.0.0" else group
    head = IP(src=CLIENT, dst=to, ttl=1, options=[IPOption_Router_Alert()])
    return bytes(Ether(src=ROUTER_MAC, dst=group_mac4(to)) / head / IGMP(type=0x11, mrcode=AT_ONCE, gaddr=group))


def igmp3_query(group: str) -> bytes:
    to = "224.0.0.1" if group == "0.0.0.0" else group
    head = IP(src=CLIENT, dst=to, ttl=1, options=[IPOption_Router_Alert()])
    query = IGMPv3(type=0x11, mrcode=AT_ONCE) / IGMPv3mq(gaddr=group, qrv=2, qqic=125)
    return bytes(Ether(src=ROUTER_MAC, dst=group_mac4(to)) / head / query)


def mld1_query(group: str) -> bytes:
    return bytes(_mld(group) / ICMPv6MLQuery(mrd=AT_ONCE, mladdr=group))


def mld2_query(group: str) -> bytes:
    return bytes(_mld(group) / ICMPv6MLQuery2(mrd=AT_ONCE, mladdr=group, QRV=2, QQIC=125))


def _mld(group: str) -> Ether:
    to = "ff02::1" if group == "::" else group
    mac = "33:33:" + IPv6Address(to).packed[-4:].hex(":")
    head = IPv6(src="fe80::fe", dst=to, hlim=1) / IPv6ExtHdrHopByHop(options=[RouterAlert(value=0)])
    return Ether(src=ROUTER_MAC, dst=mac) / head


def group_mac4(group: str) -> str:
    low = IPv4Address(group).packed
    return "01:00:5e:" + bytes((low[1] & 0x7F, low[2], low[3])).hex(":")
