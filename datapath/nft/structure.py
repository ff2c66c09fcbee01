"""What nobody else may change in our tables: remembered as it was read back after our last change.

An address that comes or goes costs the reading of its own chains.  Sets and counters are not looked at: while a rule
names one, the kernel lets nobody remove it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from datapath.engine import Address
from datapath.nft.names import Names
from datapath.nft.protocol import Family
from datapath.nft.readback import Reader
from datapath.nft.ruleset import chain_names, elements_naming


class Structure:
    def __init__(self) -> None:
        self._frame: frozenset[str] = frozenset()
        self._hooked: frozenset[tuple[Family, str]] = frozenset()
        """chains that packets come in by"""
        self._rules: dict[tuple[Family, str], bytes] = {}
        """chain → its rules, digested"""

    def forget(self) -> None:
        """It is not known what should be there."""
        self._frame, self._hooked, self._rules = frozenset(), frozenset(), {}

    def learn(self, reader: Reader) -> None:
        """All of it, anew."""
        self._frame, self._hooked = reader.frame(), reader.base_chains()
        self._rules = reader.rules()

    def follow(self, reader: Reader, left: Iterable[Address], came: Iterable[Address], *, hooks: bool) -> None:
        """What a change of ours has made of it; `hooks`: interfaces came or went."""
        forgotten = [chain for address in left for chain in _chains_of(address)]
        read = [chain for address in came for chain in _chains_of(address)]
        if hooks:
            before, self._hooked = self._hooked, reader.base_chains()
            self._frame = reader.frame()
            forgotten += before - self._hooked
            read += self._hooked - before
        for place in forgotten:
            self._rules.pop(place, None)
        for family, chain in read:
            self._rules |= reader.rules(family, chain)

    def stands(self, reader: Reader, addresses: Sequence[Address]) -> bool:
        """Whether it is all there, with these addresses in its maps."""
        return (
            reader.frame() == self._frame
            and reader.rules() == self._rules
            and all(
                reader.pairs(family, name) == wanted
                for (family, name), wanted in elements_naming(addresses).items()
            )
        )


def _chains_of(address: Address) -> list[tuple[Family, str]]:
    names = Names.of(address.ip)
    return [(Family.NETDEV, names.chain(part)) for part in chain_names(address)]
