"""What a host with shared addresses sends, whichever engine it has: beside `EngineContract`.

No frame teaches a client another MAC for the address than the shared one, no program begins a conversation from it,
and everything that answers others goes out.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest

from datapath import frames, neighbours
from datapath.engine import SlotState, Wish
from datapath.mac import format_mac, pack_mac
from tests.netns import actions
from tests.netns.engine_contract import ADDRESS, LONG_LEASE_MS, PATIENCE_S, PORT, SILENCE_S, all_slots
from tests.netns.segment import CLIENT, VIP, Member, Segment
from tests.netns.segment_contract import ADDRESS6, CLIENT6, VIP6

HOST6 = "fd77::21"
CHOSEN = 40_000
"""a port that the kernel chooses (net.ipv4.ip_local_port_range)"""
SETTLE_S = 0.2
PAIRS = ((VIP, CLIENT), (str(VIP6), str(CLIENT6)))
BOTH = [
    Wish(ADDRESS, all_slots(SlotState.OPEN)),
    Wish(replace(ADDRESS6, resource="VIP6"), all_slots(SlotState.OPEN)),
]


class WayOutContract:
    @pytest.fixture
    def host(self, segment: Segment, hosts: list[Member]) -> Iterator[Member]:
        """A host that serves both families alone, on a segment where both can be talked to."""
        host, client = hosts[0], segment.client
        host.run("ip", "-6", "addr", "add", f"{HOST6}/64", "dev", "eth0", "nodad")
        client.run("ip", "-6", "addr", "add", f"{CLIENT6}/64", "dev", "eth0", "nodad")
        client.run(
            "ip", "-6", "neigh", "replace", str(VIP6), "lladdr", ADDRESS6.mac, "nud", "permanent", "dev", "eth0"
        )
        host.engine.call(actions.apply, BOTH)
        host.engine.call(actions.renew, LONG_LEASE_MS)
        try:
            yield host
        finally:
            for member in (host, client):
                member.service.call(end_listening)
            client.run("ip", "-6", "neigh", "del", str(VIP6), "dev", "eth0")
            client.run("ip", "-6", "addr", "del", f"{CLIENT6}/64", "dev", "eth0")
            host.run("ip", "-6", "addr", "del", f"{HOST6}/64", "dev", "eth0")

    # who begins

    def test_no_program_begins_a_conversation_from_a_shared_address_and_hears_so_at_once(
        self, segment: Segment, host: Member
    ) -> None:
        segment.client.service.call(actions.start_tap)
        for vip, client in PAIRS:
            assert host.service.call(connect_from, vip, 0, client, PORT) == "ConnectionRefusedError"
            assert host.service.call(connect_from, vip, 20, client, PORT) == "ConnectionRefusedError"
            assert host.service.call(send_from, vip, 0, client) == "PermissionError"
            assert host.service.call(send_from, vip, CHOSEN, client) == "PermissionError"
            assert host.service.call(ping_from, vip, client) == "PermissionError"
            assert host.service.call(associate_from, vip, client) == "PermissionError"
        time.sleep(SETTLE_S)
        said = segment.client.service.call(actions.stop_tap)
        assert [packets_from(vip, said) for vip, _ in PAIRS] == [[], []]

    def test_a_hosts_own_address_is_left_alone(self, segment: Segment, host: Member) -> None:
        for own, client in ((host.ip, CLIENT), (HOST6, str(CLIENT6))):
            segment.client.service.call(listen, client, PORT)
            assert host.service.call(connect_from, own, 0, client, PORT) == "connected"
            assert host.service.call(send_from, own, 0, client) == "sent"
            assert host.service.call(ping_from, own, client) == "sent"
            segment.client.service.call(end_listening)

    def test_everything_that_answers_goes_out(self, segment: Segment, host: Member) -> None:
        """TCP to its end, a reset, an echo reply, an ICMP error, datagrams from a service's port and a chosen one."""
        caller = segment.client.service
        for vip, client in PAIRS:
            host.service.call(listen, vip, PORT + 1)
            assert caller.call(converse, vip, PORT + 1) == [b"heard", b""]
            assert caller.call(connect_from, client, 0, vip, PORT + 2) == "ConnectionRefusedError"
            assert caller.call(echo, client, vip) == "answered"
            assert caller.call(ask_datagram, client, vip, PORT + 1) == [PORT + 1]
            assert caller.call(ask_datagram, client, vip, PORT + 2) == ["ConnectionRefusedError"]
            host.service.call(answer_datagrams, vip, CHOSEN, CHOSEN)
            assert caller.call(ask_datagram, client, vip, CHOSEN) == [CHOSEN]
            # RFC 1350: asked at port 69, answered from another one
            host.service.call(answer_datagrams, vip, 69, CHOSEN + 1)
            assert caller.call(ask_datagram, client, vip, 69) == [CHOSEN + 1]
            host.service.call(end_listening)

    def test_a_host_talks_to_its_own_shared_address_and_no_frame_of_it_leaves(
        self, segment: Segment, host: Member
    ) -> None:
        segment.client.service.call(actions.start_tap)
        for vip, _ in PAIRS:
            host.service.call(listen, vip, PORT + 1)
            assert host.service.call(converse, vip, PORT + 1) == [b"heard", b""]
            assert host.service.call(ask_datagram, vip, vip, PORT + 1) == [PORT + 1]
            assert host.service.call(ping_from, vip, vip) == "sent"
            host.service.call(end_listening)
        time.sleep(SETTLE_S)
        said = segment.client.service.call(actions.stop_tap)
        assert [packets_from(vip, said) for vip, _ in PAIRS] == [[], []]
        assert [arp for frame in said if (arp := frames.parse_arp(frame)) and str(arp.target_ip) == VIP] == []

    # who comes past the engine

    def test_a_frame_to_a_hosts_own_mac_opens_no_slot_that_is_closed(self, segment: Segment, host: Member) -> None:
        """As a client sends it whose cache is older than the shared MAC, or whose administrator wrote it down."""
        own = host.run("cat", "/sys/class/net/eth0/address").strip()
        client = segment.client
        host.engine.call(actions.apply, [replace(wish, states=all_slots(SlotState.CLOSED)) for wish in BOTH])
        for (vip, source), address in zip(PAIRS, (ADDRESS, ADDRESS6), strict=True):
            host.service.call(listen, vip, PORT + 1)
            client.run("ip", "neigh", "replace", vip, "lladdr", own, "nud", "permanent", "dev", "eth0")
            try:
                assert client.service.call(knock, source, vip, PORT + 1) == ["TimeoutError", "TimeoutError"]
            finally:
                client.run("ip", "neigh", "replace", vip, "lladdr", address.mac, "nud", "permanent", "dev", "eth0")
            host.service.call(end_listening)

    # what caches learn

    def test_whatever_a_program_says_of_a_shared_address_nobody_learns_another_mac(
        self, segment: Segment, host: Member
    ) -> None:
        client = segment.client
        client.run("ip", "neigh", "replace", VIP, "lladdr", ADDRESS.mac, "nud", "stale", "dev", "eth0")
        client.run("ip", "-6", "neigh", "replace", str(VIP6), "lladdr", ADDRESS6.mac, "nud", "stale", "dev", "eth0")
        client.run("sysctl", "-qw", "net.ipv4.conf.eth0.arp_accept=1")
        loose = ["net.ipv4.conf.all.arp_announce=0", "net.ipv4.conf.eth0.arp_announce=0"]
        loose += ["net.ipv4.conf.all.arp_ignore=0", "net.ipv4.conf.eth0.arp_ignore=0"]
        host.run("sysctl", "-qw", *loose)
        client.service.call(actions.start_tap)
        for kind in ("-U", "-A"):
            with contextlib.suppress(RuntimeError):  # it is told that nobody has answered, or that it may not
                host.run("arping", kind, "-c", "1", "-w", "1", "-I", "eth0", "-s", VIP, VIP)
        host.service.call(claim, VIP, str(VIP6))
        host.service.call(ask_as, VIP, "10.77.200.9")
        client.service.call(ask_who_has, VIP, CLIENT)
        time.sleep(SETTLE_S)
        said = claims(client.service.call(actions.stop_tap))
        assert said[VIP] == {ADDRESS.mac}
        assert said.get(str(VIP6), {ADDRESS6.mac}) == {ADDRESS6.mac}
        assert ADDRESS.mac in client.run("ip", "neigh", "show", VIP)
        assert ADDRESS6.mac in client.run("ip", "-6", "neigh", "show", str(VIP6))
        client.run("ip", "neigh", "replace", VIP, "lladdr", ADDRESS.mac, "nud", "permanent", "dev", "eth0")

    def test_an_address_whose_mac_changes_is_told_with_the_new_one(self, host: Member) -> None:
        """Many times: for a moment both MACs are right, and which of them counts was left to chance."""
        macs = [f"03:00:00:00:{number:02x}:01" for number in range(16)]
        for mac in [*macs, ADDRESS.mac]:
            host.engine.call(actions.apply, [replace(BOTH[0], address=replace(ADDRESS, mac=mac)), BOTH[1]])
            assert macs_told(host) == [mac]
            assert host.engine.call(actions.repair) == []

    def test_the_table_that_keeps_others_from_it_is_mended(self, host: Member) -> None:
        table = host.run("nft", "list", "ruleset")
        for damage in (
            ("nft", "delete", "table", "netdev", "vipcast-out"),
            ("nft", "flush", "chain", "ip", "vipcast-out", "ours"),
            ("nft", "delete", "element", "ip", "vipcast-out", "addresses", "{", VIP, "}"),
            ("nft", "flush", "map", "netdev", "vipcast-out", "macs6"),
        ):
            host.run(*damage)
            mended = {change.address for change in host.engine.call(actions.repair)}
            assert "vipcast-out" in mended, damage
            assert host.engine.call(actions.repair) == []
        assert names_of_tables(host) == {line for line in table.splitlines() if line.startswith("table ")}


