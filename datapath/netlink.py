"""Netlink from the standard library: messages from field tables, whole batches, the kernel's own error texts.

A message is a header, a fixed part and attributes; `Fields` is the table that names an attribute set's members
once and both packs and unpacks it.  A `Socket` sends one datagram that may hold many messages and returns when the
kernel has answered all of it: netlink is handled inside sendmsg(2), so every answer is queued before that returns,
and nothing here waits on a clock.

Sources: netlink(7), include/uapi/linux/netlink.h, Documentation/userspace-api/netlink/intro.rst.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from struct import Struct, error
from typing import Any, Protocol

from datapath.engine import DatapathError

NLM_F_REQUEST = 0x001
NLM_F_ACK = 0x004
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800
NLM_F_DUMP_INTR = 0x010

NLMSG_ERROR = 2
NLMSG_DONE = 3

NLA_F_NESTED = 0x8000
NLA_TYPE_MASK = 0x3FFF
NLA_BYTES_MAX = 0xFFFF
"""An attribute's length is 16 bits: longer lists go into several messages."""

_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11
_NLM_F_CAPPED = 0x100
_NLM_F_ACK_TLVS = 0x200
_NLMSGERR_ATTR_MSG = 1
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33
_SEND_BYTES = 8 << 20
"""One transaction is one datagram: 65,536 slots fit.  A thousand addresses do not: the buffer grows when it has to."""
_SEND_BYTES_MAX = 512 << 20
_RECEIVE_BYTES = 1 << 20
_REQUESTS_AT_ONCE = 128
"""each is answered, and all of the answers wait in the receive buffer"""
_DUMP_RETRIES = 8

_header = Struct("=IHHII")
_attribute = Struct("=HH")
_error_code = Struct("=i")


class Codec(Protocol):
    """How one attribute's payload is written and read."""

    @property
    def nested(self) -> bool: ...

    def pack(self, value: Any) -> bytes: ...

    def unpack(self, payload: bytes) -> Any: ...


@dataclass(frozen=True)
class Number:
    """An integer of fixed size; nf_tables wants network order, rtnetlink the host's."""

    layout: Struct
    nested: bool = False

    def pack(self, value: int) -> bytes:
        return self.layout.pack(value)

    def unpack(self, payload: bytes) -> int:
        (value,) = self.layout.unpack_from(payload)
        return int(value)


@dataclass(frozen=True)
class Text:
    """A string that ends with a zero byte."""

    nested: bool = False

    def pack(self, value: str) -> bytes:
        return value.encode() + b"\0"

    def unpack(self, payload: bytes) -> str:
        return payload.split(b"\0", 1)[0].decode(errors="replace")


@dataclass(frozen=True)
class Octets:
    """Bytes as they are."""

    nested: bool = False

    def pack(self, value: bytes) -> bytes:
        return value

    def unpack(self, payload: bytes) -> bytes:
        return bytes(payload)


U8 = Number(Struct("B"))
U16 = Number(Struct("!H"))
U32 = Number(Struct("!I"))
I32 = Number(Struct("!i"))
U64 = Number(Struct("!Q"))
HOST_U16 = Number(Struct("=H"))
HOST_U32 = Number(Struct("=I"))
TEXT = Text()
OCTETS = Octets()


class Fields:
    """An attribute set: member → (number, codec).  Unknown attributes are skipped when reading, as netlink asks."""

    nested = True

    def __init__(self, **members: tuple[int, Codec]) -> None:
        self._members = members
        self._names = {number: (name, codec) for name, (number, codec) in members.items()}

    def pack(self, value: Mapping[str, Any]) -> bytes:
        return b"".join(attribute(*self._members[name], content) for name, content in value.items())

    def unpack(self, payload: bytes) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for number, content in attributes(payload):
            if number in self._names:
                name, codec = self._names[number]
                found[name] = codec.unpack(content)
        return found


@dataclass(frozen=True)
class ListOf:
    """A row of attributes of one kind (NFTA_LIST_ELEM and the like)."""

    number: int
    codec: Codec
    nested: bool = True

    def pack(self, value: Sequence[Any]) -> bytes:
        return b"".join(attribute(self.number, self.codec, content) for content in value)

    def unpack(self, payload: bytes) -> list[Any]:
        return [self.codec.unpack(content) for number, content in attributes(payload) if number == self.number]


def attribute(number: int, codec: Codec, value: Any) -> bytes:
    """One attribute with its header and padding."""
    return raw_attribute(number | NLA_F_NESTED if codec.nested else number, codec.pack(value))


def raw_attribute(number: int, payload: bytes) -> bytes:
    """An attribute of a payload that is already packed."""
    length = 4 + len(payload)
    if length > NLA_BYTES_MAX:
        raise ValueError(f"attribute {number & NLA_TYPE_MASK} has {length} bytes, netlink allows {NLA_BYTES_MAX}")
    return _attribute.pack(length, number) + payload + b"\0" * (-length % 4)


