"""Keeps the table `vipcast-out` (rules.py) as it is wanted, beside whichever engine is at work.

A kernel without nf_tables, or without its hook on the way out, does not keep what it lacks: that is said once, and
everything else goes on.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

from datapath.engine import Address, Change, DatapathError
from datapath.netlink import Fields, KernelError, Message, Socket
from datapath.nft.protocol import (
    CHAIN,
    ELEMENTS,
    GENERATION,
    NETLINK_NETFILTER,
    RULE,
    Msg,
    batch,
    message,
    payload_of,
)
from datapath.wayout import rules
from datapath.wayout.naming import Contents, Element, Shared, contents, exchange, unjudged
from datapath.wayout.rules import Family

log = logging.getLogger("vipcast.datapath")

_WHAT = f"read the table {rules.NAME} back"
_CHOSEN_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_SEEN_AT_ONCE_MAX = 64
"""of more addresses than this, the sets are read back only every LOOK_EVERY times"""
LOOK_EVERY = 20


class WayOut:
    """One for each daemon and network namespace."""

    def __init__(self, judges_all: bool) -> None:
        """`judges_all`: the engine looks at frames to the interface's own MAC as well."""
        self._judges_all = judges_all
        self._socket: Socket | None = None
        self._shared: tuple[Shared, ...] = ()
        """what the table names by our doing; of two MACs of an address the later one is told"""
        self._chosen = (0, 0)
        self._named: Contents = {}
        """what the sets hold by our doing"""
        self._shape: frozenset[bytes] = frozenset()
        """chains and rules as they were read back after our last change"""
        self._generation = -1
        self.transactions = 0
        """how often we have changed rules, each of which raises the kernel's generation by one"""
        self._looks = 0
        self._has_egress = True
        self._lacks = ""
        """why there is no table; "": there may be one"""

    def start(self) -> None:
        if self._socket is None and not self._lacks:
            try:
                self._socket = Socket(NETLINK_NETFILTER)
            except (OSError, DatapathError) as error:
                self._give_up(str(error))

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._shared, self._named, self._shape = (), {}, frozenset()

    def cover(self, addresses: Iterable[Address]) -> list[Change]:
        """These as well, from now on, and everything as we left it.  DatapathError where the kernel refuses."""
        coming = dict.fromkeys(Shared.of(address) for address in addresses)
        return self._make((*(shared for shared in self._shared if shared not in coming), *coming))

    def limit(self, addresses: Iterable[Address]) -> list[Change]:
        """Exactly these; without any nothing of the table is left."""
        return self._make(tuple(dict.fromkeys(Shared.of(address) for address in addresses)))

    def _make(self, wanted: tuple[Shared, ...]) -> list[Change]:
        if self._socket is None:
            return []
        if not wanted:
            return self._remove()
        chosen = _chosen_ports()
        mended = bool(self._shape) and not self._is_as_we_left_it()
        is_known = set(wanted) == set(self._shared) and _told(wanted) == _told(self._shared)
        if is_known and chosen == self._chosen and self._shape and not mended:
            return []
        fresh = mended or not self._shape or chosen != self._chosen
        before = self._read_generation() - self.transactions
        try:
            self._transact(self._messages(wanted, chosen, fresh=fresh))
        except KernelError as refusal:
            if fresh and refusal.errno in (errno.EOPNOTSUPP, errno.ENOENT, errno.EPROTONOSUPPORT):
                return self._make_do(wanted, refusal)
            if fresh:
                raise
            fresh = True  # somebody has meddled with it meanwhile
            before = self._read_generation() - self.transactions
            self._transact(self._messages(wanted, chosen, fresh=True))
        hooks_alike = _interfaces(wanted) == _interfaces(self._shared) and not fresh
        self._shared, self._named, self._chosen = wanted, self._contents(wanted), chosen
        self._look(before + self.transactions, anew=not hooks_alike)
        if not mended:
            return []
        detail = f"the table {rules.NAME} had been changed by somebody else, and is ours again"
        return [Change(rules.NAME, "repaired", detail=detail)]

    def _make_do(self, wanted: tuple[Shared, ...], refusal: KernelError) -> list[Change]:
        if self._has_egress:
            self._has_egress = False
            log.warning(
                "ARP and Neighbour Discovery by packet sockets of other programs are not mended on the way out: %s",
                refusal,
            )
            return self._make(wanted)
        self._give_up(str(refusal))
        return []

    def _give_up(self, reason: str) -> None:
        self._lacks = reason
        log.warning("connections of programs from a shared address are not refused on this host: %s", reason)
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _messages(self, wanted: tuple[Shared, ...], chosen: tuple[int, int], *, fresh: bool) -> list[Message]:
        """One transaction from what there is; `fresh`: from nothing, so that who was heard is forgotten."""
        messages = [*rules.remove(), *rules.build(chosen)] if fresh else []
        if fresh and not self._judges_all:
            messages += rules.guard()
        hooked = frozenset() if fresh else _interfaces(self._shared)
        needed = _interfaces(wanted)
        if self._has_egress:
            for interface in sorted(needed - hooked):
                messages += rules.hook_interface(interface)
            for interface in sorted(hooked - needed):
                messages += rules.unhook(rules.chain_of(interface))
        return [*messages, *exchange({} if fresh else self._named, self._contents(wanted))]

    def _remove(self) -> list[Change]:
        if self._shape or self._has_table():
            self._transact(rules.remove())
        self._shared, self._named, self._shape = (), {}, frozenset()
        return []

    def _contents(self, wanted: tuple[Shared, ...]) -> Contents:
        return contents(wanted) if self._judges_all else contents(wanted) | unjudged(wanted)

    # what is there

    def _is_as_we_left_it(self) -> bool:
        self._looks += 1
        generation = self._read_generation()
        if generation == self._generation:
            return True
        if self._read_shape() != self._shape or not self._names_the_same():
            return False
        self._generation = generation
        return True

    def _look(self, generation: int, *, anew: bool) -> None:
        """Remember what is there by our doing, which made this generation; `anew`: rules are others than before.

        Where somebody has changed something in between, what was read is not ours alone: it is made anew next time.
        """
        self._looks = 0
        if anew or generation != self._generation + 1:
            self._shape = self._read_shape()
        self._generation = generation
        if self._read_generation() != generation:
            self._shape = frozenset()

    def _read_generation(self) -> int:
        body = self._open.get(message(Msg.GETGEN, Family.NETDEV, b"", "tell the generation of its rules"))
        return int(GENERATION.unpack(payload_of(body))["id"])

    def _read_shape(self) -> frozenset[bytes]:
        """The chains that packets come by, and all rules, as the kernel tells them: a rule says what it stands behind.

        Other chains are not listed: the kernel would list those of all tables, and a rule's chain cannot be removed.
        """
        parts: set[bytes] = set()
        for family in Family:
            of_table = RULE.pack({"table": rules.NAME})
            parts.update(
                bytes((family,)) + payload_of(body) for body in self._bodies(Msg.GETRULE, family, of_table)
            )
            for chain in self._hooked_chains(family):
                request = message(Msg.GETCHAIN, family, CHAIN.pack({"table": rules.NAME, "name": chain}), _WHAT)
                try:
                    hooked = CHAIN.unpack(payload_of(self._open.get(request)))
                except KernelError as refusal:
                    if refusal.errno != errno.ENOENT:
                        raise
                else:
                    parts.add(f"{family} chain {sorted(hooked.items())}".encode())
        return frozenset(parts)

    def _hooked_chains(self, family: Family) -> list[str]:
        if family is not Family.NETDEV:
            return ["in", "out"]
        return [rules.chain_of(interface) for interface in sorted(_interfaces(self._shared))]

    def _names_the_same(self) -> bool:
        """Whether the sets hold what we put there; of many addresses, every few times alone."""
        if len(self._shared) > _SEEN_AT_ONCE_MAX and self._looks % LOOK_EVERY:
            return True
        return all(self._read_elements(*place) == elements for place, elements in self._named.items())

    def _read_elements(self, family: Family, of_set: str) -> frozenset[Element]:
        answers = self._dump(Msg.GETSETELEM, family, ELEMENTS, {"table": rules.NAME, "set": of_set})
        return frozenset(
            (element["key"]["value"], element.get("data", {}).get("value", b""))
            for answer in answers
            for element in answer.get("elements", [])
        )

    def _has_table(self) -> bool:
        return any(
            chain["table"] == rules.NAME
            for family in Family
            for chain in self._dump(Msg.GETCHAIN, family, CHAIN, {})
        )

    def _dump(self, kind: Msg, family: Family, fields: Fields, wanted: dict[str, str]) -> list[dict[str, Any]]:
        return [fields.unpack(payload_of(body)) for body in self._bodies(kind, family, fields.pack(wanted))]

    def _bodies(self, kind: Msg, family: Family, wanted: bytes) -> list[bytes]:
        try:
            return self._open.dump(message(kind, family, wanted, _WHAT))
        except KernelError as refusal:
            if refusal.errno == errno.ENOENT:
                return []
            raise

    def _transact(self, messages: Sequence[Message]) -> None:
        if messages:
            self._open.transact(batch(messages))
            self.transactions += 1

    @property
    def _open(self) -> Socket:
        if self._socket is None:
            raise DatapathError("the way out was not started")
        return self._socket


def _told(shared: Iterable[Shared]) -> dict[IPv4Address | IPv6Address, str]:
    return {one.ip: one.mac for one in shared}


def _interfaces(shared: Iterable[Shared]) -> frozenset[str]:
    return frozenset(one.interface for one in shared)


def _chosen_ports() -> tuple[int, int]:
    """The ports that the kernel takes for sockets whose programs name none (net.ipv4.ip_local_port_range)."""
    try:
        first, last = _CHOSEN_PORTS.read_text().split()
        return int(first), int(last)
    except (OSError, ValueError):
        return 32768, 60999
