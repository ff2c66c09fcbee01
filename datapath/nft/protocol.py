"""nf_tables' netlink messages as field tables (include/uapi/linux/netfilter/nf_tables.h).

Only what our rule set uses is listed; names are the kernel's without their prefixes.
"""

from __future__ import annotations

import enum
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from struct import Struct
from typing import Any

from datapath.netlink import (
    I32,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_EXCL,
    OCTETS,
    TEXT,
    U8,
    U32,
    U64,
    Fields,
    ListOf,
    Message,
    raw_attribute,
)

NETLINK_NETFILTER = 12
_SUBSYSTEM = 10
_BATCH_BEGIN = 16
_BATCH_END = 17

_nfgenmsg = Struct("!BBH")


class Family(enum.IntEnum):
    """NFPROTO_*"""

    ARP = 3
    NETDEV = 5
    IP6 = 10


class Msg(enum.IntEnum):
    """NFT_MSG_*"""

    NEWTABLE = 0
    GETTABLE = 1
    DELTABLE = 2
    NEWCHAIN = 3
    GETCHAIN = 4
    DELCHAIN = 5
    NEWRULE = 6
    GETRULE = 7
    DELRULE = 8
    NEWSET = 9
    GETSET = 10
    DELSET = 11
    NEWSETELEM = 12
    GETSETELEM = 13
    DELSETELEM = 14
    GETGEN = 16
    NEWOBJ = 18
    GETOBJ = 19
    DELOBJ = 20


class Verdict(enum.IntEnum):
    """NF_* and NFT_*: what a rule decides."""

    DROP = 0
    ACCEPT = 1
    JUMP = -3
    GOTO = -4
    RETURN = -5


class SetFlag(enum.IntFlag):
    CONSTANT = 0x2
    INTERVAL = 0x4
    MAP = 0x8
    TIMEOUT = 0x10
    EVAL = 0x20
    EXPR = 0x100


VERDICT_DATA = 0xFFFFFF00
"""NFT_DATA_VERDICT: the data type of a verdict map."""
OBJECT_COUNTER = 1
ELEMENT_INTERVAL_END = 0x1

VERDICT = Fields(code=(1, I32), chain=(2, TEXT))
DATA = Fields(value=(1, OCTETS), verdict=(2, VERDICT))

EXPRESSIONS: dict[str, Fields] = {
    "immediate": Fields(dreg=(1, U32), data=(2, DATA)),
    "bitwise": Fields(sreg=(1, U32), dreg=(2, U32), len=(3, U32), mask=(4, DATA), xor=(5, DATA)),
    "byteorder": Fields(sreg=(1, U32), dreg=(2, U32), op=(3, U32), len=(4, U32), size=(5, U32)),
    "cmp": Fields(sreg=(1, U32), op=(2, U32), data=(3, DATA)),
    "lookup": Fields(set=(1, TEXT), sreg=(2, U32), dreg=(3, U32), flags=(5, U32)),
    "dynset": Fields(set=(1, TEXT), op=(3, U32), sreg_key=(4, U32), timeout=(6, U64)),
    "payload": Fields(
        dreg=(1, U32),
        base=(2, U32),
        offset=(3, U32),
        len=(4, U32),
        sreg=(5, U32),
        csum_type=(6, U32),
        csum_offset=(7, U32),
        csum_flags=(8, U32),
    ),
    "exthdr": Fields(dreg=(1, U32), type=(2, U8), offset=(3, U32), len=(4, U32), flags=(5, U32), op=(6, U32)),
    "meta": Fields(dreg=(1, U32), key=(2, U32), sreg=(3, U32)),
    "hash": Fields(
        sreg=(1, U32), dreg=(2, U32), len=(3, U32), modulus=(4, U32), seed=(5, U32), offset=(6, U32), type=(7, U32)
    ),
    "counter": Fields(bytes=(1, U64), packets=(2, U64)),
    "objref": Fields(type=(1, U32), name=(2, TEXT)),
    "reject": Fields(type=(1, U32), icmp_code=(2, U8)),
}