def attributes(payload: bytes) -> Iterator[tuple[int, bytes]]:
    """(number, content) of each attribute; a length that points outside ends the walk."""
    at = 0
    while at + 4 <= len(payload):
        length, number = _attribute.unpack_from(payload, at)
        if length < 4 or at + length > len(payload):
            return
        yield number & NLA_TYPE_MASK, payload[at + 4 : at + length]
        at += length + (-length % 4)


@dataclass(frozen=True, slots=True)
class Message:
    """One request: type, flags, everything after the netlink header, and what it is about in words for errors."""

    type: int
    flags: int
    body: bytes
    what: str

    def pack(self, sequence: int, dump: int = 0) -> bytes:
        flags = self.flags | NLM_F_REQUEST | dump
        body = self.body
        return _header.pack(16 + len(body), self.type, flags, sequence, 0) + body + b"\0" * (-len(body) % 4)


class KernelError(DatapathError):
    """A DatapathError that still knows the errno, for callers that expect one (EEXIST, ENOENT)."""

    def __init__(self, what: str, code: int, said: str) -> None:
        reason = os.strerror(code)
        super().__init__(f"the kernel refused to {what}: {reason}{f' ({said})' if said else ''}{_remedy(code)}")
        self.errno = code
        self._parts = (what, code, said)

    def __reduce__(self) -> tuple[type[KernelError], tuple[str, int, str]]:
        """An engine's process may hand it to another one."""
        return type(self), self._parts


def _remedy(code: int) -> str:
    if code in {errno.EPERM, errno.EACCES}:
        return (
            "; it needs CAP_NET_ADMIN: run as root or with the unit's capabilities; where it has that, another process "
            "owns what is to be changed (nft list tables: flags owner)"
        )
    if code in {errno.EMSGSIZE, errno.ENOBUFS}:
        return "; raise net.core.wmem_max or ask for fewer slots at once"
    return ""


