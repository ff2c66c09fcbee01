"""Answers "who has the shared address?" on one interface, under the host's lease.

Every host answers with the same shared MAC as ARP sender; the Ethernet source is the interface's own MAC, so that
switches never learn where the shared one lives.  The host's own kernel stays silent for these addresses (host.py).

The socket is bound to ETH_P_ARP: it costs other traffic nothing.  (It therefore does not see ARP that a netdev
ingress hook drops; none of our rule sets drops ARP.)  A filter in the kernel lets only questions for our addresses,
and strangers' claims of them, wake the process.

Driven by its owner's event loop: watch `fileno()`, call `on_readable` when it has something.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from datapath import bpf_filter, frames
from datapath.engine import DatapathError
from datapath.mac import format_mac, pack_mac
from datapath.packet_socket import interface_index, interface_mac, open_deaf

FRAMES_PER_CALL = 64
"""a flood of requests cannot hold up the owner's loop: the rest waits for the next call"""
QUEUE_BYTES = 1 << 20
CLAIMS_PER_CALL = 16
STRANGERS_MAX = 256
CLAIM_EVERY_NS = 1_000_000_000
"""the same stranger's claim is told once a second"""


@dataclass(frozen=True, slots=True)
class ForeignClaim:
    """Somebody says that our address is at another MAC: a duplicate, or a host that is configured wrongly."""

    ip: IPv4Address
    mac: str
    interface: str
    frame_source: str
    """the frame's Ethernet source: where on the segment to look"""


def boot_clock_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Responder:
    """The ARP responder of one interface.

    It answers only while the deadline given by `renew` lies in the future on `clock` (CLOCK_BOOTTIME): asked after
    the frame was read and again right before the answer leaves, so that a process that was stopped stays silent
    when it goes on.
    """

    def __init__(self, interface: str, *, clock: Callable[[], int] = boot_clock_ns) -> None:
        """Open the socket; nothing is answered before `serve` and `renew`.  DatapathError when refused."""
        self.interface = interface
        self.answered = 0
        """requests that got a reply"""
        self.silenced = 0
        """requests that came without a lease"""
        self.unsent = 0
        """replies that the interface did not take"""
        self._clock = clock
        self._deadline_ns = 0
        self._addresses: dict[IPv4Address, bytes] = {}
        self._told: dict[tuple[IPv4Address, bytes], int] = {}
        self._socket = _open_arp_socket(interface)
        try:
            self._index = interface_index(self._socket, interface)
            self._own_mac = interface_mac(self._socket, interface)
        except DatapathError:
            self._socket.close()
            raise

    @property
    def addresses(self) -> Mapping[IPv4Address, str]:
        return {ip: format_mac(mac) for ip, mac in self._addresses.items()}

    def fileno(self) -> int:
        return self._socket.fileno()

    def serve(self, addresses: Mapping[IPv4Address, str]) -> None:
        """Answer for exactly these addresses with these shared MACs, from now on.

        The kernel's filter changes in one step.  DatapathError when it is refused; the former set then stays.
        """
        wanted = {ip: pack_mac(mac) for ip, mac in addresses.items()}
        program = bpf_filter.arp_for(wanted.items()) if wanted else bpf_filter.REFUSE_ALL
        bpf_filter.attach(self._socket, program)
        self._addresses = wanted
        self._told = {key: at for key, at in self._told.items() if key[0] in wanted}

    def renew(self, deadline_ns: int) -> None:
        """Answer until `deadline_ns` on CLOCK_BOOTTIME; one in the past silences at once."""
        self._deadline_ns = deadline_ns

    def on_readable(self, now_ns: int) -> list[ForeignClaim]:
        """Answer what waits, at most FRAMES_PER_CALL frames, and tell strangers' claims.

        `now_ns` paces the claims; leases are compared with the clock itself.  DatapathError when the interface is
        gone for good; one that is merely down is silent.
        """
        claims: list[ForeignClaim] = []
        for _ in range(FRAMES_PER_CALL):
            try:
                frame = self._socket.recv(frames.ARP_FRAME_BYTES)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                if error.errno == errno.ENETDOWN and self._is_still_there():
                    continue  # told once when the interface goes down; the socket hears again when it is up
                raise DatapathError(
                    f"the ARP socket on {self.interface} failed: {error.strerror or error}; "
                    "make a new one once the interface is back"
                ) from error
            arp = frames.parse_arp(frame)
            if arp is None:
                continue
            claim = self._foreign_claim(arp, now_ns)
            if claim is not None and len(claims) < CLAIMS_PER_CALL:
                claims.append(claim)
            self._answer(arp)
        return claims

    def announce(self, ip: IPv4Address, mac: str) -> None:
        """Tell the segment that `ip` is at the shared `mac`: for caches that know a plain address of one host.

        Only under the lease, like an answer.  DatapathError without a lease, or when the frame cannot be sent.
        """
        for frame in frames.gratuitous_arp(ip, pack_mac(mac), self._own_mac):
            if self._clock() >= self._deadline_ns:
                raise DatapathError(f"{ip} is not announced on {self.interface}: this host holds no lease")
            try:
                self._socket.send(frame)
            except OSError as error:
                raise DatapathError(
                    f"cannot announce {ip} on {self.interface}: {error.strerror or error}; is the interface up?"
                ) from error

    def close(self) -> None:
        self._socket.close()

    def _is_still_there(self) -> bool:
        try:
            return interface_index(self._socket, self.interface) == self._index
        except DatapathError:
            return False

    def _answer(self, arp: frames.Arp) -> None:
        if arp.operation is not frames.ArpOperation.REQUEST or arp.sender_ip == arp.target_ip:
            return
        mac = self._addresses.get(arp.target_ip)
        if mac is None or arp.sender_mac in {mac, self._own_mac, frames.BROADCAST, frames.UNKNOWN_MAC}:
            return
        reply = frames.arp_reply(arp, mac, self._own_mac)
        if self._clock() >= self._deadline_ns:
            self.silenced += 1
            return
        try:
            self._socket.send(reply)
            self.answered += 1
        except OSError:
            self.unsent += 1  # the queue is full or the interface down: the client asks again

    def _foreign_claim(self, arp: frames.Arp, now_ns: int) -> ForeignClaim | None:
        mac = self._addresses.get(arp.sender_ip)
        if mac is None or arp.sender_mac == mac:
            return None
        key = (arp.sender_ip, arp.sender_mac)
        told_ns = self._told.get(key)
        if told_ns is not None and now_ns - told_ns < CLAIM_EVERY_NS:
            return None
        if len(self._told) >= STRANGERS_MAX:
            self._told.clear()  # a flood of forged MACs: pace starts anew, memory stays bounded
        self._told[key] = now_ns
        return ForeignClaim(arp.sender_ip, format_mac(arp.sender_mac), self.interface, format_mac(arp.source))


def _open_arp_socket(interface: str) -> socket.socket:
    """A packet socket that refuses everything from its first moment, bound to ARP on `interface`."""
    sock = open_deaf()
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, QUEUE_BYTES)
        sock.bind((interface, frames.ETHERTYPE_ARP))
    except OSError as error:
        sock.close()
        raise DatapathError(f"cannot listen for ARP on {interface}: {error.strerror or error}") from error
    return sock
