"""Programs on tc's two hooks of an interface, by rtnetlink(7): they stay when the process that attached them ends.

A clsact qdisc is made where an interface has none.  Filters of others are never touched: ours has a preference and a
handle of its own, and is known by its name.  Replacing the program of a filter is one step for packets.

Sources: include/uapi/linux/pkt_sched.h, pkt_cls.h, tc-bpf(8).
"""

from __future__ import annotations

import enum
import errno
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Any

from datapath.host.links import index_of
from datapath.netlink import (
    HOST_U32,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    TEXT,
    Fields,
    KernelError,
    Message,
    Socket,
)

NAME = "vipcast"
PREFERENCE = 110
HANDLE = 0x766970

_NETLINK_ROUTE = 0
_RTM_NEWQDISC, _RTM_DELQDISC, _RTM_GETQDISC = 36, 37, 38
_RTM_NEWTFILTER, _RTM_DELTFILTER, _RTM_GETTFILTER = 44, 45, 46
_CLSACT = 0xFFFF_FFF1
_CLSACT_HANDLE = 0xFFFF_0000
_ACT_DIRECT = 1
_ETH_P_ALL = 0x0003
_INFO = PREFERENCE << 16 | socket.htons(_ETH_P_ALL)

_tcmsg = Struct("=BxxxiIII")
_QDISC = Fields(kind=(1, TEXT))
_BPF = Fields(fd=(6, HOST_U32), name=(7, TEXT), flags=(8, HOST_U32), id=(11, HOST_U32))
_FILTER = Fields(kind=(1, TEXT), options=(2, _BPF))
_GONE = frozenset({errno.ENOENT, errno.ENODEV, errno.EINVAL})


class Hook(enum.IntEnum):
    """Parents of filters (TC_H_MIN_INGRESS, TC_H_MIN_EGRESS)."""

    INGRESS = 0xFFFF_FFF2
    EGRESS = 0xFFFF_FFF3


@dataclass(frozen=True, slots=True)
class Attached:
    """A filter of ours on an interface."""

    interface: str
    hook: Hook
    program_id: int


class Attachments:
    """The door to tc in the network namespace in which it was made."""

    def __init__(self) -> None:
        self._netlink = Socket(_NETLINK_ROUTE)

    def close(self) -> None:
        self._netlink.close()

    def found(self) -> list[Attached]:
        """Our filters on every interface."""
        names = dict(socket.if_nameindex())
        return [
            Attached(names[index], hook, program)
            for index in sorted(self._qdiscs())
            if index in names
            for hook in Hook
            for program in self._programs(index, hook)
        ]

    def hooks(self, interface: str) -> frozenset[Hook]:
        """Those that the interface has, or will have: the older qdisc `ingress` of somebody has no other one."""
        kind = self._qdiscs().get(index_of(interface), "clsact")
        return frozenset(Hook) if kind == "clsact" else frozenset({Hook.INGRESS})

    def attach(self, interface: str, programs: Mapping[Hook, int]) -> bool:
        """Have these programs (descriptors) look at packets, in the place of earlier ones of ours.

        True when the clsact qdisc had to be made.
        """
        index = index_of(interface)
        made = self._make_qdisc(index, interface)
        try:
            for hook in self.hooks(interface):
                options = {"fd": programs[hook], "name": NAME, "flags": _ACT_DIRECT}
                body = _tcmsg.pack(socket.AF_UNSPEC, index, HANDLE, hook, _INFO)
                body += _FILTER.pack({"kind": "bpf", "options": options})
                self._request(_RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_REPLACE, body, f"attach to {interface}")
        except KernelError:
            if made:
                self.detach(interface)
                self.unmake(interface)
            raise
        return made

    def detach(self, interface: str) -> None:
        """Take our filters off; what is gone already, with or without its interface, is no error."""
        try:
            index = socket.if_nametoindex(interface)
        except OSError:
            return
        for hook in Hook:
            if self._programs(index, hook):
                body = _tcmsg.pack(socket.AF_UNSPEC, index, HANDLE, hook, _INFO) + _FILTER.pack({"kind": "bpf"})
                self._remove(_RTM_DELTFILTER, body, f"detach from {interface}")

    def unmake(self, interface: str) -> None:
        """Remove the clsact qdisc, unless somebody uses it; to be called where we made it."""
        try:
            index = socket.if_nametoindex(interface)
        except OSError:
            return
        if any(self._filters(index, hook) for hook in Hook):
            return
        body = _tcmsg.pack(socket.AF_UNSPEC, index, _CLSACT_HANDLE, _CLSACT, 0) + _QDISC.pack({"kind": "clsact"})
        self._remove(_RTM_DELQDISC, body, f"remove the clsact qdisc of {interface}")

    def _make_qdisc(self, index: int, interface: str) -> bool:
        if index in self._qdiscs():
            return False
        body = _tcmsg.pack(socket.AF_UNSPEC, index, _CLSACT_HANDLE, _CLSACT, 0) + _QDISC.pack({"kind": "clsact"})
        self._request(_RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, body, f"make a clsact qdisc on {interface}")
        return True

    def _qdiscs(self) -> dict[int, str]:
        """Kind of each interface's qdisc for hooks, by index: clsact, or the older ingress."""
        request = Message(_RTM_GETQDISC, 0, _tcmsg.pack(socket.AF_UNSPEC, 0, 0, 0, 0), "list the qdiscs")
        found = {}
        for body in self._netlink.dump(request):
            _, index, _, parent, _ = _tcmsg.unpack_from(body)
            if parent == _CLSACT:
                found[index] = str(_QDISC.unpack(body[_tcmsg.size :]).get("kind", ""))
        return found

    def _programs(self, index: int, hook: Hook) -> list[int]:
        """Ids of the programs that our filters on a hook run."""
        found = []
        for handle, members in self._filters(index, hook):
            options = members.get("options", {})
            if handle == HANDLE and members.get("kind") == "bpf" and options.get("name") == NAME:
                found.append(options.get("id", 0))
        return found

    def _filters(self, index: int, hook: Hook) -> list[tuple[int, dict[str, Any]]]:
        """(handle, members) of each filter; the kernel also lists a heading for each preference, with handle 0."""
        head = _tcmsg.pack(socket.AF_UNSPEC, index, 0, hook, 0)
        try:
            bodies = self._netlink.dump(Message(_RTM_GETTFILTER, 0, head, "list the filters"))
        except KernelError as refusal:
            if refusal.errno in _GONE:
                return []
            raise
        return [(_tcmsg.unpack_from(body)[2], _FILTER.unpack(body[_tcmsg.size :])) for body in bodies]

    def _request(self, kind: int, flags: int, body: bytes, what: str) -> None:
        self._netlink.request(Message(kind, flags, body, what))

    def _remove(self, kind: int, body: bytes, what: str) -> None:
        try:
            self._netlink.request(Message(kind, 0, body, what))
        except KernelError as refusal:
            if refusal.errno not in _GONE:
                raise
