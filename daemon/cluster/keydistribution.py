"""What one process knows and does about the cluster's keys: who lacks one, what to send him, what is taken from whom.

`rotation` decides what the ring should be, `handover` seals a key for one process, `wayback` answers those who come
with a key of yesterday; here the three meet.  Pure: times and entropy are arguments, payloads go in and come out, and
the ring changes only when its user has put it on the disk (`kept`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator

from daemon.cluster import greeting
from daemon.cluster.greeting import Judgement
from daemon.cluster.handover import NONCE_BYTES, Handover, Offer
from daemon.cluster.hearing import Probe
from daemon.cluster.keyring import KEY_BYTES, Keyring
from daemon.cluster.rotation import Rotation
from daemon.cluster.seal import Opened, Opener, Reason, Refused
from daemon.cluster.wayback import Reply, WayBack

INVITED_MAX = 64


class KeyDistribution:
    def __init__(
        self, ring: Keyring, cluster: str, node: str, salt: bytes, entropy: Callable[[int], bytes]
    ) -> None:
        """`salt` of this process's session; `entropy(n)` gives n random bytes."""
        self.rotation = Rotation(ring)
        self.way_back = WayBack(cluster, node, salt)
        self._entropy = entropy
        self._handover = Handover(node, entropy(KEY_BYTES))
        self._publics: dict[str, bytes] = {}
        """member → public half of what its process is handed keys by"""
        self._invited: OrderedDict[str, None] = OrderedDict()
        """who was let in by a token here, and was not on the roster since"""

    @property
    def public(self) -> bytes:
        """To be told in probes."""
        return self._handover.public

    def use(self, opener: Opener, now_s: int) -> None:
        """Have `opener` open with what is good now, and only lead back with what was good: that changes with time."""
        ring = self.rotation.ring
        opener.use(ring.opening(now_s))
        self.way_back.use(ring.ways_back(now_s))

    def kept(self, ring: Keyring) -> Iterator[str]:
        """`ring` is on the disk: it counts from now on.  What that means, in sentences for the log; marks only."""
        before = self.rotation.ring
        self.rotation.ring = ring
        yield from _changes(before, ring)

    # ---- to others

    def against_revoking(self, present: Collection[str]) -> str:
        """Why a key that revokes cannot be made now; empty: it can."""
        if self.rotation.ring.pending is not None:
            return "a key is being replaced at this moment: wait until 'vipcast key status' shows none that follows"
        older = sorted(name for name in present if not self._publics.get(name))
        if older:
            return (
                f"{', '.join(older)} has not told yet what a key could be sealed for: it is of an older"
                " version, and would be handed the key under the old one; upgrade it, or stop it and let it join again"
            )
        return ""

    def offers(self, present: Collection[str], now_s: int) -> Iterator[tuple[str, bytes, bytes]]:
        """(peer, payload, mark of the key to seal it with)"""
        for peer, offer in self.rotation.offers(present):
            payload = self._payload(peer, offer)
            if payload is not None:
                yield peer, payload, self.rotation.seal_for(peer, now_s)

    def _payload(self, peer: str, offer: Offer) -> bytes | None:
        """None: he cannot be given it safely."""
        public = self._publics.get(peer, b"")
        if not public:
            return None if offer.revokes else greeting.key(offer.key)  # an older version knows no other way
        try:
            return greeting.handover(self._handover.seal(offer, peer, public, self._entropy(NONCE_BYTES)))
        except ValueError:
            return None  # its public half is none (RFC 7748, 6.1)

    def invite(self, name: str) -> None:
        """It was given the key by a token: should that be replaced before it comes, it is given the next one."""
        self._invited[name] = None
        self._invited.move_to_end(name)
        if len(self._invited) > INVITED_MAX:
            self._invited.popitem(last=False)

    def is_invited(self, name: str) -> bool:
        return name in self._invited

    def welcome_back(
        self, datagram: bytes, members: Collection[str], is_present: Callable[[str], bool], now_ns: int
    ) -> Reply | Refused:
        """What to answer to a datagram whose key does not open (`wayback`)."""

        def may_return(name: str) -> bool:
            return (name in members or name in self._invited) and not is_present(name)

        def hand_over(probe: Probe, peer: str) -> bytes | None:
            self._publics[peer] = probe.public
            return self._payload(peer, Offer(self.rotation.ring.active.key, in_use=True))

        answer = self.way_back.receive(datagram, may_return, hand_over, now_ns)
        if isinstance(answer, Refused) and answer.reason not in (Reason.RETIRED_KEY, Reason.OTHER_ID):
            return Refused(Reason.WRONG_KEY, answer.claimed)
        return answer

    # ---- from others

    def probed(self, member: str, probe: Probe) -> None:
        self.rotation.heard(member, probe.marks)
        self._publics[member] = probe.public

    def taken(self, opened: Opened, judgement: Judgement, now_s: int) -> Keyring:
        """The ring after what one who may hand over keys has said."""
        offer = None
        if judgement.handover is not None:
            offer = self._handover.open(judgement.handover, opened.sender)
        elif judgement.key is not None:
            offer = Offer(judgement.key[:KEY_BYTES])
        return self.rotation.ring if offer is None else self.rotation.offered(offer, now_s, opened.key_mark)

    def members(self, names: Collection[str]) -> None:
        """These belong to the cluster: they need no invitation any more."""
        for name in self._invited.keys() & set(names):
            del self._invited[name]

    def forget(self, peer: str) -> None:
        self.rotation.forget(peer)
        self._publics.pop(peer, None)


def _changes(before: Keyring, after: Keyring) -> Iterator[str]:
    for mark in after.marks:
        if mark not in before.marks and mark != after.active.mark:
            yield f"{mark.hex()} is to follow {after.active.mark.hex()}, and is on this host's disk"
    if before.active.mark != after.active.mark:
        rest = "and is worth nothing after that" if after.active.revokes else "and is a way back for a day"
        yield (
            f"sealed with {after.active.mark.hex()} from now on; {before.active.mark.hex()} opens for some seconds"
            f" still, {rest}"
        )
    for mark in before.marks:
        if mark not in after.marks:
            yield f"{mark.hex()} is forgotten"
