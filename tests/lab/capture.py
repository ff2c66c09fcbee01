"""Captures on the hosts' own interfaces, with the kernel's time stamps, before any filter of theirs.

A packet socket is opened inside the host's network namespace and read here (packet(7)), so that captures of
all hosts share one clock.  Nothing runs in the host, and a stopped host goes on being captured.
"""

from __future__ import annotations

import array
import ctypes
import select
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Any, Self

from tests.lab.host import Host
from tests.lab.namespaces import inside_network

ETH_P_ALL = 0x0003
SO_RCVBUFFORCE = 33
SO_ATTACH_FILTER = 26
SO_TIMESTAMPNS = 35
SOL_PACKET = 263
PACKET_STATISTICS = 6
PACKET_OUTGOING = 4
BUFFER_BYTES = 64 << 20
FRAME_BYTES_MAX = 2048

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


@dataclass(frozen=True, slots=True)
class Tcp:
    """A TCP segment (RFC 9293)."""

    source: str
    source_port: int
    destination: str
    destination_port: int
    sequence: int
    acknowledgment: int
    flags: int
    length: int
    """octets of data"""
    stamp: int | None
    """TSval of the time stamp option (RFC 7323), which names the segment"""
    echo: int | None
    """TSecr: the stamp of the segment that this one answers"""


@dataclass(frozen=True, slots=True)
class Captured:
    """A frame as a host's interface saw it."""

    host: str
    time_ns: int
    """wall clock of the kernel"""
    outgoing: bool
    frame: bytes

    @property
    def tcp(self) -> Tcp | None:
        return parse_tcp(self.frame)

    def scapy(self) -> Any:
        """The same, dissected by scapy (whose import takes a second)."""
        from scapy import all as scapy  # noqa: PLC0415

        return scapy.Ether(self.frame)  # type: ignore[attr-defined]


def parse_tcp(frame: bytes) -> Tcp | None:
    """The TCP segment in an Ethernet frame, None when there is no unfragmented one without extension headers."""
    if len(frame) < 54:
        return None
    if frame[12:14] == b"\x08\x00" and frame[23] == 6 and not frame[20] & 0x3F and not frame[21]:
        start = 14 + (frame[14] & 0x0F) * 4
        end = 14 + (frame[16] << 8 | frame[17])
        family, source, destination = socket.AF_INET, frame[26:30], frame[30:34]
    elif frame[12:14] == b"\x86\xdd" and frame[20] == 6:
        start = 54
        end = 54 + (frame[18] << 8 | frame[19])
        family, source, destination = socket.AF_INET6, frame[22:38], frame[38:54]
    else:
        return None
    if len(frame) < start + 20:
        return None
    source_port, destination_port, sequence, acknowledgment, offset, flags = struct.unpack_from(
        "!HHIIBB", frame, start
    )
    header = (offset >> 4) * 4
    stamp, echo = _stamps(frame[start + 20 : start + header])
    return Tcp(
        source=socket.inet_ntop(family, source),
        source_port=source_port,
        destination=socket.inet_ntop(family, destination),
        destination_port=destination_port,
        sequence=sequence,
        acknowledgment=acknowledgment,
        flags=flags,
        length=end - start - header,
        stamp=stamp,
        echo=echo,
    )


def _stamps(options: bytes) -> tuple[int | None, int | None]:
    position = 0
    while position < len(options):
        kind = options[position]
        if kind == 0:
            break
        if kind == 1:
            position += 1
            continue
        if position + 1 >= len(options) or options[position + 1] < 2:
            break
        if kind == 8 and position + 10 <= len(options):
            value, echo = struct.unpack_from("!II", options, position + 2)
            return value, echo
        position += options[position + 1]
    return None, None


class CaptureError(Exception):
    """A capture that cannot be trusted: the kernel dropped frames, or did not take the filter."""


