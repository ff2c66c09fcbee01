"""The way back: who was away while the key was replaced comes with the old one, and is given the new one.

A retired key is retired for a reason, so what comes under it is not believed: no heartbeat, no vote, no message.  Its
datagrams are opened apart from all others, with sessions of their own, so that the claim of a name under an old key
cannot touch what the true bearer of that name says under the good one.  One thing is done for him who

* has a session that greets this very process (`greeting`): he is there now, and no recording, and
* bears a name that belongs to the cluster, or was let in by a token here, and that nobody bears under the good key:

he is handed the key that is in use, for his process alone (`handover`).  He seals with it then, and begins as anybody.

What an old key is still worth to a thief is so: while a member is away, for RETURN_S at most, he can take its name on
this segment and be handed the key.  A rotation that revokes takes that away, too, with the way back of honest nodes.

Pure: salt and time are arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from daemon.cluster.greeting import Greetings
from daemon.cluster.hearing import Probe
from daemon.cluster.identity import NAMELESS
from daemon.cluster.keyring import Keyring, RingKey
from daemon.cluster.seal import Opened, Opener, Reason, Refused

OFFER_INTERVAL_NS = 500_000_000
"""between two to one peer"""


@dataclass(frozen=True, slots=True)
class Reply:
    """To be sealed with the key `key_mark` and sent to where the datagram came from."""

    payloads: tuple[bytes, ...]
    key_mark: bytes
    handed_to: str = ""
    """the key in use is among them: worth a line in the log"""


class WayBack:
    def __init__(self, cluster: str, node: str, salt: bytes) -> None:
        """`salt` of this process's own session."""
        self._cluster = cluster
        self._own = (node, salt)
        self._identity = NAMELESS
        self._keys: tuple[RingKey, ...] = ()
        self._opener: Opener | None = None
        """None: there is no key that is a way back"""
        self._greetings = Greetings(node, salt)
        self._offered_ns: dict[str, int] = {}
        """only of those who may return, so bounded by the roster and the tokens"""

    def use(self, keys: tuple[RingKey, ...]) -> None:
        """These keys lead back from now on, and no other."""
        if keys == self._keys:
            return
        self._keys = keys
        self._offered_ns.clear()
        self._greetings = Greetings(*self._own)
        self._opener = Opener(Keyring(keys), self._cluster, own=self._own) if keys else None
        self.identify(self._identity)

    def identify(self, identity: int) -> None:
        """Nobody of another cluster comes back to this one (`identity.mark_of`)."""
        self._identity = identity
        if self._opener is not None and identity:
            self._opener.identify(identity)

    def receive(
        self,
        datagram: bytes,
        may_return: Callable[[str], bool],
        hand_over: Callable[[Probe, str], bytes | None],
        now_ns: int,
    ) -> Reply | Refused:
        """What to answer to a datagram whose key does not open here any more; or why it is refused.

        `may_return(name)`; `hand_over(probe, name)` makes the payload that hands over the key in use, for the process
        that has sent this probe.
        """
        if self._opener is None:
            return Refused(Reason.WRONG_KEY)
        opened = self._opener.open(datagram)
        if isinstance(opened, Refused):
            return opened
        if not may_return(opened.sender):
            self._opener.forget(opened.sender)
            self._greetings.forget(opened.sender)
            self._offered_ns.pop(opened.sender, None)
            return Refused(Reason.RETIRED_KEY, opened.sender)
        judgement = self._greetings.judge(opened, now_ns)
        if judgement.proven:
            self._opener.refuse_until(opened.sender, opened.counter)
        payloads = [] if judgement.answer is None else [judgement.answer]
        key: bytes | None = None
        if judgement.probe is not None and self._is_due(opened, now_ns):
            probe = Probe.decode(judgement.probe)
            key = None if probe is None else hand_over(probe, opened.sender)
        if key is not None:
            self._offered_ns[opened.sender] = now_ns
            payloads.append(key)
        return Reply(tuple(payloads), opened.key_mark, opened.sender if key is not None else "")

    def _is_due(self, opened: Opened, now_ns: int) -> bool:
        last_ns = self._offered_ns.get(opened.sender)
        return last_ns is None or now_ns - last_ns >= OFFER_INTERVAL_NS