class _Expression:
    """NFTA_EXPR_NAME and NFTA_EXPR_DATA: the data's table is chosen by the name."""

    nested = True
    _outer = Fields(name=(1, TEXT), data=(2, OCTETS))

    def pack(self, value: tuple[str, Mapping[str, Any]]) -> bytes:
        name, members = value
        return raw_attribute(1, TEXT.pack(name)) + raw_attribute(0x8002, EXPRESSIONS[name].pack(members))

    def unpack(self, payload: bytes) -> tuple[str, Any]:
        outer = self._outer.unpack(payload)
        name = outer.get("name", "")
        data = outer.get("data", b"")
        return name, EXPRESSIONS[name].unpack(data) if name in EXPRESSIONS else data


EXPRESSION = _Expression()

HOOK = Fields(hooknum=(1, U32), priority=(2, I32), dev=(3, TEXT))
TABLE = Fields(name=(1, TEXT), flags=(2, U32), use=(3, U32))
CHAIN = Fields(
    table=(1, TEXT), name=(3, TEXT), hook=(4, HOOK), policy=(5, U32), type=(7, TEXT), userdata=(12, OCTETS)
)
RULE = Fields(table=(1, TEXT), chain=(2, TEXT), handle=(3, U64), expressions=(4, ListOf(1, EXPRESSION)))
SET_DESCRIPTION = Fields(size=(1, U32))
SET = Fields(
    table=(1, TEXT),
    name=(2, TEXT),
    flags=(3, U32),
    key_type=(4, U32),
    key_len=(5, U32),
    data_type=(6, U32),
    data_len=(7, U32),
    desc=(9, SET_DESCRIPTION),
    id=(10, U32),
    expression=(17, EXPRESSION),
)
ELEMENT = Fields(
    key=(1, DATA),
    data=(2, DATA),
    flags=(3, U32),
    timeout=(4, U64),
    expiration=(5, U64),
    expression=(7, EXPRESSION),
)
ELEMENTS = Fields(table=(1, TEXT), set=(2, TEXT), elements=(3, ListOf(1, ELEMENT)))
PACKED_ELEMENTS = Fields(table=(1, TEXT), set=(2, TEXT))
"""ELEMENTS whose list is appended already packed: thousands of slots go through no table."""
OBJECT = Fields(table=(1, TEXT), name=(2, TEXT), type=(3, U32), data=(4, EXPRESSIONS["counter"]))
GENERATION = Fields(id=(1, U32))


def message(kind: Msg, family: int, body: bytes, what: str, flags: int = 0) -> Message:
    """A nf_tables request: `what` completes "the kernel refused to …"."""
    return Message(_SUBSYSTEM << 8 | kind, flags, _nfgenmsg.pack(family, 0, 0) + body, what)


def create(kind: Msg, family: int, body: bytes, what: str) -> Message:
    """A request that makes something new and fails when it is there already."""
    return message(kind, family, body, what, NLM_F_CREATE | NLM_F_EXCL)


def batch(messages: Sequence[Message]) -> list[Message]:
    """The messages, at least one, as one transaction: all of them happen at once, or none."""
    what = "change the rule set"
    begin = Message(_BATCH_BEGIN, 0, _nfgenmsg.pack(socket.AF_UNSPEC, 0, _SUBSYSTEM), what)
    end = Message(_BATCH_END, 0, _nfgenmsg.pack(socket.AF_UNSPEC, 0, _SUBSYSTEM), what)
    # kernels before 6.10 do not acknowledge the end of a batch, so the last change asks for the acknowledgement
    last = replace(messages[-1], flags=messages[-1].flags | NLM_F_ACK)
    return [begin, *messages[:-1], last, end]


def abandoned_batch(messages: Sequence[Message]) -> list[Message]:
    """A batch without its end: the kernel checks each message as always, then forgets them all (`nft --check`)."""
    return batch(messages)[:-1]


def payload_of(body: bytes) -> bytes:
    """The attributes of an answer, behind nfgenmsg."""
    return body[_nfgenmsg.size :]
