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
from importlib.metadata import version
from ipaddress import IPv4Address

from daemon.cli.call import CommandError
from daemon.cluster.enrolment import exchange
from daemon.cluster.enrolment.applicant import Applicant, Observed
from daemon.cluster.enrolment.exchange import Application, Denial, Grant, Path
from daemon.cluster.enrolment.token import Token
from daemon.interfaces import Interface

VERSION = version("vipcast")
PATIENCE_S = 6.0
ASK_EVERY_S = 0.25
ATTEMPTS_A_COOKIE = 8
"""sent so often without an answer, it begins anew"""
GROUP_ATTEMPTS = 3
NOWHERE = IPv4Address(0)


def apply(token: Token, application: Application, interface: Interface) -> tuple[Grant, Observed]:
    """Ask until there is an answer, PATIENCE_S at most.  Raises CommandError, which explains what was observed."""
    applicant = Applicant(
        token.secret, application, private=os.urandom(exchange.KEY_BYTES), nonce=os.urandom(exchange.NONCE_BYTES)
    )
    targets = tuple(_targets(token))
    with contextlib.closing(_socket(interface, token.port)) as channel:
        trouble = _ask(channel, applicant, targets)
        if applicant.answer is not None and Path.GROUP not in applicant.observed.paths:
            _try_group(channel, applicant, targets)
    if isinstance(applicant.answer, Denial):
        raise CommandError(f"the cluster does not let this host in: {applicant.answer.sentence}", code="denied")
    if applicant.answer is None:
        raise CommandError(unanswered(applicant.observed, token, interface, trouble), code="no-answer")
    return applicant.answer, applicant.observed


def _targets(token: Token) -> Iterator[tuple[Path, tuple[str, int]]]:
    if token.group != NOWHERE:
        yield Path.GROUP, (str(token.group), token.port)
    if token.address != NOWHERE:
        yield Path.ADDRESS, (str(token.address), token.port)


def _socket(interface: Interface, port: int) -> socket.socket:
    """A socket on this interface and port: the port is what the host's firewall lets through anyway."""
    channel = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        index = socket.if_nametoindex(interface.name)
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.name.encode() + b"\0")
        channel.bind(("", port))
        channel.setsockopt(
            socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", bytes(4), bytes(4), index)
        )
    except OSError as error:
        channel.close()
        if error.errno == errno.EADDRINUSE:
            raise CommandError(
                f"UDP port {port} is taken on this host: is vipcastd (or corosync) running here? ss -ulpn tells"
            ) from error
        raise CommandError(f"{interface.name} cannot be used: {(error.strerror or str(error)).lower()}") from error
    return channel


def _ask(channel: socket.socket, applicant: Applicant, targets: tuple[tuple[Path, tuple[str, int]], ...]) -> str:
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
        _listen(channel, applicant, time.monotonic() + ASK_EVERY_S)
    return trouble


def _try_group(
    channel: socket.socket, applicant: Applicant, targets: tuple[tuple[Path, tuple[str, int]], ...]
) -> None:
    """The answer came by unicast: does multicast work as well?  Heartbeats will need it."""
    for path, address in targets * GROUP_ATTEMPTS:
        if path is Path.GROUP and path not in applicant.observed.paths:
            with contextlib.suppress(OSError):
                channel.sendto(applicant.hello(path), address)
            if select.select([channel], [], [], ASK_EVERY_S)[0]:
                with contextlib.suppress(OSError):
                    applicant.receive(channel.recvfrom(exchange.DATAGRAM_BYTES_MAX)[0])


def _listen(channel: socket.socket, applicant: Applicant, until_s: float) -> None:
    """Take what comes; a challenge is answered at once, not at the next turn."""
    while applicant.answer is None and (left_s := until_s - time.monotonic()) > 0:
        if not select.select([channel], [], [], left_s)[0]:
            return
        try:
            datagram, source = channel.recvfrom(exchange.DATAGRAM_BYTES_MAX)
        except OSError:  # the answer to an earlier datagram: unreachable
            continue
        asking = not applicant.applies
        applicant.receive(datagram)
        if asking and applicant.applies:
            with contextlib.suppress(OSError):
                channel.sendto(applicant.datagram(Path.ADDRESS), source)


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
