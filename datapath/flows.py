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
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import Struct
from types import TracebackType

from datapath.engine import DatapathError

PROTOCOL = socket.IPPROTO_TCP
NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
SOCK_DESTROY = 21
NLMSG_ERROR = 2
NLMSG_DONE = 3
NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP = 0x300
INET_DIAG_REQ_BYTECODE = 1
INET_DIAG_BC_S_COND = 7
NO_COOKIE = 0xFFFF_FFFF

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
_HALF_OPEN = 1 << TcpState.SYN_RECV | 1 << TcpState.NEW_SYN_RECV
_TIMER_TIME_WAIT = 3
_HALF_OPEN_STATES = frozenset({TcpState.SYN_RECV, TcpState.NEW_SYN_RECV})
_STATE_AT, _TIMER_AT = 1, 2
_PORTS_AT = _diag.size
_ADDRESSES_AT = _PORTS_AT + 4
"""in struct inet_diag_msg: our port, the client's; then our address and the client's, 16 bytes each"""
_MAPPED = bytes(10) + b"\xff\xff"


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
    cookie: tuple[int, int] = field(default=(NO_COOKIE, NO_COOKIE), compare=False)
    """the kernel's own name for the socket: another one that takes its place, or the listener, is never meant"""


def flows(ip: IPv4Address | IPv6Address) -> list[Flow]:
    """All TCP connections with the local address `ip`, half-open ones included; listening sockets are none.

    For few: `connections` is for thousands.  DatapathError when this kernel cannot tell.
    """
    found = {flow for batch in _batches(ip, _FLOW_STATES) for flow in batch.flows()}
    return sorted(found, key=lambda flow: (flow.remote, flow.remote_port, flow.local_port, flow.state))


def connections(ip: IPv4Address | IPv6Address) -> Iterator[Batch]:
    """The TCP connections with the local address `ip` that somebody still waits for (none in TIME_WAIT).

    One answer of the kernel at a time, each within a millisecond, so that a caller with thousands of them can do other
    things in between; what changes meanwhile may be there or not.  DatapathError when this kernel cannot tell.
    """
    for batch in _batches(ip, _FLOW_STATES & ~(1 << TcpState.TIME_WAIT)):
        living = [one for one in batch.sockets if one[_TIMER_AT] != _TIMER_TIME_WAIT]
        yield Batch(living, batch.client)


def half_open_flows(ip: IPv4Address | IPv6Address, at_most: int) -> list[bytes]:
    """Connections to `ip` whose SYN was answered and whose client may not know yet: client, its port, our port.

    As in the client's packets.  DatapathError when this kernel cannot tell, or there are more than `at_most`.
    """
    found: list[bytes] = []
    for batch in _batches(ip, _HALF_OPEN):
        found += batch.names
        if len(found) > at_most:
            raise DatapathError(f"more than {at_most} connections to {ip} are half open")
    return found


@dataclass(frozen=True, slots=True)
class Batch:
    """Connections of one local address, as many as one answer of the kernel holds: some hundreds."""

    sockets: list[bytes]
    """struct inet_diag_msg each"""
    client: slice
    """where in it the client's address stands"""

    @property
    def names(self) -> list[bytes]:
        """Client's address, client's port, our port of each, as in the client's packets."""
        at, theirs, ours = self.client, slice(_PORTS_AT + 2, _PORTS_AT + 4), slice(_PORTS_AT, _PORTS_AT + 2)
        return [one[at] + one[theirs] + one[ours] for one in self.sockets]

    @property
    def half_open(self) -> list[bool]:
        """Whether each one's SYN was answered and its client may not know yet."""
        return [one[_STATE_AT] in _HALF_OPEN_STATES for one in self.sockets]

    def flows(self) -> list[Flow]:
        return [flow for one in self.sockets if (flow := _parse_flow(one)) is not None]


def _batches(ip: IPv4Address | IPv6Address, states: int) -> Iterator[Batch]:
    """Of both families where the address may have sockets in both."""
    client = _ADDRESSES_AT + 16
    with _DiagSocket() as diag:
        if ip.version == 6:
            for sockets in diag.dump(socket.AF_INET6, ip, ip.packed, states):
                yield Batch(sockets, slice(client, client + 16))
            return
        for sockets in diag.dump(socket.AF_INET, ip, ip.packed, states):
            yield Batch(sockets, slice(client, client + 4))
        with suppress(FileNotFoundError):  # a kernel without IPv6 has no dual-stack sockets either
            for sockets in diag.dump(socket.AF_INET6, ip, _MAPPED + ip.packed, states):
                yield Batch(sockets, slice(client + len(_MAPPED), client + 16))


def abort(connections: Iterable[Flow]) -> int:
    """End connections at once, each with a reset to its client; how many there still were.

    DatapathError when this kernel does not do that (CONFIG_INET_DIAG_DESTROY).
    """
    with _DiagSocket() as diag:
        return sum(diag.destroy(flow) for flow in connections)


