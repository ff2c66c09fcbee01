"""Asks a cluster for its key and settings over UDP, as `vipcast cluster join TOKEN` does: sockets, clock and
patience around `daemon.cluster.enrolment`, and the sentence for the case that nobody lets this host in.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from ipaddress import IPv4Address

from daemon.cli.call import CommandError
from daemon.cluster import seal
from daemon.cluster.enrolment import exchange
from daemon.cluster.enrolment.applicant import Applicant, Observed
from daemon.cluster.enrolment.exchange import Application, Denial, Grant, Path
from daemon.cluster.enrolment.token import Token
from daemon.interfaces import Interface

VERSION = version("vipcast")
PATIENCE_S = 5.0
ASK_EVERY_S = 0.25
ATTEMPTS_A_COOKIE = 8
"""sent so often without an answer, it begins anew"""
GROUP_ATTEMPTS = 3
NOWHERE = IPv4Address(0)


@dataclass(slots=True)
class Multicast:
    """Whether it works on the link, both ways."""

    out: bool = False
    """the daemon has heard this host by the group"""
    back: bool = False
    """this host has heard the cluster's heartbeats by the group"""


def apply(token: Token, application: Application, interface: Interface) -> tuple[Grant, Multicast]:
    """Ask until there is an answer, PATIENCE_S at most.  Raises CommandError, which explains what was observed."""
    applicant = Applicant(
        token.secret, application, private=os.urandom(exchange.KEY_BYTES), nonce=os.urandom(exchange.NONCE_BYTES)
    )
    targets = tuple(_targets(token))
    multicast = Multicast()
    with contextlib.closing(_socket(interface, token)) as channel:
        trouble = _ask(channel, applicant, targets, multicast)
        if applicant.answer is not None and token.group != NOWHERE:
            _try_group(channel, applicant, (str(token.group), token.port), multicast)
    if isinstance(applicant.answer, Denial):
        raise CommandError(f"the cluster does not let this host in: {applicant.answer.sentence}", code="denied")
    if applicant.answer is None:
        raise CommandError(unanswered(applicant.observed, token, interface, trouble), code="no-answer")
    return applicant.answer, multicast


def _targets(token: Token) -> Iterator[tuple[Path, tuple[str, int]]]:
    if token.group != NOWHERE:
        yield Path.GROUP, (str(token.group), token.port)
    if token.address != NOWHERE:
        yield Path.ADDRESS, (str(token.address), token.port)


def _socket(interface: Interface, token: Token) -> socket.socket:
    """A socket on this interface, with the cluster's port, which firewalls let through anyway, and in its group."""
    channel = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        index = socket.if_nametoindex(interface.name)
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.name.encode() + b"\0")
        channel.bind(("", token.port))
        membership = struct.pack("=4s4si", token.group.packed, bytes(4), index)  # struct ip_mreqn
        channel.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, membership)
        channel.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        if token.group != NOWHERE:
            channel.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    except OSError as error:
        channel.close()
        if error.errno == errno.EADDRINUSE:
            raise CommandError(
                f"UDP port {token.port} is taken on this host: is vipcastd (or corosync) running here? ss -ulpn tells"
            ) from error
        raise CommandError(f"{interface.name} cannot be used: {(error.strerror or str(error)).lower()}") from error
    return channel


def _ask(
    channel: socket.socket,
    applicant: Applicant,
    targets: tuple[tuple[Path, tuple[str, int]], ...],
    multicast: Multicast,
) -> str:
    """Send and listen in turn; returns why nothing could be sent, if so."""
    trouble = ""
    end_s = time.monotonic() + PATIENCE_S
    attempts = 0
    while applicant.answer is None and time.monotonic() < end_s:
        attempts += 1
        if attempts % ATTEMPTS_A_COOKIE == 0:
            applicant.again()
        for path, address in targets:
            try:
                channel.sendto(applicant.datagram(path), address)
            except OSError as error:
                trouble = f"cannot send to {address[0]}: {(error.strerror or str(error)).lower()}"
        _listen(channel, applicant, multicast, time.monotonic() + ASK_EVERY_S)
    return trouble


def _try_group(channel: socket.socket, applicant: Applicant, group: tuple[str, int], multicast: Multicast) -> None:
    """The answer may have come by unicast: does multicast work, both ways?  Heartbeats will need it."""
    for _ in range(GROUP_ATTEMPTS):
        if multicast.out and multicast.back:
            return
        with contextlib.suppress(OSError):
            channel.sendto(applicant.hello(Path.GROUP), group)
        end_s = time.monotonic() + ASK_EVERY_S
        while not (multicast.out and multicast.back) and (left_s := end_s - time.monotonic()) > 0:
            _take(channel, applicant, multicast, left_s)


def _listen(channel: socket.socket, applicant: Applicant, multicast: Multicast, until_s: float) -> None:
    """Take what comes; a challenge is answered at once, not at the next turn."""
    while applicant.answer is None and (left_s := until_s - time.monotonic()) > 0:
        asking = not applicant.applies
        source = _take(channel, applicant, multicast, left_s)
        if source is not None and asking and applicant.applies:
            with contextlib.suppress(OSError):
                channel.sendto(applicant.datagram(Path.ADDRESS), source)


def _take(
    channel: socket.socket, applicant: Applicant, multicast: Multicast, patience_s: float
) -> tuple[str, int] | None:
    """One datagram, and where it came from; None: nothing came."""
    if not select.select([channel], [], [], patience_s)[0]:
        return None
    try:
        datagram, source = channel.recvfrom(exchange.DATAGRAM_BYTES_MAX)
    except OSError:  # the answer to an earlier datagram: unreachable
        return None
    if datagram.startswith(seal.MAGIC):
        multicast.back = True  # nobody sends heartbeats to this address yet
    else:
        applicant.receive(datagram)
        multicast.out |= Path.GROUP in applicant.observed.paths
    return source[0], source[1]


def unanswered(observed: Observed, token: Token, interface: Interface, trouble: str) -> str:
    """Why there is no answer, as far as that can be told from here, and what to look at."""
    if observed.versions:
        told = ", ".join(map(str, sorted(observed.versions)))
        return (
            f"the cluster speaks version {told} of the joining protocol and this host version {exchange.VERSION}:"
            " install the same vipcast on both"
        )
    if observed.strangers and not observed.paths:
        told = ", ".join(sorted(observed.strangers))
        return (
            f"{told} can be reached from here, but nobody knows this token: it is long over, or the vipcastd that"
            " made it has been restarted since, or it is one of another cluster. Make a new one with 'vipcast"
            " cluster token' on a member (wall clocks play no part in this)"
        )
    if observed.paths:
        return "the cluster was reached, but its answers do not come through: is the network losing datagrams?"
    if trouble:
        return f"{trouble}; look at the link of {interface}"
    where = f"{token.group} port {token.port}" if token.group != NOWHERE else f"port {token.port}"
    return (
        f"no answer by {interface}, neither from the group {where} nor from {token.address}. Look at these:"
        f" is {interface.name} the cluster's network (else: --link)?"
        f" does 'ping {token.address}' work?"
        f" does a firewall, here or there, drop UDP port {token.port} or IGMP?"
        " does vipcastd run on the host that printed the token?"
    )
