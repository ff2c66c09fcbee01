"""Actions inside a namespace that only the nft engine's tests need."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import time
from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path

from datapath import select
from datapath.netlink import Message, Socket
from datapath.nft import ruleset
from datapath.nft.lease import Term, renewal, term_until
from datapath.nft.names import Names
from datapath.nft.protocol import NETLINK_NETFILTER, batch
from datapath.nft.readback import Reader
from tests.netns.actions import NS_PER_MS, boottime_ns

_ARP = 0x0806
_arp = struct.Struct("!HHBBH6s4s6s4s")


def renew_late(lease_ms: int, delay_ms: int) -> None:
    """Compute a renewal, wait, and only then send it."""
    messages = renewal(term_until(boottime_ns() + lease_ms * NS_PER_MS))
    time.sleep(delay_ms / 1000)
    _transact(messages)


def write_term(wall_ms: int, timeout_ms: int) -> None:
    """A lease whose two ends differ, as after a step of the wall clock."""
    _transact(renewal(Term(time.time_ns() + wall_ms * NS_PER_MS, timeout_ms)))


def choose(setting: str, run_dir: str) -> tuple[str, str]:
    """The name of the engine that this host would use, and why."""
    choice = select.choose(setting, Path(run_dir))
    return choice.engine.name, choice.reason


def give_up_privileges() -> None:
    """This process is an ordinary user's from now on."""
    os.setresgid(65_534, 65_534, 65_534)
    os.setresuid(65_534, 65_534, 65_534)


def flush_after(transactions: int) -> None:
    """Somebody flushes all rules in the very moment in which so many transactions of this process have ended."""
    real, left = Socket.transact, [transactions]

    def transact(self: Socket, messages: Sequence[Message]) -> None:
        real(self, messages)
        left[0] -= 1
        if not left[0]:
            Socket.transact = real  # type: ignore[method-assign]
            subprocess.run(["nft", "flush", "ruleset"], check=True)

    Socket.transact = transact  # type: ignore[method-assign]


def leave_room_for(flows: int) -> None:
    """In the sets of addresses that come from now on."""
    ruleset.FLOWS_MAX = flows


def generation() -> int:
    netlink = Socket(NETLINK_NETFILTER)
    try:
        return Reader(netlink).generation()
    finally:
        netlink.close()


def moving_flows(vip: str) -> int:
    """How many flows the sets for moves hold."""
    names = Names.of(IPv4Address(vip))
    netlink = Socket(NETLINK_NETFILTER)
    try:
        return len({flow for name in (names.keep, names.mine) for flow in Reader(netlink).flows(name)})
    finally:
        netlink.close()


def kept_flows(vip: str) -> int:
    """How many connections stay with this host whatever becomes of their slots."""
    netlink = Socket(NETLINK_NETFILTER)
    try:
        return len(Reader(netlink).flows(Names.of(IPv4Address(vip)).keep))
    finally:
        netlink.close()


def _transact(messages: Sequence[Message]) -> None:
    netlink = Socket(NETLINK_NETFILTER)
    try:
        netlink.transact(batch(messages))
    finally:
        netlink.close()


def who_has(target: str, sender: str, patience_s: float) -> list[str]:
    """Broadcast an ARP request; the MACs that answered for the target before patience ended or one came."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ARP)) as sock:
        sock.bind(("eth0", _ARP))
        own = sock.getsockname()[4]
        question = _arp.pack(
            1, 0x0800, 6, 4, 1, own, IPv4Address(sender).packed, bytes(6), IPv4Address(target).packed
        )
        sock.send(b"\xff" * 6 + own + struct.pack("!H", _ARP) + question)
        end = time.monotonic() + patience_s
        while (left := end - time.monotonic()) > 0:
            sock.settimeout(left)
            with contextlib.suppress(TimeoutError):
                _, _, _, _, operation, mac, ip, _, _ = _arp.unpack_from(sock.recv(100), 14)
                if operation == 2 and ip == IPv4Address(target).packed:
                    return [mac.hex(":")]
    return []


def ask_from(source: str, target: str) -> None:
    """Send a datagram with this source to a neighbour that the kernel must first ask for."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 5353))  # as a service answers: a port of the kernel's choice would be refused
        sock.sendto(b"x", (target, 9))


def arp_senders(frames: Sequence[bytes]) -> dict[str, set[str]]:
    """Sender address → sender MACs of the ARP packets among these frames."""
    senders: dict[str, set[str]] = {}
    for frame in frames:
        if frame[12:14] == b"\x08\x06":
            _, _, _, _, _, mac, ip, _, _ = _arp.unpack_from(frame, 14)
            senders.setdefault(str(IPv4Address(ip)), set()).add(mac.hex(":"))
    return senders
