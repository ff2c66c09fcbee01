"""Answers "who has the shared address?" on one interface, under the host's lease: by ARP, or Neighbour Discovery.

Every host answers with the same shared MAC; the Ethernet source is the interface's own one, so that switches never
learn where the shared one lives.  The host's own kernel stays silent for these addresses (host/setup.py).

The socket is bound to one protocol: it costs other traffic nothing, or (IPv6) a few comparisons a packet.  It does
not see what a netdev ingress hook drops; none of our engines drops ARP or Neighbour Discovery.  A filter in the
kernel lets only questions for our addresses, and strangers' claims of them, wake the process.

Driven by its owner's event loop: watch `fileno()`, call `on_readable` when it has something.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Mapping
from typing import Generic

from datapath import bpf_filter, frames
from datapath.dialects import Dialect, Ip, IPAddress, Question
from datapath.engine import DatapathError
from datapath.mac import format_mac, pack_mac
from datapath.packet_socket import interface_index, interface_mac
from datapath.probe import open_socket, send_probe
from datapath.strangers import ForeignClaim, foreign_claim

FRAMES_PER_CALL = 64
"""a flood of requests cannot hold up the owner's loop: the rest waits for the next call"""


def boot_clock_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Responder(Generic[Ip]):
    """The responder of one interface, in one dialect.

    It answers only while the deadline given by `renew` lies in the future on `clock` (CLOCK_BOOTTIME): asked after
    the frame was read and again right before the answer leaves, so that a process that was stopped stays silent
    when it goes on.
    """

    def __init__(self, interface: str, dialect: Dialect[Ip], *, clock: Callable[[], int] = boot_clock_ns) -> None:
        """Open the socket; nothing is answered before `serve` and `renew`.  DatapathError when refused."""
        self.interface = interface
        self.dialect: Dialect[Ip] = dialect
        self.answered = 0
        """requests that got a reply"""
        self.silenced = 0
        """requests that came without a lease"""
        self.unsent = 0
        """replies that the interface did not take"""
        self._clock = clock
        self._deadline_ns = 0
        self._addresses: dict[IPAddress, bytes] = {}
        self._socket = open_socket(interface, dialect)
        try:
            self._index = interface_index(self._socket, interface)
            self._own_mac = interface_mac(self._socket, interface)
        except DatapathError:
            self._socket.close()
            raise

    @property
    def addresses(self) -> Mapping[IPAddress, str]:
        return {ip: format_mac(mac) for ip, mac in self._addresses.items()}

    def fileno(self) -> int:
        return self._socket.fileno()

    def serve(self, addresses: Mapping[Ip, str]) -> None:
        """Answer for exactly these addresses with these shared MACs, from now on.

        The kernel's filter changes in one step.  DatapathError when it is refused; the former set then stays.
        """
        wanted = {ip: pack_mac(mac) for ip, mac in addresses.items()}
        if wanted and wanted == self._addresses:
            return  # nobody else can change the filter of this socket
        program = self.dialect.filter_for(wanted.items()) if wanted else bpf_filter.REFUSE_ALL
        bpf_filter.attach(self._socket, program)
        self._addresses = dict[IPAddress, bytes](wanted.items())

    def renew(self, deadline_ns: int) -> None:
        """Answer until `deadline_ns` on CLOCK_BOOTTIME; one in the past silences at once."""
        self._deadline_ns = deadline_ns

    def on_readable(self) -> list[ForeignClaim]:
        """Answer what waits, at most FRAMES_PER_CALL frames, and tell strangers' claims, one a frame at most.

        DatapathError when the interface is gone for good; one that is merely down is silent.
        """
        claims: list[ForeignClaim] = []
        for _ in range(FRAMES_PER_CALL):
            try:
                frame = self._socket.recv(self.dialect.frame_bytes_max)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                if error.errno == errno.ENETDOWN and self._is_still_there():
                    continue  # told once when the interface goes down; the socket hears again when it is up
                raise DatapathError(
                    f"the {self.dialect.name} socket on {self.interface} failed: {error.strerror or error}; "
                    "make a new one once the interface is back"
                ) from error
            heard = self.dialect.read(frame)
            if heard is None:
                continue
            claim = foreign_claim(heard, self._addresses, self.interface)
            if claim is not None:
                claims.append(claim)
            if heard.question is not None:
                self._answer(heard.question)
        return claims

    def announce(self, ip: Ip, mac: str) -> None:
        """Tell the segment that `ip` is at the shared `mac`: for caches that know a plain address of one host.

        Only under the lease, like an answer.  DatapathError without a lease, or when the frame cannot be sent.
        """
        for frame in self.dialect.announcements(ip, pack_mac(mac), self._own_mac):
            if self._clock() >= self._deadline_ns:
                raise DatapathError(f"{ip} is not announced on {self.interface}: this host holds no lease")
            try:
                self._socket.send(frame)
            except OSError as error:
                raise DatapathError(
                    f"cannot announce {ip} on {self.interface}: {error.strerror or error}; is the interface up?"
                ) from error

    def ask(self, ip: Ip) -> None:
        """Ask whether anybody else has `ip`: whoever does is told by `on_readable`.

        Needs no lease, for it tells nobody anything.  DatapathError when the frame cannot be sent.
        """
        send_probe(self._socket, self.dialect, ip, self._own_mac, self.interface)

    def close(self) -> None:
        self._socket.close()

    def _is_still_there(self) -> bool:
        try:
            return interface_index(self._socket, self.interface) == self._index
        except DatapathError:
            return False

    def _answer(self, question: Question) -> None:
        mac = self._addresses.get(question.asked)
        if mac is None or question.asker in {mac, self._own_mac, frames.BROADCAST, frames.UNKNOWN_MAC}:
            return
        reply = question.answer(mac, self._own_mac)
        if self._clock() >= self._deadline_ns:
            self.silenced += 1
            return
        try:
            self._socket.send(reply)
            self.answered += 1
        except OSError:
            self.unsent += 1  # the queue is full or the interface down: the client asks again