def macs_told(host: Member) -> list[str]:
    """Of the IPv4 address, by the table on the way out."""
    listed = host.run("nft", "-j", "list", "map", "netdev", "vipcast-out", "macs4")
    (found,) = (one["map"] for one in json.loads(listed)["nftables"] if "map" in one)
    return [mac for ip, mac in found["elem"] if ip == VIP]


# actions in a namespace

_open: list[Any] = []


def _socket(ip: str, kind: int, protocol: int = 0) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, kind, protocol)
    sock.settimeout(PATIENCE_S)
    if kind != socket.SOCK_RAW:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return sock


def _named(call: Any, done: str) -> str:
    try:
        call()
    except OSError as error:
        return type(error).__name__
    return done


def connect_from(source: str, source_port: int, target: str, port: int) -> str:
    with _socket(source, socket.SOCK_STREAM) as sock:
        sock.bind((source, source_port))
        return _named(lambda: sock.connect((target, port)), "connected")


def send_from(source: str, source_port: int, target: str) -> str:
    with _socket(source, socket.SOCK_DGRAM) as sock:
        sock.bind((source, source_port))
        return _named(lambda: sock.sendto(b"x", (target, 9)), "sent")


def _echo_request(ip: str) -> bytes:
    # the kernel fills the checksum of ICMPv6 in; that of ICMP is right for these bytes
    return b"\x80\0\0\0\0\0\0\0" if ":" in ip else b"\x08\0\xf7\xff\0\0\0\0"


