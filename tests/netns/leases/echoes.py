"""Echo requests at a steady rate, a tap behind the filter for what it lets in, and one at the client for the answers.

The kernel itself answers an echo, at once: no process of the host is asked.  Stamps are the kernel's, to the ns.
"""

from __future__ import annotations

import socket
import struct
import threading
import time

from datapath import bpf_filter

_SO_TIMESTAMPNS = 35
_SO_RCVBUFFORCE = 33
_ETH_P_IP = 0x0800
_ECHO_REQUEST, _ECHO_REPLY = 8, 0
_PACKET_OUTGOING = 4


def frame(mac: bytes, source: str, destination: str, number: int) -> bytes:
    """An ICMP echo request; `number` becomes its identifier and sequence number."""
    ends = socket.inet_aton(source) + socket.inet_aton(destination)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 28, 0, 0x4000, 64, 1, 0) + ends
    head = head[:10] + _sum(head).to_bytes(2, "big") + head[12:]
    echo = struct.pack("!BBHI", _ECHO_REQUEST, 0, 0, number & 0xFFFF_FFFF)
    echo = echo[:2] + _sum(echo).to_bytes(2, "big") + echo[4:]
    return mac + bytes.fromhex("525400aabbcc") + b"\x08\x00" + head + echo


def _sum(octets: bytes) -> int:
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


class Sender:
    def __init__(self, mac: bytes, source: str, destination: str, pause_s: float) -> None:
        self.sent = 0
        self._frames = [frame(mac, source, destination, number) for number in range(64)]
        self._pause_s = pause_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> int:
        self._ended.set()
        self._thread.join(10)
        return self.sent

    def _run(self) -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
            sock.bind(("eth0", 0))
            while not self._ended.is_set():
                sock.send(self._frames[self.sent % len(self._frames)])
                self.sent += 1
                time.sleep(self._pause_s)


class Stamps:
    """When echo requests (or replies) came by an interface, on CLOCK_REALTIME.

    A socket of one ethertype hears what an ingress filter has let pass, and nothing else.
    """

    def __init__(self, interface: str, kind: int) -> None:
        self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        load = bpf_filter.Instruction
        program = (
            *bpf_filter.require(load(bpf_filter.LD_BYTE_ABS, 9), 1),
            *bpf_filter.require(load(bpf_filter.LD_BYTE_ABS, 20), kind),
            bpf_filter.keep(),
        )
        bpf_filter.attach(self._sock, program)
        self._sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
        self._sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._sock.bind((interface, _ETH_P_IP))
        self._sock.setblocking(False)

    def read(self) -> list[int]:
        """Those since the last call; AssertionError when the queue was full."""
        stamps = []
        while True:
            try:
                _, ancillary, _, where = self._sock.recvmsg(64, 64)
            except BlockingIOError:
                break
            seconds, nanoseconds = struct.unpack("=qq", ancillary[0][2])
            if where[2] != _PACKET_OUTGOING:
                stamps.append(seconds * 1_000_000_000 + nanoseconds)
        _, drops = struct.unpack("=II", self._sock.getsockopt(263, 6, 8))
        assert drops == 0, "the tap's queue was full"
        return stamps

    def close(self) -> None:
        self._sock.close()


_senders: list[Sender] = []
_stamps: list[Stamps] = []


def start_sending(mac: bytes, source: str, destination: str, pause_s: float) -> None:
    _senders.append(Sender(mac, source, destination, pause_s))


def stop_sending() -> int:
    return _senders.pop().end()


def stamp_requests(interface: str) -> None:
    _stamps.append(Stamps(interface, _ECHO_REQUEST))


def stamp_replies(interface: str) -> None:
    _stamps.append(Stamps(interface, _ECHO_REPLY))


def read_stamps() -> list[int]:
    return _stamps[-1].read()
