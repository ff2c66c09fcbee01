"""Messages between members, over every link: encoded, cut into pieces, sealed, and back.

Each piece is sealed once and sent on all links; the receiver's replay window keeps the first copy.  What comes in
and cannot be used is counted by reason and logged at most once a minute per reason and source; nothing that
arrives can raise.  Messages are datagrams to their users: any may be lost, late or out of order.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from daemon.cluster import greeting, repair
from daemon.cluster.chunks import QUIET_NS, Joiner, Splitter
from daemon.cluster.enrolment import exchange
from daemon.cluster.greeting import Greetings
from daemon.cluster.hearing import PROBE_INTERVAL_NS, Hearing, LinkPeer, Probe
from daemon.cluster.keyring import Keyring, mark_of
from daemon.cluster.link import Address, Link
from daemon.cluster.messages import Heartbeat, Message, Propose, UnknownMessageError, decode, encode
from daemon.cluster.refusals import Refusals
from daemon.cluster.rotation import Rotation
from daemon.cluster.seal import SALT_BYTES, Algorithm, Opened, Opener, Reason, Refused, Sealer
from daemon.keys import KeyFileError
from daemon.settings import Link as LinkSettings
from daemon.settings import Settings

log = logging.getLogger(__name__)

STRANGERS_MAX = 128
"""who has the key and is not known: hosts that join, and to them all members (`core.membership`)"""
_ALGORITHMS = {"aes-256-gcm": Algorithm.AES_256_GCM, "chacha20-poly1305": Algorithm.CHACHA20_POLY1305}


_MEANING: dict[str, str] = {
    Reason.MALFORMED: "not from vipcast; see what else uses this group and port",
    Reason.VERSION: "from another version of vipcast; run the same on every node",
    Reason.OTHER_CLUSTER: "of a cluster with another name; compare cluster.name, or give each its own group or port",
    Reason.WRONG_KEY: "sealed with a key that this node does not have; compare 'vipcast key status' on both",
    Reason.FORGED: "it names our key and was not made with it; somebody forges, or a cable damages",
    Reason.NAMESAKE: "another host bears this node's name; give each its own node.name",
    Reason.OLD_INCARNATION: "from a process that a newer one has replaced; restart that node if it runs",
    Reason.TWIN: "two processes of one node at the same time; is it a copy of a virtual machine?",
    Reason.REPLAYED: "seen before",
    Reason.DAMAGED: "changed on its way",
}


KEYS_SETTLE_NS = 10_000_000_000
"""after the start: until then nobody can say who is there"""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Since the transport was opened."""

    links: Mapping[str, Mapping[str, int]]
    """interface → sent, received, unsent, send-buffer-full, receive-errors"""
    troubles: Mapping[str, str]
    """interface → why it cannot be used now, only for those that cannot"""
    refusals: Mapping[str, int]
    """reason → datagrams"""
    messages_received: int
    messages_sent: int
    incomplete: int
    """messages of several datagrams that were given up because some did not come"""
    peers: Mapping[str, tuple[LinkPeer, ...]] = field(default_factory=dict)
    """interface → how each of the cluster's other nodes is heard there"""
    minors: Mapping[str, int] = field(default_factory=dict)
    """sender → minor version of its protocol"""