def _icmp(ip: str) -> socket.socket:
    return _socket(ip, socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if ":" in ip else socket.IPPROTO_ICMP)


def ping_from(source: str, target: str) -> str:
    with _icmp(source) as sock:
        sock.bind((source, 0))
        return _named(lambda: sock.sendto(_echo_request(source), (target, 0)), "sent")


def echo(source: str, target: str) -> str:
    with _icmp(source) as sock:
        sock.bind((source, 0))
        sock.sendto(_echo_request(source), (target, 0))
        for _ in range(64):  # it hears other messages, too
            received, peer = sock.recvfrom(2000)
            kind = received[0] if ":" in source else received[20]
            if peer[0] == target and kind in (0, 129):
                return "answered"
    return "silence"


def associate_from(source: str, target: str) -> str:
    """An SCTP INIT, crafted: this kernel has no such sockets."""
    init = (9999).to_bytes(2, "big") + (80).to_bytes(2, "big") + bytes(8) + b"\x01\0\0\x14" + bytes(16)
    with _socket(source, socket.SOCK_RAW, 132) as sock:
        sock.bind((source, 0))
        return _named(lambda: sock.sendto(init, (target, 0)), "sent")


def listen(ip: str, port: int) -> None:
    """TCP: one word, then the end, for each caller; UDP: one word from the same port.  Until `end_listening`."""
    import threading  # noqa: PLC0415 - an action

    listener = _socket(ip, socket.SOCK_STREAM)
    listener.bind((ip, port))
    listener.listen(8)
    listener.settimeout(None)
    _open.append(listener)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(100)
                    connection.send(b"heard")

    threading.Thread(target=serve, daemon=True).start()
    answer_datagrams(ip, port, port)


