"""Messages that each make, fill or remove one thing of ours in nf_tables: a set, a map, a chain, a rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from datapath.netlink import Message, raw_attribute
from datapath.nft.expressions import Expression
from datapath.nft.names import TABLE
from datapath.nft.protocol import (
    CHAIN,
    ELEMENT_INTERVAL_END,
    ELEMENTS,
    OBJECT,
    OBJECT_COUNTER,
    PACKED_ELEMENTS,
    RULE,
    SET,
    VERDICT_DATA,
    Family,
    Msg,
    SetFlag,
    create,
    message,
)

_ELEMENTS_PER_MESSAGE = 400
_POLICY_ACCEPT = 1

# nft's own numbers of data types: the kernel stores them so that `nft list` can print a set's elements
TYPE_ADDRESS = {4: 7, 6: 8}
TYPE_ETHER = 9
TYPE_PROTOCOL = 12
TYPE_PORT = 13
TYPE_ICMP = 14
TYPE_MARK = 19
TYPE_TIME = 43


def new_chain(name: str, more: Mapping[str, Any] | None = None) -> Message:
    body = CHAIN.pack({"table": TABLE, "name": name, **(more or {})})
    return create(Msg.NEWCHAIN, Family.NETDEV, body, f"make the chain {name}")


def flush_set(family: Family, name: str) -> Message:
    """Remove all elements; an empty set is no error."""
    return message(Msg.DELSETELEM, family, ELEMENTS.pack({"table": TABLE, "set": name}), f"empty the set {name}")


def new_set(
    family: Family,
    name: str,
    key_type: int,
    key_len: int,
    flags: SetFlag = SetFlag(0),  # noqa: B008 - an immutable number
    *,
    size: int = 0,
    **more: Any,
) -> Message:
    members: dict[str, Any] = {
        "table": TABLE,
        "name": name,
        "flags": flags,
        "key_type": key_type,
        "key_len": key_len,
    }
    if size:
        members["desc"] = {"size": size}
    body = SET.pack({**members, "id": 1, **more})
    return create(Msg.NEWSET, family, body, f"make the set {name}")


def new_map(family: Family, name: str, key_type: int, key_len: int, size: int, *, counted: bool = False) -> Message:
    """A verdict map; `counted` gives every element a counter of its own.

    Told its size, the kernel takes a plain table of buckets and not one that can grow: a third of the time to look up.
    """
    more: dict[str, Any] = {"data_type": VERDICT_DATA, "data_len": 16}
    flags = SetFlag.MAP
    if counted:
        flags |= SetFlag.EXPR
        more["expression"] = ("counter", {})
    return new_set(family, name, key_type, key_len, flags, size=size, **more)


def new_counter(name: str) -> Message:
    body = OBJECT.pack({"table": TABLE, "name": name, "type": OBJECT_COUNTER, "data": {}})
    return create(Msg.NEWOBJ, Family.NETDEV, body, f"make the counter {name}")


def base_chain(family: Family, name: str, hook: int, interface: str | None = None) -> Message:
    place: dict[str, Any] = {"hooknum": hook, "priority": 0}
    where = ""
    if interface is not None:
        place["dev"] = interface
        where = f" at the interface {interface}"
    members = {"table": TABLE, "name": name, "hook": place, "policy": _POLICY_ACCEPT, "type": "filter"}
    return create(Msg.NEWCHAIN, family, CHAIN.pack(members), f"make the chain {name}{where}")


def drop_chain(name: str) -> list[Message]:
    family = Family.NETDEV
    return [
        message(Msg.DELRULE, family, RULE.pack({"table": TABLE, "chain": name}), f"empty the chain {name}"),
        message(Msg.DELCHAIN, family, CHAIN.pack({"table": TABLE, "name": name}), f"remove the chain {name}"),
    ]


def new_rule(family: Family, chain: str, expressions: Sequence[Expression]) -> Message:
    body = RULE.pack({"table": TABLE, "chain": chain, "expressions": expressions})
    # NLM_F_CREATE | NLM_F_APPEND: rules stand in the order in which they are said
    return message(Msg.NEWRULE, family, body, f"add a rule to the chain {chain}", 0x400 | 0x800)


def fill(family: Family, name: str, elements: list[dict[str, Any]]) -> list[Message]:
    body = ELEMENTS.pack({"table": TABLE, "set": name, "elements": elements})
    return [create(Msg.NEWSETELEM, family, body, f"fill the set {name}")]


def interval_elements(bounds: Iterable[tuple[bytes, bytes]]) -> list[dict[str, Any]]:
    """Elements of an interval set; the second bound of each stands outside."""
    return [
        element
        for first, end in bounds
        for element in ({"key": {"value": first}}, {"key": {"value": end}, "flags": ELEMENT_INTERVAL_END})
    ]


def take_out(family: Family, name: str, elements: list[dict[str, Any]]) -> list[Message]:
    body = ELEMENTS.pack({"table": TABLE, "set": name, "elements": elements})
    return [message(Msg.DELSETELEM, family, body, f"take elements from the set {name}")]


def list_element(packed: bytes) -> bytes:
    return raw_attribute(0x8001, packed)


def packed_elements(kind: Msg, set_name: str, elements: Sequence[bytes], what: str) -> list[Message]:
    """Elements that are packed already, as many messages as attributes of 16-bit length need."""
    head = PACKED_ELEMENTS.pack({"table": TABLE, "set": set_name})
    flags = 0x400 if kind is Msg.NEWSETELEM else 0
    return [
        message(
            kind,
            Family.NETDEV,
            head + raw_attribute(0x8003, b"".join(elements[at : at + _ELEMENTS_PER_MESSAGE])),
            f"{what} in the set {set_name}",
            flags,
        )
        for at in range(0, len(elements), _ELEMENTS_PER_MESSAGE)
    ]