class Capture:
    """A context manager over the packet sockets of some hosts.

    Frames wait in the kernel until `poll` takes them; `packets` has all that were taken.  The end of the `with`
    takes the rest, and raises CaptureError when the kernel had to drop any, so that no count
    is short in silence.
    """

    def __init__(self, hosts: Sequence[Host], interface: str, expression: str) -> None:
        self.hosts = list(hosts)
        self.interface = interface
        self.expression = expression
        self.packets: list[Captured] = []
        self._sockets: dict[int, tuple[str, socket.socket]] = {}
        self._poller = select.poll()

    def __enter__(self) -> Self:
        try:
            for host in self.hosts:
                self.add(host)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.poll()
            dropped = {name: _drops(sock) for name, sock in self._sockets.values()}
        finally:
            self._close()
        if error is None and any(dropped.values()):
            raise CaptureError(f"the kernel dropped frames of a capture: {dropped}; poll more often or filter more")

    def add(self, host: Host) -> None:
        """Capture on one more host (one that has booted again)."""
        with inside_network(host.init):
            sock = socket.socket(
                socket.AF_PACKET, socket.SOCK_RAW, 0
            )  # protocol 0: nothing before the filter is set
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        if self.expression:
            _attach(sock, compile_filter(self.expression))
        sock.bind((self.interface, ETH_P_ALL))
        self._sockets[sock.fileno()] = (host.name, sock)
        self._poller.register(sock, select.POLLIN)

    def poll(self, timeout_s: float = 0.0) -> list[Captured]:
        """Take what has been captured meanwhile, in order of time; waits up to `timeout_s` for the first."""
        taken: list[Captured] = []
        for descriptor, _ in self._poller.poll(timeout_s * 1000):
            name, sock = self._sockets[descriptor]
            taken.extend(_drain(name, sock))
        taken.sort(key=lambda packet: packet.time_ns)
        self.packets.extend(taken)
        return taken

    def segments(self) -> list[tuple[Captured, Tcp]]:
        """Every captured TCP segment beside its frame, in order of time."""
        ordered = sorted(self.packets[:], key=lambda packet: packet.time_ns)  # another thread may be polling
        return [(packet, tcp) for packet in ordered if (tcp := packet.tcp) is not None]

    def _close(self) -> None:
        for _, sock in self._sockets.values():
            sock.close()
        self._sockets.clear()
        self._poller = select.poll()


def _drain(name: str, sock: socket.socket) -> list[Captured]:
    taken: list[Captured] = []
    failures = 0
    while failures < 2:
        try:
            frame, ancillary, _, sender = sock.recvmsg(FRAME_BYTES_MAX, 128)
        except BlockingIOError:
            break
        except OSError:  # ENETDOWN, told once: the interface went with its host; what came before is still readable
            failures += 1
            continue
        time_ns = 0
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                seconds, nanoseconds = struct.unpack("qq", data[:16])
                time_ns = seconds * 1_000_000_000 + nanoseconds
        taken.append(Captured(name, time_ns, sender[2] == PACKET_OUTGOING, frame))
    return taken


def _drops(sock: socket.socket) -> int:
    return int(struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1])


def _attach(sock: socket.socket, program: bytes) -> None:
    instructions = array.array("B", program)
    address, length = instructions.buffer_info()
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HxxxxxxP", length // 8, address))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.c_void_p))


@lru_cache
def compile_filter(expression: str) -> bytes:
    """A pcap-filter(7) expression as a classic BPF program, by libpcap, which tcpdump depends on."""
    try:
        pcap = ctypes.CDLL("libpcap.so.0.8")
    except OSError as error:
        raise CaptureError(
            "libpcap.so.0.8 is missing: install the package libpcap0.8 (tcpdump needs it)"
        ) from error
    pcap.pcap_open_dead.restype = ctypes.c_void_p
    pcap.pcap_geterr.restype = ctypes.c_char_p
    handle = ctypes.c_void_p(pcap.pcap_open_dead(1, FRAME_BYTES_MAX))  # DLT_EN10MB
    program = _Program()
    try:
        if pcap.pcap_compile(handle, ctypes.byref(program), expression.encode(), 1, ctypes.c_uint(0xFFFFFFFF)) != 0:
            raise CaptureError(f"the filter {expression!r}: {pcap.pcap_geterr(handle).decode()}")
        result = ctypes.string_at(program.instructions, program.length * 8)
        pcap.pcap_freecode(ctypes.byref(program))
        return result
    finally:
        pcap.pcap_close(handle)