def answer_datagrams(ip: str, port: int, answer_port: int) -> None:
    """Each datagram is answered with the port that the answer comes from."""
    import threading  # noqa: PLC0415 - an action

    asked = _socket(ip, socket.SOCK_DGRAM)
    asked.bind((ip, port))
    asked.settimeout(None)
    answering = asked
    if answer_port != port:
        answering = _socket(ip, socket.SOCK_DGRAM)
        answering.bind((ip, answer_port))
        _open.append(answering)
    _open.append(asked)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                _, peer = asked.recvfrom(100)
                answering.sendto(answer_port.to_bytes(2, "big"), peer)

    threading.Thread(target=serve, daemon=True).start()


def end_listening() -> None:
    while _open:
        sock = _open.pop()
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()


def converse(target: str, port: int) -> list[bytes]:
    """What a server says until it ends the connection."""
    with _socket(target, socket.SOCK_STREAM) as sock:
        sock.connect((target, port))
        sock.send(b"hello")
        said = [sock.recv(100)]
        while said[-1]:
            said.append(sock.recv(100))
    return said


def ask_datagram(source: str, target: str, port: int) -> list[int | str]:
    with _socket(source, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0 if source != target else 4000))
        if port == PORT + 2:
            sock.connect((target, port))  # errors are told to a connected socket
        sock.sendto(b"x", (target, port)) if port != PORT + 2 else sock.send(b"x")
        try:
            received, peer = sock.recvfrom(100)
        except OSError as error:
            return [type(error).__name__]
        assert peer[1] == int.from_bytes(received, "big")
        return [peer[1]]


def knock(source: str, target: str, port: int) -> list[str]:
    """What becomes of a connection and of a datagram to somebody who should be silent."""
    found = []
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with _socket(source, kind) as sock:
            sock.settimeout(SILENCE_S)
            sock.bind((source, 0))
            found.append(_named(lambda sock=sock: _call(sock, target, port), "answered"))  # type: ignore[misc]
    return found


def _call(sock: socket.socket, target: str, port: int) -> None:
    sock.connect((target, port))
    if sock.type == socket.SOCK_DGRAM:
        sock.send(b"x")
        sock.recv(100)


def claim(vip: str, vip6: str) -> None:
    """What another program may put onto the wire: the addresses with this interface's own MAC."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.bind(("eth0", 0))
        own = sock.getsockname()[4]
        ip, ip6 = IPv4Address(vip), IPv6Address(vip6)
        asked = frames.arp_request(ip, IPv4Address(CLIENT), pack_mac("02:00:00:00:00:01"))
        question = frames.parse_arp(asked)
        assert question is not None
        for frame in (
            *frames.gratuitous_arp(ip, own, own),
            frames.arp_reply(question, own, own),
            neighbours.announcement(ip6, own, own),
            neighbours.solicitation(CLIENT6, ip6, own),
        ):
            with contextlib.suppress(OSError):  # ENOBUFS: it was dropped
                sock.send(frame)


def ask_as(source: str, target: str) -> None:
    """Make the kernel ask for a neighbour on behalf of a shared address."""
    with _socket(source, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 5353))
        sock.sendto(b"x", (target, 9))


def ask_who_has(target: str, sender: str) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.bind(("eth0", 0))
        sock.send(frames.arp_request(IPv4Address(target), IPv4Address(sender), sock.getsockname()[4]))


# what was captured


def packets_from(vip: str, captured: list[bytes]) -> list[bytes]:
    """IP packets with this source, Neighbour Discovery apart."""
    version, source = (6, IPv6Address(vip).packed) if ":" in vip else (4, IPv4Address(vip).packed)
    ethertype, at = (b"\x86\xdd", 22) if version == 6 else (b"\x08\x00", 26)
    return [
        frame
        for frame in captured
        if frame[12:14] == ethertype and frame[at : at + len(source)] == source and neighbours.parse(frame) is None
    ]


def claims(captured: list[bytes]) -> dict[str, set[str]]:
    """Address → MACs that caches may have learnt for it."""
    found: dict[str, set[str]] = {}
    for frame in captured:
        arp = frames.parse_arp(frame)
        if arp is not None:
            found.setdefault(str(arp.sender_ip), set()).add(format_mac(arp.sender_mac))
        match neighbours.parse(frame):
            case neighbours.Advertisement(target=target, target_mac=mac) if mac is not None:
                found.setdefault(str(target), set()).add(format_mac(mac))
            case neighbours.Solicitation(sender=sender, sender_mac=mac) if sender != neighbours.UNSPECIFIED:
                found.setdefault(str(sender), set()).add(format_mac(mac))
    return found


def names_of_tables(host: Member) -> set[str]:
    return {line for line in host.run("nft", "list", "ruleset").splitlines() if line.startswith("table ")}
