"""The TCP connections of this host, asked from the kernel by inet_diag (sock_diag(7)).

`flows` lists all of one local address: what a draining slot still waits for.  `FlowProbe` asks for a single one,
which takes the same path as an arriving segment (inet_lookup), request sockets included.

Connections of a socket that listens on [::] for IPv4 as well are found, with their plain IPv4 addresses.
"""

from __future__ import annotations

import enum
import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import Struct
from types import TracebackType

from datapath.engine import DatapathError

PROTOCOL = socket.IPPROTO_TCP
NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLMSG_ERROR = 2
NLMSG_DONE = 3
NLM_F_REQUEST = 0x1
NLM_F_DUMP = 0x300
NLM_F_DUMP_INTR = 0x10
INET_DIAG_REQ_BYTECODE = 1
INET_DIAG_BC_S_COND = 7
NO_COOKIE = 0xFFFF_FFFF

DUMPS_MAX = 4
"""how often a listing is repeated that the kernel says was interrupted by changes"""
ANSWER_BYTES = 1 << 16
TIMEOUT_S = 2.0

_message = Struct("=IHHII")
_request_head = Struct("=BBBxI")
_socket_id = Struct("!HH16s16sIII")
_diag = Struct("=BBBB")
_attribute = Struct("=HH")
_condition_op = Struct("=BBH")
_host_condition = Struct("=BBxxi")
_DIAG_BYTES = _diag.size + _socket_id.size + 20


class TcpState(enum.IntEnum):
    """include/net/tcp_states.h"""

    ESTABLISHED = 1
    SYN_SENT = 2
    SYN_RECV = 3
    FIN_WAIT1 = 4
    FIN_WAIT2 = 5
    TIME_WAIT = 6
    CLOSE = 7
    CLOSE_WAIT = 8
    LAST_ACK = 9
    LISTEN = 10
    CLOSING = 11
    NEW_SYN_RECV = 12


_ALL_STATES = (1 << 13) - 1
_FLOW_STATES = _ALL_STATES & ~(1 << 0 | 1 << TcpState.LISTEN | 1 << TcpState.CLOSE)
_TIMER_TIME_WAIT = 3


@dataclass(frozen=True, slots=True)
class Flow:
    """One TCP connection, as its local end sees it."""

    local: IPv4Address | IPv6Address
    local_port: int
    remote: IPv4Address | IPv6Address
    remote_port: int
    state: TcpState
    time_wait: bool
    """only the memory of a connection is left: it needs answers to late segments, but nothing to wait for"""


def flows(ip: IPv4Address | IPv6Address) -> list[Flow]:
    """All TCP connections with the local address `ip`, half-open ones included; listening sockets are none.

    DatapathError when this kernel cannot tell.
    """
    with _DiagSocket() as diag:
        if ip.version == 6:
            found = diag.dump(socket.AF_INET6, ip, _FLOW_STATES)
        else:
            found = diag.dump(socket.AF_INET, ip, _FLOW_STATES)
            with suppress(FileNotFoundError):  # a kernel without IPv6 has no dual-stack sockets either
                found |= diag.dump(socket.AF_INET6, ip, _FLOW_STATES)
    return sorted(found, key=lambda flow: (flow.remote, flow.remote_port, flow.local_port, flow.state))


class FlowProbe:
    """Asks whether this host has a connection; keeps its socket, about 10 µs a question."""

    def __init__(self) -> None:
        """DatapathError when this kernel has no inet_diag."""
        self._diag = _DiagSocket()
        # a single question is answered "no such socket" alike when the kernel cannot tell: find out beforehand
        self._diag.dump(socket.AF_INET, IPv4Address(0), 1 << TcpState.LISTEN)

    def has(self, local: bytes, local_port: int, remote: bytes, remote_port: int) -> bool:
        """Whether a local socket belongs to this connection (addresses packed): established, half-open or closing.

        A listener that would take a new connection does not count.  DatapathError when the kernel cannot tell.
        """
        state = self._diag.find(local, local_port, remote, remote_port)
        return state is not None and state not in (TcpState.LISTEN, TcpState.CLOSE)

    def half_open(self, local: bytes, local_port: int, remote: bytes, remote_port: int) -> bool:
        """Whether we have answered this connection's SYN, and its client may not know yet."""
        state = self._diag.find(local, local_port, remote, remote_port)
        return state in (TcpState.SYN_RECV, TcpState.NEW_SYN_RECV)

    def close(self) -> None:
        self._diag.close()


