"""Asks a segment whether anybody else has an address that this host is about to take.

RFC 5227 and RFC 4862 ask from nobody's address, so that no cache learns anything by the question; who answers, or
announces the address meanwhile, with another MAC than the one that is expected has it already.  Members of the
cluster answer with the shared MAC: the socket's filter does not let that through.

Driven by its owner's event loop: watch `fileno()`, call `on_readable` when it has something, `ask` some times; or all
of that by `who_else`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from typing import Any, Generic

from datapath import bpf_filter
from datapath.dialects import DIALECTS, Dialect, Ip, IPAddress
from datapath.engine import DatapathError
from datapath.mac import pack_mac
from datapath.packet_socket import interface_mac, open_deaf
from datapath.strangers import ForeignClaim, foreign_claim

ASKED_TIMES = 3
ASKED_EVERY_S = 0.06
"""and so long is waited for the last answer.  RFC 5227 takes five to seven seconds, in which a cluster would be dark;
whoever is slower than this is heard afterwards, and raises an alarm"""
FRAMES_PER_CALL = 64
QUEUE_BYTES = 1 << 20


class Probe(Generic[Ip]):
    """One question about some addresses of one interface."""

    def __init__(self, interface: str, dialect: Dialect[Ip], expected: Mapping[Ip, str]) -> None:
        """`expected` is address → the MAC that it may have: the shared one, or this interface's own.

        DatapathError where the socket is refused, or the interface is no Ethernet device.
        """
        self._interface = interface
        self._dialect: Dialect[Ip] = dialect
        self._addresses: dict[Ip, bytes] = {ip: pack_mac(mac) for ip, mac in expected.items()}
        self._expected: dict[IPAddress, bytes] = dict(self._addresses.items())
        self._socket = open_socket(interface, dialect)
        try:
            self._own_mac = interface_mac(self._socket, interface)
            bpf_filter.attach(self._socket, dialect.filter_for(self._addresses.items()))
        except DatapathError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def ask(self) -> None:
        """Once for each address.  DatapathError when the interface takes no frame."""
        for ip in self._addresses:
            send_probe(self._socket, self._dialect, ip, self._own_mac, self._interface)

    def on_readable(self) -> list[ForeignClaim]:
        """Who has said that he has one of the addresses; the questions of others are passed over."""
        claims = []
        for _ in range(FRAMES_PER_CALL):
            try:
                frame = self._socket.recv(self._dialect.frame_bytes_max)
            except OSError:
                break  # nothing more, or the interface is down: then nobody is heard
            heard = self._dialect.read(frame)
            claim = foreign_claim(heard, self._expected, self._interface) if heard is not None else None
            if claim is not None and claim.frame_source != self._own_mac.hex(":"):
                claims.append(claim)
        return claims

    def close(self) -> None:
        self._socket.close()


async def who_else(interface: str, expected: Mapping[IPAddress, str]) -> list[ForeignClaim]:
    """Everybody who claims one of these addresses with another MAC than it may have; takes about 0.2 s.

    Addresses of one version of IP.  DatapathError where it cannot be asked.
    """
    claims: list[ForeignClaim] = []
    loop = asyncio.get_running_loop()
    version = next(iter(expected)).version
    probe: Probe[Any] = Probe(interface, DIALECTS[version], expected)
    with contextlib.closing(probe):
        loop.add_reader(probe.fileno(), lambda: claims.extend(probe.on_readable()))
        try:
            for _ in range(ASKED_TIMES):
                probe.ask()
                await asyncio.sleep(ASKED_EVERY_S)
        finally:
            loop.remove_reader(probe.fileno())
    return claims


def send_probe(sock: socket.socket, dialect: Dialect[Ip], ip: Ip, own_mac: bytes, interface: str) -> None:
    """DatapathError when the interface does not take the frame."""
    try:
        sock.send(dialect.probe(ip, own_mac))
    except OSError as error:
        raise DatapathError(
            f"cannot ask on {interface} who has {ip}: {error.strerror or error}; is the interface up?"
        ) from error


def open_socket(interface: str, dialect: Dialect[Ip]) -> socket.socket:
    """A packet socket that refuses everything from its first moment, bound to the dialect on `interface`."""
    sock = open_deaf()
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, QUEUE_BYTES)
        sock.bind((interface, dialect.ethertype))
    except OSError as error:
        sock.close()
        raise DatapathError(
            f"cannot listen for {dialect.name} on {interface}: {error.strerror or error}"
        ) from error
    return sock
