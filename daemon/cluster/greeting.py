"""Proof that a peer's datagrams were made since this process started.

A replay window remembers nothing across a restart: to a process that has just started, yesterday's recorded
datagrams are new.  So nothing of a session is delivered until the peer has *greeted* us: sealed, in that session,
the salt of our own.  The salt is random and younger than this process, so no recording can contain it.
Everything up to the greeting's counter is refused afterwards, which closes the window for recordings of the same
session.

    kind DATA:     1 ‖ piece (daemon.cluster.chunks)
    kind GREETING: 2 ‖ wanted (0 or 1) ‖ salt of the session that is greeted
    kind UNICAST:  3 ‖ piece, of a sender that hears no multicast: what goes to all has to be sent to it, too
    kind PROBE:    4 ‖ what a link and a key ring look like (daemon.cluster.hearing)
    kind KEY:      5 ‖ a key that is to follow, for a version before 2.2 (daemon.cluster.rotation)
    kind WANT:     6 ‖ pieces of a message that are to be sent again (daemon.cluster.repair)
    kind HANDOVER: 7 ‖ a key, sealed once more for the receiving process alone (daemon.cluster.handover)
    kind ADDRESSED: 8 ‖ length of a name (1) ‖ the name of the one node that it is for ‖ a payload of kind 1 or 3

What is for one node says so itself: where an address is not known on a link it goes by multicast, and anybody on the
wire can lead a datagram elsewhere.  A vote that is counted by two candidates makes two leaders.

Other kinds are a newer version's: counted, and passed over.

`wanted` asks for a greeting in return.  Both sides learn of each other within one round trip of the first datagram.
"""

from __future__ import annotations

from dataclasses import dataclass

from daemon.cluster.seal import SALT_BYTES, Opened

ANSWER_INTERVAL_NS = 5_000_000
"""between two greetings to one peer: repeated while unanswered, never a storm"""

_DATA = 1
_GREETING = 2
_UNICAST = 3
_PROBE = 4
_KEY = 5
_WANT = 6
_HANDOVER = 7
_ADDRESSED = 8

ADDRESSED_SINCE = 3
"""minor version of the protocol that understands it"""


def data(piece: bytes) -> bytes:
    """The payload that carries a piece of a message."""
    return bytes([_DATA]) + piece


def unicast_data(piece: bytes) -> bytes:
    """The same, from a sender that hears no multicast."""
    return bytes([_UNICAST]) + piece


def addressed(to: str, payload: bytes) -> bytes:
    """The same for one node alone; `payload` as `data` or `unicast_data` make it."""
    name = to.encode()
    return bytes([_ADDRESSED, len(name)]) + name + payload


def probe(content: bytes) -> bytes:
    return bytes([_PROBE]) + content


def key(content: bytes) -> bytes:
    return bytes([_KEY]) + content


def handover(content: bytes) -> bytes:
    return bytes([_HANDOVER]) + content


def want(content: bytes) -> bytes:
    return bytes([_WANT]) + content


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to be done with a datagram that was opened."""

    piece: bytes | None = None
    """to be delivered"""
    hears_multicast: bool = True
    """the sender, if `piece` is there"""
    probe: bytes | None = None
    """content of a probe"""
    key: bytes | None = None
    """content of a key message"""
    handover: bytes | None = None
    """content of a handover"""
    want: bytes | None = None
    """content of a want"""
    answer: bytes | None = None
    """payload to send to the sender"""
    proven: bool = False
    """by this very datagram: refuse everything up to its counter"""
    reason: str = ""
    """why nothing is delivered, if something should have been: `unproven`, `malformed`, `unknown-kind`; or if it is for
    somebody else: `not-for-us`"""


class _Peer:
    __slots__ = ("answered_ns", "proven", "salt")

    def __init__(self, salt: bytes) -> None:
        self.salt = salt
        self.proven = False
        self.answered_ns: int | None = None


class Greetings:
    """Who has greeted this process's session, which is named by `own_salt`; `own` is this node's name."""

    def __init__(self, own: str, own_salt: bytes) -> None:
        self._own = own.encode()
        self._own_salt = own_salt
        self._peers: dict[str, _Peer] = {}

    def is_proven(self, member: str) -> bool:
        peer = self._peers.get(member)
        return peer is not None and peer.proven

    def forget(self, sender: str) -> None:
        self._peers.pop(sender, None)

    def proven_salts(self) -> list[bytes]:
        """Of the sessions that have greeted this process."""
        return [peer.salt for peer in self._peers.values() if peer.proven]

    def judge(self, opened: Opened, now_ns: int) -> Judgement:
        """Pure but for what it remembers: one small record a member."""
        peer = self._peers.get(opened.sender)
        if peer is None or peer.salt != opened.salt:
            # A new process of that member: what the old one has proven is worth nothing.
            peer = self._peers[opened.sender] = _Peer(opened.salt)
        payload = opened.payload
        kind = payload[0] if payload else 0
        if kind in (_DATA, _UNICAST, _PROBE, _KEY, _WANT, _HANDOVER, _ADDRESSED):
            if not peer.proven:
                return Judgement(answer=self._answer(peer, now_ns), reason="unproven")
            content = payload[1:]
            if kind == _ADDRESSED:
                return self._judge_addressed(content)
            if kind == _PROBE:
                return Judgement(probe=content)
            if kind == _KEY:
                return Judgement(key=content)
            if kind == _WANT:
                return Judgement(want=content)
            if kind == _HANDOVER:
                return Judgement(handover=content)
            return Judgement(piece=content, hears_multicast=kind == _DATA)
        if kind == _GREETING and len(payload) == 2 + SALT_BYTES:
            now_proven = not peer.proven and payload[2:] == self._own_salt
            peer.proven = peer.proven or now_proven
            wanted = payload[1] == 1 or not peer.proven
            return Judgement(answer=self._answer(peer, now_ns) if wanted else None, proven=now_proven)
        return Judgement(reason="unknown-kind" if kind > _ADDRESSED else "malformed")

    def _judge_addressed(self, content: bytes) -> Judgement:
        end = 1 + content[0] if content else 0
        kind = content[end] if len(content) > end else 0
        if kind not in (_DATA, _UNICAST):
            return Judgement(reason="malformed")
        if content[1:end] != self._own:
            return Judgement(reason="not-for-us")
        return Judgement(piece=content[end + 1 :], hears_multicast=kind == _DATA)

    def _answer(self, peer: _Peer, now_ns: int) -> bytes | None:
        if peer.answered_ns is not None and now_ns - peer.answered_ns < ANSWER_INTERVAL_NS:
            return None
        peer.answered_ns = now_ns
        return bytes([_GREETING, 0 if peer.proven else 1]) + peer.salt
