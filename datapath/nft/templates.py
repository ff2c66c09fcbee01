"""The rules of hundreds of addresses, packed once: alike parameters make alike rules, in which only names differ.

A hundred messages of some thousand attributes say what an address needs, ten milliseconds of packing.  Names of equal
length leave every attribute's length as it is, so that the rules of one address become another's by exchanging the
name that all of its objects begin with (`Names.prefix`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from datapath.engine import Address, HashKind, HashOrder, PortRule
from datapath.netlink import Message
from datapath.nft.names import Names

TEMPLATES_MAX = 256
"""lengths of names times what differs in hash, seed, slots and ports; beyond that the oldest are packed again"""

Shape = tuple[int, int, HashKind, HashOrder, int, int, tuple[PortRule, ...]]


def shape_of(address: Address) -> Shape:
    """Equal for addresses whose rules differ in their names alone: of the parameters, all that rules are made of."""
    return (
        address.ip.version,
        len(Names.of(address.ip).prefix),
        address.hash_kind,
        address.hash_order,
        address.seed,
        address.slots,
        address.port_rules,
    )


@dataclass(frozen=True, slots=True)
class _Sample:
    prefix: str
    messages: Sequence[Message]


class Templates:
    """Of what `pack` says of an address, which may contain nothing but names that `shape_of` does not tell."""

    def __init__(self, pack: Callable[[Address], Sequence[Message]]) -> None:
        self._pack = pack
        self._samples: dict[Shape, _Sample] = {}

    def messages(self, address: Address) -> list[Message]:
        """The same as `pack` says."""
        shape = shape_of(address)
        sample = self._samples.get(shape)
        prefix = Names.of(address.ip).prefix
        if sample is None:
            if len(self._samples) >= TEMPLATES_MAX:
                del self._samples[next(iter(self._samples))]
            sample = self._samples[shape] = _Sample(prefix, self._pack(address))
        if sample.prefix == prefix:
            return list(sample.messages)
        there, here = sample.prefix.encode(), prefix.encode()
        return [
            Message(one.type, one.flags, one.body.replace(there, here), one.what.replace(sample.prefix, prefix))
            for one in sample.messages
        ]