class Transport:
    """Use `Transport.open`.  All methods run on the event loop; `send` never blocks and never waits."""

    def __init__(
        self,
        *,
        cluster: str,
        node: str,
        members: Collection[str],
        key: bytes | Keyring,
        incarnation: int,
        salt: bytes,
        algorithm: Algorithm,
        on_message: Callable[[str, Message], None],
        clock: Callable[[], int],
        heartbeat_ns: int = 50_000_000,
    ) -> None:
        self._name = node
        ring = key if isinstance(key, Keyring) else Keyring.of(key)
        self._sealer = Sealer(ring, cluster, node, incarnation, salt=salt, algorithm=algorithm)
        self._opener = Opener(ring, cluster, own=(node, salt))
        self.rotation = Rotation(ring)
        self._hearing = Hearing(heartbeat_ns)
        self._minors: dict[str, int] = {}
        self._look_s = 2 * heartbeat_ns / 1e9
        self._look: asyncio.TimerHandle | None = None
        self._opened_ns = clock()
        self._probed_ns = self._opened_ns
        self._keeping: asyncio.Task[None] | None = None
        self.keep_keys: Callable[[Keyring], None] = lambda ring: None
        """writes a ring to the disk, in a thread; raises OSError or KeyFileError"""
        self._greetings = Greetings(salt)
        self._splitter = Splitter()
        self._sent = repair.Sent()
        self._asking: asyncio.TimerHandle | None = None
        """runs while a message is unfinished"""
        self._joiners: dict[str, tuple[int, Joiner]] = {}
        self._known = frozenset(members)
        self._strangers: OrderedDict[str, None] = OrderedDict()
        """who has the key and is no member (yet, or any more), the longest unheard first"""
        self._addresses: dict[str, dict[str, Address]] = {}
        """sender → interface → where it was heard from last"""
        self._deaf: set[str] = set()
        """who hears no multicast"""
        self._wrap = greeting.data
        self._links: list[Link] = []
        self._refusals = Refusals()
        self._counts: Counter[str] = Counter()
        self._on_message = on_message
        self._clock = clock
        self.on_enrolment: Callable[[bytes, str], bytes | None] | None = None
        """called with datagrams of hosts that have only a token, and where from; its answer is sent back there"""

    @classmethod
    async def open(
        cls,
        settings: Settings,
        key: bytes | Keyring,
        incarnation: int,
        members: Collection[str],
        on_message: Callable[[str, Message], None],
        clock: Callable[[], int],
    ) -> Transport:
        """Open every link.  Raises OSError if a port is taken or privileges are missing.

        `on_message(sender, message)` is called on the event loop; `clock` gives nanoseconds of CLOCK_BOOTTIME.
        """
        transport = cls(
            cluster=settings.cluster.name,
            node=settings.node.name,
            members=members,
            key=key,
            incarnation=incarnation,
            salt=os.urandom(SALT_BYTES),
            algorithm=_ALGORITHMS[settings.cluster.cipher],
            on_message=on_message,
            clock=clock,
            heartbeat_ns=settings.timers.heartbeat_ms * 1_000_000,
        )
        try:
            for link in settings.links:
                await transport._add_link(link)
        except OSError:
            transport.close()
            raise
        transport._look_around()
        return transport

    def send(self, to: str | None, message: Message) -> None:
        """Send to one node (None: to all) on every link; who was not heard yet is reached like all.

        Raises OversizedError.
        """
        addresses = self._addresses.get(to, {}) if to is not None else {}
        pieces = self._splitter.split(encode(message))
        self._sent.keep(pieces, self._clock())
        for piece in pieces:
            self._transmit(self._wrap(piece), addresses)
        self._counts["messages-sent"] += 1

    def known(self, names: Collection[str]) -> None:
        """These are the cluster's nodes from now on: they are never forgotten to make room for strangers."""
        self._known = frozenset(names)
        for name in self._addresses.keys() - self._known - self._strangers.keys():
            self._strangers[name] = None
        for name in self._known & self._strangers.keys():
            del self._strangers[name]

    def addresses_on(self, interface: str) -> list[str]:
        """Of the cluster's other nodes, as far as they were heard there."""
        found = (self._addresses[name].get(interface) for name in sorted(self._known & self._addresses.keys()))
        return [address[0] for address in found if address is not None]

    def expect(self, member: str, incarnation: int) -> None:
        """Refuse datagrams of earlier processes of `member` (its admission says which is the newest)."""
        self._opener.expect(member, incarnation)

    def statistics(self) -> Statistics:
        return Statistics(
            links={link.interface: dict(link.counts) for link in self._links},
            troubles={link.interface: link.trouble for link in self._links if link.trouble},
            refusals=dict(self._refusals.counts),
            peers={
                link.interface: self._hearing.peers(link.interface, self.others, self._clock())
                for link in self._links
            },
            minors=dict(self._minors),
            messages_received=self._counts["messages-received"],
            messages_sent=self._counts["messages-sent"],
            incomplete=self._counts["incomplete"] + sum(joiner.dropped for _, joiner in self._joiners.values()),
        )

    def close(self) -> None:
        """Stop at once: nothing is delivered or sent any more; ports are free after the loop's next turn."""
        if self._look is not None:
            self._look.cancel()
        if self._asking is not None:
            self._asking.cancel()
        for link in self._links:
            link.close()
        self._links.clear()

    # ---- links and keys, looked after now and then

    async def rotate_key(self, key: bytes) -> str:
        """Begin to replace the active key by `key`, or go on with the replacement that is on its way.

        Returns once the new key is on this host's disk: "", or why it is not.
        """
        self._adopt(self.rotation.begun(key))
        if self._keeping is not None:
            await asyncio.wait([self._keeping])
        is_there = self.rotation.ring.pending is not None or self.rotation.ring.find(mark_of(key)) is not None
        return "" if is_there else "the new key could not be written; the daemon's log says why"

    def present(self) -> frozenset[str]:
        """The cluster's other nodes that are heard over some link."""
        now_ns = self._clock()
        return frozenset(name for name in self.others if self._hearing.is_present(name, now_ns))

    @property
    def others(self) -> frozenset[str]:
        return self._known - {self._name}

    def _look_around(self) -> None:
        self._look = asyncio.get_running_loop().call_later(self._look_s, self._look_around)
        now_ns, others = self._clock(), self.others
        for is_bad, sentence in self._hearing.news(others, now_ns):
            log.log(logging.WARNING if is_bad else logging.INFO, "%s", sentence)
        if now_ns - self._probed_ns < PROBE_INTERVAL_NS:
            return
        self._probed_ns = now_ns
        deaf = all(not link.group for link in self._links) or self._hearing.is_deaf(others, now_ns)
        self._wrap = greeting.unicast_data if deaf else greeting.data
        self._probe(deaf)
        for peer, key in self.rotation.offers(others):
            payload = greeting.key(key)
            self._transmit(payload, self._addresses.get(peer, {}), self.rotation.seal_for(peer))
        if now_ns - self._opened_ns >= KEYS_SETTLE_NS:
            self._adopt(self.rotation.due(others, self.present(), int(time.time())))

    def _probe(self, deaf: bool) -> None:
        """One to each group, one to each address; each in a seal of its own, so that none passes for a copy."""
        marks = self.rotation.ring.marks
        for link in self._links:
            if link.group:
                payload = Probe(to_group=True, has_group=True, deaf=deaf, marks=marks).encode()
                link.send(self._sealer.seal(greeting.probe(payload)), (link.group, link.port))
            payload = Probe(to_group=False, has_group=bool(link.group), deaf=deaf, marks=marks).encode()
            named = dict.fromkeys(link.peers, b"")
            for name in self.others:
                if (address := self._addresses.get(name, {}).get(link.interface)) is not None:
                    named[address] = self.rotation.seal_for(name)
            for address, mark in named.items():
                link.send(self._sealer.seal(greeting.probe(payload), mark), address)

    def _adopt(self, ring: Keyring) -> None:
        """Use a ring once it is on the disk.  One at a time: what is due then is due at the next look again."""
        if ring == self.rotation.ring or (self._keeping is not None and not self._keeping.done()):
            return
        self._keeping = asyncio.get_running_loop().create_task(self._keep(ring), name="keep keys")

    async def _keep(self, ring: Keyring) -> None:
        try:
            await asyncio.to_thread(self.keep_keys, ring)
        except (OSError, KeyFileError) as error:
            line = self._refusals.note("key-not-kept", "this host", self._clock(), str(error))
            if line is not None:
                log.error("the cluster's keys cannot be written, so they stay as they are: %s", error)
            return
        before = self.rotation.ring
        self.rotation.ring = ring
        self._opener.use(ring)
        self._sealer.use(ring)
        for line in _changes(before, ring):
            log.info("keys: %s", line)

    def _probed(self, interface: str, sender: str, content: bytes, now_ns: int) -> None:
        probe = Probe.decode(content)
        if probe is None:
            self._refusals.counts["malformed"] += 1
            return
        self._hearing.probed(interface, sender, probe, now_ns)
        (self._deaf.add if probe.deaf else self._deaf.discard)(sender)
        if sender in self._known:
            self.rotation.heard(sender, probe.marks)

    # ---- datagrams

    async def _add_link(self, settings: LinkSettings) -> None:
        interface = settings.interface

        def received(datagram: bytes, source: Address) -> None:
            if exchange.is_ours(datagram):
                answer = self.on_enrolment(datagram, source[0]) if self.on_enrolment is not None else None
                if answer is not None:
                    link.send(answer, source)
                return
            self._receive(interface, datagram, source)

        link = Link(interface, settings.group, settings.port, received, settings.peers)
        if not settings.group:
            self._wrap = greeting.unicast_data
        self._links.append(link)
        self._hearing.add_link(interface)
        await link.open()

    def _transmit(self, payload: bytes, addresses: Mapping[str, Address], key_mark: bytes = b"") -> None:
        datagram = self._sealer.seal(payload, key_mark)
        for link in self._links:
            if (address := addresses.get(link.interface)) is not None:
                link.send(datagram, address)
            else:
                link.send_to_all(datagram, self._deaf_on(link.interface))

    def _deaf_on(self, interface: str) -> Iterator[Address]:
        for name in self._deaf:
            if (address := self._addresses[name].get(interface)) is not None:
                yield address

    def _note_sender(self, sender: str) -> None:
        """Remember who is there; strangers have the key, and yet there may be only so many of them."""
        self._addresses.setdefault(sender, {})
        if sender in self._known:
            return
        self._strangers[sender] = None
        self._strangers.move_to_end(sender)
        if len(self._strangers) > STRANGERS_MAX:
            oldest, _ = self._strangers.popitem(last=False)
            self._opener.forget(oldest)
            self._greetings.forget(oldest)
            self._joiners.pop(oldest, None)
            self._deaf.discard(oldest)
            self._hearing.forget(oldest)
            self.rotation.forget(oldest)
            self._minors.pop(oldest, None)
            del self._addresses[oldest]

    def _receive(self, interface: str, datagram: bytes, source: Address) -> None:
        opened = self._opener.open(datagram)
        if isinstance(opened, Refused):
            if opened.is_recent and opened.claimed in self._addresses:
                self._hearing.note(interface, opened.claimed, self._clock())
            self._refuse(opened.reason, source, opened.claimed)
            return
        now_ns = self._clock()
        self._note_sender(opened.sender)
        judgement = self._greetings.judge(opened, now_ns)
        if judgement.proven:
            self._opener.refuse_until(opened.sender, opened.counter)
            for link in self._links:
                link.trust(self._greetings.proven_salts())
        if judgement.answer is not None:
            # in the key that he has for sure
            self._transmit(judgement.answer, {interface: source}, opened.key_mark)
        if judgement.reason:
            self._refuse(judgement.reason, source, opened.sender)
        if self._greetings.is_proven(opened.sender):
            self._addresses[opened.sender][interface] = source
            self._hearing.note(interface, opened.sender, now_ns)
            self._minors[opened.sender] = opened.minor
            if opened.sender in self._known:
                self._adopt(self.rotation.sealed_with(opened.key_mark, int(time.time())))
        if judgement.probe is not None:
            self._probed(interface, opened.sender, judgement.probe, now_ns)
        if judgement.key is not None and opened.sender in self._known:
            self._adopt(self.rotation.offered(judgement.key))
        if judgement.want is not None:
            self._send_again(opened.sender, judgement.want, now_ns)
        if judgement.piece is not None:
            (self._deaf.discard if judgement.hears_multicast else self._deaf.add)(opened.sender)
            self._join(opened, judgement.piece, now_ns, source)

    def _join(self, opened: Opened, piece: bytes, now_ns: int, source: Address) -> None:
        incarnation, joiner = self._joiners.get(opened.sender, (-1, None))
        if joiner is None or incarnation != opened.incarnation:
            self._counts["incomplete"] += joiner.dropped if joiner else 0
            joiner = Joiner()
            self._joiners[opened.sender] = (opened.incarnation, joiner)
        whole = joiner.add(piece, now_ns)
        if whole is None:
            self._ask_soon()
            return
        try:
            message = decode(whole)
        except UnknownMessageError as error:
            self._refuse("unknown-message", source, f"{opened.sender}: {error}")
            return
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
            # Sealed with our key, yet not in our language: another version, or a faulty member.
            self._refuse("undecodable", source, f"{opened.sender}: {error}")
            return
        if isinstance(message, Heartbeat | Propose) and message.incarnation != opened.incarnation:
            self._refuse("incarnation", source, f"{opened.sender} speaks for another process than it is")
            return
        self._counts["messages-received"] += 1
        self._on_message(opened.sender, message)

    def _ask_soon(self) -> None:
        if self._asking is None and self._links:
            self._asking = asyncio.get_running_loop().call_later(QUIET_NS / 1e9, self._ask)

    def _ask(self) -> None:
        """Ask everybody for what was lost of a message that is here in part."""
        self._asking = None
        now_ns = self._clock()
        for sender, (_, joiner) in self._joiners.items():
            if (want := joiner.wants(now_ns)) is not None:
                self._transmit(greeting.want(repair.encode(want)), self._addresses.get(sender, {}))
        if any(joiner.has_pending for _, joiner in self._joiners.values()):
            self._ask_soon()

    def _send_again(self, peer: str, content: bytes, now_ns: int) -> None:
        want = repair.decode(content)
        if want is None:
            self._refusals.counts["malformed"] += 1
            return
        for piece in self._sent.wanted(peer, want, now_ns):
            self._transmit(self._wrap(piece), self._addresses.get(peer, {}))

    def _refuse(self, reason: str, source: Address, detail: str) -> None:
        expected = reason in (Reason.OWN, "unproven", "unknown-message", "unknown-kind") or (
            reason == Reason.REPLAYED and len(self._links) > 1
        )
        line = self._refusals.note(reason, source[0], self._clock(), detail)
        if line is not None:
            if (meaning := _MEANING.get(reason)) is not None:
                line = f"{line} ({meaning})"
            log.log(logging.DEBUG if expected else logging.WARNING, "%s", line)


def _changes(before: Keyring, after: Keyring) -> Iterator[str]:
    """What a new ring means, for the log; marks only."""
    for mark in after.marks:
        if mark not in before.marks:
            yield f"{mark.hex()} is to follow {after.active.mark.hex()}, and is on this host's disk"
    if before.active.mark != after.active.mark:
        yield f"sealed with {after.active.mark.hex()} from now on; {before.active.mark.hex()} still opens"
    for mark in before.marks:
        if mark not in after.marks:
            yield f"{mark.hex()} is forgotten"