class FlowProbe:
    """Asks whether this host has a connection; keeps its socket, about 10 µs a question."""

    def __init__(self) -> None:
        """DatapathError when this kernel has no inet_diag."""
        self._diag = _DiagSocket()
        # a single question is answered "no such socket" alike when the kernel cannot tell: find out beforehand
        nowhere = IPv4Address(0)
        for _ in self._diag.dump(socket.AF_INET, nowhere, nowhere.packed, 1 << TcpState.LISTEN):
            pass

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

    def dump(self, family: int, ip: IPv4Address | IPv6Address, local: bytes, states: int) -> Iterator[list[bytes]]:
        """One family's sockets with the local address `ip`, answer by answer; the kernel itself filters by address.

        `local` is how they have it.  DatapathError when the kernel cannot list them; FileNotFoundError when only IPv6
        is missing.
        """
        request = _request_head.pack(family, PROTOCOL, 0, states)
        request += _socket_id.pack(0, 0, bytes(16), bytes(16), 0, NO_COOKIE, NO_COOKIE) + _local_address_filter(ip)
        here = slice(_ADDRESSES_AT, _ADDRESSES_AT + len(local))
        try:
            for answer in self._ask(request, NLM_F_REQUEST | NLM_F_DUMP):
                yield [
                    payload
                    for kind, payload in answer
                    if kind == SOCK_DIAG_BY_FAMILY and len(payload) >= _DIAG_BYTES and payload[here] == local
                ]
        except FileNotFoundError as error:
            if family == socket.AF_INET6:
                raise
            raise DatapathError(
                "this kernel cannot list its TCP connections: load the module (modprobe tcp_diag)"
            ) from error

    def find(self, local: bytes, local_port: int, remote: bytes, remote_port: int) -> TcpState | None:
        """The state of the socket that a segment of this connection would reach; None when there is none."""
        family = socket.AF_INET if len(local) == 4 else socket.AF_INET6
        request = _request_head.pack(family, PROTOCOL, 0, _ALL_STATES) + _socket_id.pack(
            local_port, remote_port, local, remote, 0, NO_COOKIE, NO_COOKIE
        )
        try:
            for answer in self._ask(request, NLM_F_REQUEST):
                for kind, payload in answer:
                    if kind == SOCK_DIAG_BY_FAMILY and len(payload) >= _DIAG_BYTES:
                        return _state(payload[_STATE_AT])
        except FileNotFoundError:
            return None
        return None

    def destroy(self, flow: Flow) -> bool:
        """False where it has ended by itself.  DatapathError when the kernel refuses.

        Where it has ended the kernel finds the listener in its place, and would end that: the cookie prevents it.
        """
        if flow.cookie == (NO_COOKIE, NO_COOKIE):
            raise DatapathError(f"a connection of {flow.local} that the kernel has not listed is not ended")
        family = socket.AF_INET if flow.local.version == 4 else socket.AF_INET6
        ends = (flow.local_port, flow.remote_port, flow.local.packed, flow.remote.packed)
        request = _request_head.pack(family, PROTOCOL, 0, _ALL_STATES) + _socket_id.pack(*ends, 0, *flow.cookie)
        try:
            for _ in self._ask(request, NLM_F_REQUEST | NLM_F_ACK, SOCK_DESTROY):
                pass  # there is no answer but the acknowledgement
        except FileNotFoundError:
            return False
        return True

    def _ask(
        self, request: bytes, flags: int, kind_asked: int = SOCK_DIAG_BY_FAMILY
    ) -> Iterator[list[tuple[int, bytes]]]:
        """Send a request, yield (type, payload) of what the kernel says, a datagram of it at a time.

        FileNotFoundError when there is no such socket, or nobody in the kernel who could tell; DatapathError else.
        """
        self._sequence = self._sequence + 1 & 0xFFFF_FFFF
        message = _message.pack(_message.size + len(request), kind_asked, flags, self._sequence, 0) + request
        dumping = flags & NLM_F_DUMP == NLM_F_DUMP
        try:
            self._socket.send(message)
            ended = False
            while not ended:
                answer = []
                for kind, payload in self._messages():
                    ended = ended or not dumping
                    if kind not in (NLMSG_ERROR, NLMSG_DONE):
                        answer.append((kind, payload))
                        continue
                    ended = True
                    # a dump that fails ends with its error in the "done" message
                    code = -int.from_bytes(payload[:4], sys.byteorder, signed=True)
                    if code == errno.ESTALE:  # another socket is there now
                        raise FileNotFoundError(code, os.strerror(code))
                    if code:
                        raise OSError(code, os.strerror(code))
                yield answer
        except FileNotFoundError:
            raise
        except TimeoutError as error:
            raise DatapathError(f"the kernel did not list its connections within {TIMEOUT_S:g} s") from error
        except OSError as error:
            raise DatapathError(f"the kernel did not list its connections: {error.strerror or error}") from error

    def _messages(self) -> Iterator[tuple[int, bytes]]:
        data = self._socket.recv(ANSWER_BYTES)
        if not data:
            raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
        at = 0
        while at + _message.size <= len(data):
            length, kind, _, sequence, _ = _message.unpack_from(data, at)
            if length < _message.size or at + length > len(data):
                raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))
            if sequence == self._sequence:
                yield kind, data[at + _message.size : at + length]
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
    local_port, remote_port, local, remote, _, *cookie = _socket_id.unpack_from(payload, _diag.size)
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
        (cookie[0], cookie[1]),
    )


def _plain(packed: bytes) -> IPv4Address | IPv6Address:
    address = ip_address(packed)
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _state(number: int) -> TcpState | None:
    try:
        return TcpState(number)
    except ValueError:
        return None
