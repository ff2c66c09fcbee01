"""What every engine must do about the segment itself: IPv6, Neighbour Discovery, VLANs; beside `EngineContract`.

The classes are mixed into those of tests/netns/test_*_engine*.py and use their fixtures.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from dataclasses import replace
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import pytest

from datapath import neighbours
from datapath.engine import HashKind, HashOrder, SlotState, Wish
from datapath.frames import ETHERTYPE_IPV6
from datapath.mac import pack_mac, shared_mac
from datapath.ports import parse
from tests.netns import actions
from tests.netns.engine_contract import (
    ADDRESS,
    LONG_LEASE_MS,
    PATIENCE_S,
    PORT,
    SILENCE_S,
    accepted,
    all_slots,
    fingerprint,
    many_sources,
    misjudged,
    settled_accepted,
    share,
)
from tests.netns.frames import CLIENT_MAC, shapes, shapes6
from tests.netns.segment import VIP, Member, Segment

VIP6 = IPv6Address("fd77::ab:cdef")
CLIENT6 = IPv6Address("fd77::1:1")
NETWORK6 = 64
ADDRESS6 = replace(ADDRESS, ip=VIP6, prefixlen=NETWORK6, mac=shared_mac(VIP6, NETWORK6))
OPEN6 = Wish(ADDRESS6, all_slots(SlotState.OPEN))


class SegmentContract:
    @pytest.mark.parametrize("kind", list(HashKind))
    def test_ipv6_goes_where_the_pure_hash_says(
        self, segment: Segment, hosts: list[Member], kind: HashKind
    ) -> None:
        address = replace(ADDRESS6, hash_kind=kind, slots=64)
        wish = Wish(address, dict.fromkeys(range(1, 64, 2), SlotState.OPEN))
        hosts[0].engine.call(actions.apply, [wish])
        hosts[0].engine.call(actions.renew, LONG_LEASE_MS)
        assert misjudged(segment, hosts[0], wish, shapes6(address)) == []

    @pytest.mark.parametrize("states", [all_slots(SlotState.OPEN), {}], ids=["open", "closed"])
    def test_neighbour_discovery_is_heard_by_every_host_and_judged_by_none(
        self, segment: Segment, hosts: list[Member], states: dict[int, SlotState]
    ) -> None:
        """A question to the address itself, by which a cache finds out whether its entry still holds."""
        host = hosts[0]
        host.engine.call(actions.apply, [Wish(ADDRESS6, states)])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        sent = [ask(VIP6, f"fd78::{number:x}") for number in range(1, 9)]
        host.service.call(actions.start_tap, "eth0", ETHERTYPE_IPV6)
        before = host.engine.call(actions.counters)
        segment.client.service.call(actions.send_frames, sent)
        time.sleep(0.2)
        assert [frame for frame in host.service.call(actions.stop_tap) if frame in sent] == sent
        assert host.engine.call(actions.counters) == before

    def test_what_a_router_has_forwarded_is_no_neighbour_discovery(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN6])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        before = accepted(host)
        forged = bytearray(ask(VIP6, "fd78::9"))
        forged[21] = 254
        segment.client.service.call(actions.send_frames, [bytes(forged)])
        assert settled_accepted(host, before + 1) == before + 1

    def test_ipv6_leaves_the_host_as_it_was(self, hosts: list[Member]) -> None:
        host = hosts[0]
        before = fingerprint(host)
        host.engine.call(actions.apply, [OPEN6])
        held = fingerprint(host)
        assert "33:33:" in held
        assert "ff02::1:ffab:cdef" in held
        assert f"{VIP6}/128" in held
        host.engine.call(actions.remove)
        assert fingerprint(host) == before

    def test_a_frame_of_another_vlan_is_not_ours_and_a_mere_priority_is(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [Wish(ADDRESS, all_slots(SlotState.OPEN)), replace_resource(OPEN6)])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        for sent in (shapes(ADDRESS), shapes6(ADDRESS6)):
            datagrams = next(shape for shape in sent if shape.name == "UDP").frames
            for tag, taken in (
                (b"\x81\0\0\x05", 0),
                (b"\x88\xa8\0\x05", 0),
                (b"\x81\0\0\x05\x81\0\0\x06", 0),
                (b"\x81\0\xe0\0", len(datagrams)),
            ):
                before = accepted(host)
                tagged = [frame[:12] + tag + frame[12:] for frame in datagrams]
                segment.client.service.call(actions.send_frames, tagged)
                # what comes last is seen last: the frames before it have been judged
                segment.client.service.call(actions.send_frames, datagrams)
                assert settled_accepted(host, before + taken + len(datagrams)) - before == taken + len(datagrams)

    def test_ports_are_shared_served_by_one_host_or_refused(self, segment: Segment, hosts: list[Member]) -> None:
        rules = parse(f"tcp/{PORT}:one:2 udp/{PORT}:refused")
        address = replace(ADDRESS, hash_kind=HashKind.SOURCEIP_SOURCEPORT, port_rules=rules)
        sources = many_sources(60)
        client = segment.client.engine

        def names() -> set[str]:
            return {attempt.outcome for attempt in client.call(actions.connect_all, sources, VIP, PORT, PATIENCE_S)}

        share(address, hosts, {0: hosts[0], 1: hosts[1], 2: hosts[2], 3: hosts[0]})
        assert names() == {"h3"}
        assert not any(client.call(actions.send_datagrams, sources, VIP, PORT, SILENCE_S).values())
        refused = [c for c in hosts[0].engine.call(actions.counters) if c.verdict == "refused-port"]
        assert sum(counter.packets for counter in refused) == len(sources)
        # it goes with the slot; and without the rules as before
        share(address, hosts, {0: hosts[0], 1: hosts[1], 2: hosts[1], 3: hosts[0]})
        assert names() == {"h2"}
        share(replace(address, port_rules=()), hosts, {0: hosts[0], 1: hosts[1], 2: hosts[2], 3: hosts[0]})
        assert names() == {"h1", "h2", "h3"}
        answers = client.call(actions.send_datagrams, sources, VIP, PORT, SILENCE_S)
        assert {len(names) for names in answers.values()} == {1}

    @pytest.mark.parametrize(
        "changes",
        [
            {"hash_kind": HashKind.SOURCENET},
            {"hash_order": HashOrder.CLUSTERIP},
            {"port_rules": parse("80:shared 443:shared tcp/22:one udp/5000-5099:one:3 *:refused")},
        ],
        ids=["network", "order", "ports"],
    )
    def test_how_packets_are_shared_out_is_read_back(
        self, hosts: list[Member], tmp_path: Path, changes: dict[str, Any]
    ) -> None:
        host = hosts[0]
        wish = Wish(replace(ADDRESS, **changes), {1: SlotState.OPEN})
        host.engine.call(actions.apply, [wish])
        assert host.engine.call(actions.state) == [wish]
        assert host.engine.call(actions.repair) == []
        assert host.engine.call(actions.apply, [wish]) == []
        changed = host.engine.call(actions.apply, [Wish(ADDRESS, {1: SlotState.OPEN})])
        assert [change.what for change in changed] == ["removed", "added", "opened"]


class BeltContract:
    """For the engines that have a belt: whatever the host's settings are, nobody learns its own MAC."""

    def test_the_kernel_never_advertises_a_shared_address(self, segment: Segment, hosts: list[Member]) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN6])
        other = IPv6Address("fd77::ab:cdee")
        for name in ("all.forwarding", "eth0.proxy_ndp"):
            host.run("sysctl", "-qw", f"net.ipv6.conf.{name}=1")
        host.run("sysctl", "-qw", "net.ipv6.neigh.eth0.proxy_delay=0")
        try:
            for address in (VIP6, other):
                host.run("ip", "-6", "neigh", "add", "proxy", str(address), "dev", "eth0")
            segment.client.service.call(actions.start_tap)
            segment.client.service.call(actions.send_frames, [ask(VIP6), ask(other)])
            time.sleep(SILENCE_S)
            advertised = neighbour_macs(segment.client.service.call(actions.stop_tap))
            assert VIP6 not in advertised
            assert other in advertised  # the kernel would have answered
        finally:
            for address in (VIP6, other):
                host.run("ip", "-6", "neigh", "del", "proxy", str(address), "dev", "eth0")
            host.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=0", "net.ipv6.conf.eth0.proxy_ndp=0")

    def test_a_solicitation_from_a_shared_address_carries_the_shared_mac(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        host = hosts[0]
        host.run("ip", "-6", "addr", "add", "fd77::21/64", "dev", "eth0", "nodad")
        host.engine.call(actions.apply, [OPEN6])
        try:
            segment.client.service.call(actions.start_tap)
            for sender in (str(VIP6), "fd77::21"):
                host.service.call(solicit_from, sender, "fd77::99")
            time.sleep(0.2)
            asked = [neighbours.parse(frame) for frame in segment.client.service.call(actions.stop_tap)]
            macs = {
                str(one.sender): one.sender_mac.hex(":")
                for one in asked
                if isinstance(one, neighbours.Solicitation)
            }
            # `parse` has checked the checksum as well
            assert macs[str(VIP6)] == ADDRESS6.mac
            assert macs["fd77::21"] != ADDRESS6.mac
        finally:
            host.run("ip", "-6", "addr", "del", "fd77::21/64", "dev", "eth0")


def replace_resource(wish: Wish) -> Wish:
    return Wish(replace(wish.address, resource="VIP6"), wish.states)


def ask(target: IPv6Address, sender: str = str(CLIENT6)) -> bytes:
    """A solicitation in a frame to the shared MAC, as a client's kernel sends it to the address that it knows."""
    frame = neighbours.solicitation(target, IPv6Address(sender), pack_mac(CLIENT_MAC))
    if target != VIP6:
        return frame
    unicast = bytearray(frame)
    unicast[:6] = pack_mac(ADDRESS6.mac)
    unicast[38:54] = VIP6.packed
    unicast[56:58] = b"\0\0"
    unicast[56:58] = neighbours.checksum(frame[22:38], VIP6.packed, bytes(unicast[54:])).to_bytes(2, "big")
    return bytes(unicast)


def neighbour_macs(frames: list[bytes]) -> dict[IPv6Address, bytes | None]:
    """Target → MAC of the advertisements among these frames."""
    read = [neighbours.parse(frame) for frame in frames]
    return {one.target: one.target_mac for one in read if isinstance(one, neighbours.Advertisement)}


def solicit_from(sender: str, target: str) -> None:
    """Ask from an address as no kernel does by itself: by a raw socket that is bound to it."""
    frame = neighbours.solicitation(IPv6Address(target), IPv6Address(sender), _own_mac("eth0"))
    group = str(neighbours.solicited_node(IPv6Address(target)))
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        sock.bind((sender, 0))
        with contextlib.suppress(InterruptedError):
            sock.sendto(frame[54:], (group, 0, 0, socket.if_nametoindex("eth0")))


def _own_mac(interface: str) -> bytes:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.bind((interface, 0))
        mac: bytes = sock.getsockname()[4]
    return struct.unpack("6s", mac)[0]  # type: ignore[no-any-return]