class Socket:
    """A netlink socket of one protocol in the network namespace of the caller."""

    def __init__(self, protocol: int) -> None:
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
            self._socket.bind((0, 0))
        except OSError as problem:
            raise KernelError(f"open a netlink socket (protocol {protocol})", problem.errno or 0, "") from problem
        self._sequence = 0
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._enlarge(_SO_SNDBUFFORCE, socket.SO_SNDBUF, _SEND_BYTES)
        self._enlarge(_SO_RCVBUFFORCE, socket.SO_RCVBUF, _RECEIVE_BYTES)

    def _enlarge(self, force: int, plain: int, size: int) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, force, size)
        except PermissionError:
            # without CAP_NET_ADMIN the requests themselves will be refused, with a better sentence
            self._socket.setsockopt(socket.SOL_SOCKET, plain, size)

    def close(self) -> None:
        self._socket.close()

    def transact(self, messages: Sequence[Message]) -> None:
        """Send all messages as one datagram; raises KernelError for the first that fails.

        Errors are answered in any case, so one message with NLM_F_ACK, the last that matters, is enough.
        """
        first = self._sequence + 1
        self._sequence += len(messages)
        datagram = b"".join(message.pack(first + index) for index, message in enumerate(messages))
        self.send(datagram, messages[0].what)
        self._settle(first, messages)

    def request(self, message: Message) -> None:
        """One message, acknowledged."""
        self.transact((replace(message, flags=message.flags | NLM_F_ACK),))

    def try_each(self, messages: Sequence[Message]) -> list[KernelError | None]:
        """Requests that stand for themselves, many in one call; for each why it was refused, or None.

        Not for nf_tables, which takes a batch as a whole: rtnetlink goes on after one that fails.
        """
        refusals: list[KernelError | None] = []
        for at in range(0, len(messages), _REQUESTS_AT_ONCE):
            refusals += self._try_some(messages[at : at + _REQUESTS_AT_ONCE])
        return refusals

    def _try_some(self, messages: Sequence[Message]) -> list[KernelError | None]:
        first = self._sequence + 1
        self._sequence += len(messages)
        acknowledged = (replace(message, flags=message.flags | NLM_F_ACK) for message in messages)
        datagram = b"".join(message.pack(first + index) for index, message in enumerate(acknowledged))
        self.send(datagram, messages[0].what)
        said = {sequence - first: (code, text) for sequence, code, text in self.answers()}
        if missing := [message.what for index, message in enumerate(messages) if index not in said]:
            raise DatapathError(f"the kernel did not answer when asked to {missing[0]}")
        return [
            KernelError(message.what, *said[index]) if said[index][0] else None
            for index, message in enumerate(messages)
        ]

    def send(self, datagram: bytes, what: str) -> None:
        if _SEND_BYTES < len(datagram) <= _SEND_BYTES_MAX:
            # the kernel doubles what it is told, and a datagram may not fill the buffer wholly (netlink_sendmsg)
            self._enlarge(_SO_SNDBUFFORCE, socket.SO_SNDBUF, len(datagram))
        try:
            self._socket.send(datagram)
        except OSError as problem:
            raise KernelError(what, problem.errno or 0, "") from problem

    def answers(self) -> list[tuple[int, int, str]]:
        """(sequence, errno, text) of everything that is queued; errno 0 acknowledges."""
        found = []
        while (datagram := self._receive(socket.MSG_DONTWAIT)) is not None:
            for kind, flags, sequence, body in _messages(datagram):
                if kind == NLMSG_ERROR:
                    found.append((sequence, *_read_error(flags, body)))
        return found

    def _settle(self, first: int, messages: Sequence[Message]) -> None:
        failure: KernelError | None = None
        settled = False
        for sequence, code, said in self.answers():
            index = sequence - first
            if not 0 <= index < len(messages):
                continue  # belongs to a request whose caller has given up
            settled = True
            if code and failure is None:
                failure = KernelError(messages[index].what, code, said)
        if failure is not None:
            raise failure
        if not settled:
            raise DatapathError(f"the kernel did not answer when asked to {messages[-1].what}")

    def dump(self, message: Message) -> list[bytes]:
        """Everything that a dump request yields, each body without the netlink header.

        A dump that the kernel says was disturbed by a change is read again, a bounded number of times.
        """
        for _ in range(_DUMP_RETRIES):
            bodies = self._dump_once(message)
            if bodies is not None:
                return bodies
        raise DatapathError(f"asked to {message.what}, but the tables changed faster than they could be read")

    def _dump_once(self, message: Message) -> list[bytes] | None:
        self._sequence += 1
        expected = self._sequence
        self.send(message.pack(expected, NLM_F_DUMP), message.what)
        bodies: list[bytes] = []
        whole = True
        while True:
            datagram = self._receive(0)
            for kind, flags, sequence, body in _messages(datagram or b""):
                if sequence != expected:
                    continue
                if kind == NLMSG_ERROR or (
                    kind == NLMSG_DONE and len(body) >= 4 and _error_code.unpack_from(body)[0]
                ):
                    code, said = _read_error(flags, body)
                    if code == errno.EINTR:
                        return None
                    raise KernelError(message.what, code, said)
                whole = whole and not flags & NLM_F_DUMP_INTR
                if kind == NLMSG_DONE:
                    return bodies if whole else None
                bodies.append(body)

    def parts(self, message: Message) -> Iterator[list[bytes]]:
        """What a dump request yields, a datagram of it at a time, for who does other things in between.

        On a socket of its own: what else is asked by it meanwhile would take the rest for its answer.  What changes
        meanwhile may be there or not, or twice.
        """
        self._sequence += 1
        expected = self._sequence
        self.send(message.pack(expected, NLM_F_DUMP), message.what)
        while True:
            bodies: list[bytes] = []
            for kind, flags, sequence, body in _messages(self._receive(0) or b""):
                if sequence != expected:
                    continue
                if kind == NLMSG_ERROR or (
                    kind == NLMSG_DONE and len(body) >= 4 and _error_code.unpack_from(body)[0]
                ):
                    raise KernelError(message.what, *_read_error(flags, body))
                if kind == NLMSG_DONE:
                    yield bodies
                    return
                bodies.append(body)
            yield bodies

    def get(self, message: Message) -> bytes:
        """The one answer to a get request, without the netlink header."""
        self._sequence += 1
        expected = self._sequence
        self.send(message.pack(expected), message.what)
        while (datagram := self._receive(socket.MSG_DONTWAIT)) is not None:
            for kind, flags, sequence, body in _messages(datagram):
                if sequence != expected:
                    continue
                if kind == NLMSG_ERROR:
                    code, said = _read_error(flags, body)
                    raise KernelError(message.what, code, said)
                return body
        raise DatapathError(f"the kernel did not answer when asked to {message.what}")

    def _receive(self, flags: int) -> bytes | None:
        try:
            # MSG_TRUNC with a peek would cost a call more: the kernel's dumps use at most 32 KiB a datagram
            return self._socket.recv(1 << 18, flags)
        except BlockingIOError:
            return None
        except OSError as problem:
            raise KernelError("answer over netlink", problem.errno or 0, "") from problem


def _messages(datagram: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """(type, flags, sequence, body) of each message in a datagram."""
    at = 0
    while at + 16 <= len(datagram):
        length, kind, flags, sequence, _port = _header.unpack_from(datagram, at)
        if length < 16 or at + length > len(datagram):
            return
        yield kind, flags, sequence, datagram[at + 16 : at + length]
        at += length + (-length % 4)


def _read_error(flags: int, body: bytes) -> tuple[int, str]:
    """errno and the kernel's own words (NLMSGERR_ATTR_MSG), where it has any."""
    try:
        code = -_error_code.unpack_from(body)[0]
        echoed = 16 if flags & _NLM_F_CAPPED else _header.unpack_from(body, 4)[0]
    except error:
        return errno.EBADMSG, "a netlink error message was cut short"
    if not flags & _NLM_F_ACK_TLVS:
        return code, ""
    texts = [content for number, content in attributes(body[4 + echoed :]) if number == _NLMSGERR_ATTR_MSG]
    return code, TEXT.unpack(texts[0]) if texts else ""
