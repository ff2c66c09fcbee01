"""Who is there: by which address each is reached on each link, who hears no multicast, and who belongs to the cluster.

Whoever has the key may be heard, and may be a host that joins.  Yet there may be only so many *strangers*: the one
that was unheard for longest makes room.  The cluster's own nodes are never forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping

from daemon.cluster.link import Address
from daemon.cluster.seal import MINOR

STRANGERS_MAX = 128
"""who has the key and is not known: hosts that join, and to them all members (`core.membership`)"""


class Acquaintances:
    """Of the node `own`; `members` are the cluster's nodes, it among them."""

    def __init__(self, own: str, members: Collection[str]) -> None:
        self._own = own
        self._known = frozenset(members)
        self._strangers: OrderedDict[str, None] = OrderedDict()
        """who has the key and is no member (yet, or any more), the longest unheard first"""
        self._addresses: dict[str, dict[str, Address]] = {}
        """sender → link → where it was heard from last"""
        self._deaf: set[str] = set()
        """who hears no multicast; each has an entry in _addresses"""
        self._minors: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._addresses)

    def __contains__(self, name: str) -> bool:
        return name in self._addresses

    @property
    def others(self) -> frozenset[str]:
        """The cluster's nodes without this one."""
        return self._known - {self._own}

    @property
    def strangers(self) -> tuple[str, ...]:
        return tuple(self._strangers)

    @property
    def minors(self) -> Mapping[str, int]:
        """Sender → minor version of its protocol."""
        return dict(self._minors)

    def minor_of(self, name: str) -> int:
        """Of who was not heard yet: the newest, for an older one passes over what it does not know."""
        return self._minors.get(name, MINOR)

    def is_member(self, name: str) -> bool:
        return name in self._known

    def is_trusted_with_keys(self, sender: str) -> bool:
        """A member; to a node that joins, and knows nobody, whoever has the key that it has itself."""
        return sender in self._known or not self.others

    def belong(self, names: Collection[str]) -> None:
        """These are the cluster's nodes from now on."""
        self._known = frozenset(names)
        for name in self._addresses.keys() - self._known - self._strangers.keys():
            self._strangers[name] = None
        for name in self._known & self._strangers.keys():
            del self._strangers[name]

    def meet(self, sender: str) -> str | None:
        """Somebody with the key was heard.  Returns the stranger who has to be forgotten for him everywhere, if any."""
        self._addresses.setdefault(sender, {})
        if sender in self._known:
            return None
        self._strangers[sender] = None
        self._strangers.move_to_end(sender)
        if len(self._strangers) <= STRANGERS_MAX:
            return None
        oldest, _ = self._strangers.popitem(last=False)
        del self._addresses[oldest]
        self._deaf.discard(oldest)
        self._minors.pop(oldest, None)
        return oldest

    def locate(self, sender: str, link: str, address: Address, minor: int) -> None:
        """He was heard from this address, and that is proven to be no recording."""
        self._addresses[sender][link] = address
        self._minors[sender] = minor

    def note_hearing(self, sender: str, *, hears_multicast: bool) -> None:
        """What he says of himself; he was met before."""
        (self._deaf.discard if hears_multicast else self._deaf.add)(sender)

    def hears_multicast(self, name: str) -> bool:
        return name not in self._deaf

    def addresses_of(self, name: str | None) -> Mapping[str, Address]:
        """Link → where he was heard last; empty for None and for who was not heard."""
        return self._addresses.get(name, {}) if name is not None else {}

    def members_on(self, link: str) -> Iterator[tuple[str, Address]]:
        """The cluster's other nodes, as far as they were heard on a link, by their names' order."""
        for name in sorted(self.others & self._addresses.keys()):
            if (address := self._addresses[name].get(link)) is not None:
                yield name, address

    def name_at(self, host: str) -> str:
        """Which of the cluster's other nodes was heard from this IP address; "": none."""
        for name in sorted(self.others & self._addresses.keys()):
            if any(address[0] == host for address in self._addresses[name].values()):
                return name
        return ""

    def everybody_on(self, link: str) -> Iterator[Address]:
        """Where to send, besides the group, what must reach all although nobody may hear the group."""
        return (addresses[link] for addresses in self._addresses.values() if link in addresses)

    def deaf_on(self, link: str) -> Iterator[Address]:
        """Where to send, besides the group, what is for all."""
        for name in self._deaf:
            if (address := self._addresses[name].get(link)) is not None:
                yield address