class _DiagSocket:
    """One netlink socket; requests and answers follow each other strictly."""

    def __init__(self) -> None:
        try:
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG
            )
        except OSError as error:
            raise DatapathError(
                f"cannot ask the kernel for its connections: {error.strerror or error}; "
                "is the module inet_diag available? (modprobe tcp_diag)"
            ) from error
        self._socket.settimeout(TIMEOUT_S)
        self._sequence = 0

    def __enter__(self) -> _DiagSocket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def dump(self, family: int, ip: IPv4Address | IPv6Address, states: int) -> set[Flow]:
        """One family's sockets with the local address `ip`; the kernel itself filters by address.

        DatapathError when the kernel cannot list them; FileNotFoundError when only IPv6 is missing.
        """
        request = _request_head.pack(family, PROTOCOL, 0, states)
        request += _socket_id.pack(0, 0, bytes(16), bytes(16), 0, NO_COOKIE, NO_COOKIE) + _local_address_filter(ip)
        for _ in range(DUMPS_MAX):
            found: set[Flow] = set()
            try:
                whole = self._collect(request, ip, found)
            except FileNotFoundError as error:
                if family == socket.AF_INET6:
                    raise
                raise DatapathError(
                    "this kernel cannot list its TCP connections: load the module (modprobe tcp_diag)"
                ) from error
            if whole:
                return found
        return found  # interrupted each time: the newest list, at worst short of what changed meanwhile

    def _collect(self, request: bytes, ip: IPv4Address | IPv6Address, found: set[Flow]) -> bool:
        """One dump into `found`; False when the kernel says that it was interrupted."""
        whole = True
        for kind, flags, payload in self._ask(request, NLM_F_REQUEST | NLM_F_DUMP):
            whole = whole and not flags & NLM_F_DUMP_INTR
            if kind != SOCK_DIAG_BY_FAMILY:
                continue
            flow = _parse_flow(payload)
            if flow is not None and flow.local == ip:
                found.add(flow)
        return whole

    def find(self, local: bytes, local_port: int, remote: bytes, remote_port: int) -> TcpState | None:
        """The state of the socket that a segment of this connection would reach; None when there is none."""
        family = socket.AF_INET if len(local) == 4 else socket.AF_INET6
        request = _request_head.pack(family, PROTOCOL, 0, _ALL_STATES) + _socket_id.pack(
            local_port, remote_port, local, remote, 0, NO_COOKIE, NO_COOKIE
        )
        try:
            for kind, _, payload in self._ask(request, NLM_F_REQUEST):
                if kind == SOCK_DIAG_BY_FAMILY and len(payload) >= _DIAG_BYTES:
                    return _state(payload[1])
        except FileNotFoundError:
            return None
        return None

    def _ask(self, request: bytes, flags: int) -> Iterator[tuple[int, int, bytes]]:
        """Send a request, yield (type, flags, payload) of its answers.

        FileNotFoundError when there is no such socket, or nobody in the kernel who could tell; DatapathError else.
        """
        self._sequence = self._sequence + 1 & 0xFFFF_FFFF
        message = (
            _message.pack(_message.size + len(request), SOCK_DIAG_BY_FAMILY, flags, self._sequence, 0) + request
        )
        try:
            self._socket.send(message)
            dumping = bool(flags & NLM_F_DUMP)
            while True:
                for kind, answer_flags, payload in self._messages():
                    if kind in (NLMSG_ERROR, NLMSG_DONE):
                        # a dump that fails ends with its error in the "done" message
                        code = -int.from_bytes(payload[:4], sys.byteorder, signed=True)
                        if code:
                            raise OSError(code, os.strerror(code))
                        return
                    yield kind, answer_flags, payload
                    if not dumping:
                        return
        except FileNotFoundError:
            raise
        except TimeoutError as error:
            raise DatapathError(f"the kernel did not list its connections within {TIMEOUT_S:g} s") from error
        except OSError as error:
            raise DatapathError(f"the kernel did not list its connections: {error.strerror or error}") from error

    def _messages(self) -> Iterator[tuple[int, int, bytes]]:
        data = self._socket.recv(ANSWER_BYTES)
        if not data:
            raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
        at = 0
        while at + _message.size <= len(data):
            length, kind, flags, sequence, _ = _message.unpack_from(data, at)
            if length < _message.size or at + length > len(data):
                raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))
            if sequence == self._sequence:
                yield kind, flags, data[at + _message.size : at + length]
            at += length + 3 & ~3


def _local_address_filter(ip: IPv4Address | IPv6Address) -> bytes:
    """INET_DIAG_REQ_BYTECODE with one condition, the source address (include/uapi/linux/inet_diag.h)."""
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    condition = _host_condition.pack(family, ip.max_prefixlen, -1) + ip.packed
    size = _condition_op.size + len(condition)
    code = _condition_op.pack(INET_DIAG_BC_S_COND, size, size + 4) + condition
    return _attribute.pack(_attribute.size + len(code), INET_DIAG_REQ_BYTECODE) + code


def _parse_flow(payload: bytes) -> Flow | None:
    """struct inet_diag_msg; None for what is too short or of a family that we do not know."""
    if len(payload) < _DIAG_BYTES:
        return None
    family, number, timer, _ = _diag.unpack_from(payload)
    local_port, remote_port, local, remote, *_ = _socket_id.unpack_from(payload, _diag.size)
    state = _state(number)
    if state is None or family not in (socket.AF_INET, socket.AF_INET6):
        return None
    size = 4 if family == socket.AF_INET else 16
    return Flow(
        _plain(local[:size]),
        local_port,
        _plain(remote[:size]),
        remote_port,
        state,
        state is TcpState.TIME_WAIT or timer == _TIMER_TIME_WAIT,
    )


def _plain(packed: bytes) -> IPv4Address | IPv6Address:
    address = ip_address(packed)
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _state(number: int) -> TcpState | None:
    try:
        return TcpState(number)
    except ValueError:
        return None
