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
from collections import Counter
from collections.abc import Callable, Collection, Mapping

import msgspec

from daemon import linksettings
from daemon.cluster import greeting, identity
from daemon.cluster.acquaintances import Acquaintances
from daemon.cluster.assembly import Assembly
from daemon.cluster.chunks import QUIET_NS
from daemon.cluster.enrolment import exchange
from daemon.cluster.greeting import Greetings
from daemon.cluster.hearing import PROBE_INTERVAL_NS, Hearing, Probe
from daemon.cluster.keydistribution import KeyDistribution
from daemon.cluster.keykeeper import KeyKeeper
from daemon.cluster.keyring import Keyring
from daemon.cluster.link import Address, Link
from daemon.cluster.messages import Heartbeat, Message, Propose, UnknownMessageError, decode, encode
from daemon.cluster.refusals import Refusals, explained
from daemon.cluster.seal import SALT_BYTES, Algorithm, Opened, Opener, Reason, Refused, Sealer
from daemon.cluster.statistics import Statistics
from daemon.cluster.wayback import Reply
from daemon.settings import Link as LinkSettings
from daemon.settings import Settings

log = logging.getLogger(__name__)

_ALGORITHMS = {"aes-256-gcm": Algorithm.AES_256_GCM, "chacha20-poly1305": Algorithm.CHACHA20_POLY1305}

KEYS_SETTLE_NS = 10_000_000_000
"""after the start: until then nobody can say who is there"""


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
        ring = key if isinstance(key, Keyring) else Keyring.of(key)
        self._sealer = Sealer(ring, cluster, node, incarnation, salt=salt, algorithm=algorithm)
        self._opener = Opener(ring, cluster, own=(node, salt))
        self._hearing = Hearing(heartbeat_ns)
        self._look_s = heartbeat_ns / 1e9
        self._doubts = False
        self._look: asyncio.TimerHandle | None = None
        self._opened_ns = clock()
        self._probed_ns = self._opened_ns
        self._greetings = Greetings(node, salt)
        self._assembly = Assembly()
        self._asking: asyncio.TimerHandle | None = None
        """runs while a message is unfinished"""
        self._acquaintances = Acquaintances(node, members)
        self._wrap = greeting.data
        self._links: list[Link] = []
        self._refusals = Refusals()
        self._counts: Counter[str] = Counter()
        self._on_message = on_message
        self._clock = clock
        self._distribution = KeyDistribution(ring, cluster, node, salt, os.urandom)
        self.invite = self._distribution.invite
        self.keys = KeyKeeper(self._distribution, self._use_keys, self._refusals, clock)
        self._use_keys(ring)
        self._takes_first = False
        """this node knows no cluster yet: the first that proves itself is its own"""
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
        cluster_id: str | None = "",
    ) -> Transport:
        """Open every link.  Raises OSError if a port is taken or privileges are missing.

        `on_message(sender, message)` is called on the event loop; `clock` gives nanoseconds of CLOCK_BOOTTIME.
        `cluster_id`: other clusters are not heard, from the first datagram on; "": it has none yet; None: this node
        knows no cluster, and belongs to the first that proves to have the key.
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
        if cluster_id:
            transport.identify(identity.mark_of(cluster_id))
        transport._takes_first = cluster_id is None
        try:
            for name, link in zip(linksettings.names(settings.links), settings.links, strict=True):
                await transport._add_link(name, link)
        except OSError:
            transport.close()
            raise
        transport._look_around()
        return transport

    def send(self, to: str | None, message: Message) -> None:
        """Send to one node (None: to all) on every link; who was not heard there yet is reached like all.

        Nobody else takes what is for one node (greeting, ADDRESSED).  Raises OversizedError.
        """
        for piece in self._assembly.split(encode(message), to, self._clock()):
            self._carry(to, piece)
        self._counts["messages-sent"] += 1

    def known(self, names: Collection[str]) -> None:
        """These are the cluster's nodes from now on: they are never forgotten to make room for strangers."""
        self._acquaintances.belong(names)
        self._distribution.members(names)

    def identify(self, mark: int) -> None:
        """Belong to the cluster whose id has this mark (`identity`): others' datagrams are refused from now on."""
        self._takes_first = False
        self._sealer.identify(mark)
        self._opener.identify(mark)
        self._distribution.way_back.identify(mark)

    @property
    def hears_named(self) -> bool:
        """Whether somebody who is heard knows an id of his cluster."""
        return self._opener.hears_named

    def addresses_on(self, link: str) -> list[str]:
        """Of the cluster's other nodes, as far as they were heard there."""
        return [address[0] for _, address in self._acquaintances.members_on(link)]

    def name_at(self, host: str) -> str:
        """Which of the cluster's other nodes was heard from this IP address, on whichever link; "": none."""
        return self._acquaintances.name_at(host)

    def expect(self, member: str, incarnation: int) -> None:
        """Refuse datagrams of earlier processes of `member` (its admission says which is the newest)."""
        self._opener.expect(member, incarnation)

    def statistics(self) -> Statistics:
        return Statistics(
            links={link.name: dict(link.counts) for link in self._links},
            troubles={link.name: link.trouble for link in self._links if link.trouble},
            refusals=dict(self._refusals.counts),
            peers={link.name: self._hearing.peers(link.name, self.others, self._clock()) for link in self._links},
            minors=self._acquaintances.minors,
            messages_received=self._counts["messages-received"],
            messages_sent=self._counts["messages-sent"],
            incomplete=self._assembly.incomplete,
        )

    def close(self) -> None:
        """Stop at once: nothing is delivered or sent any more; ports are free after the loop's next turn."""
        for timer in (self._look, self._asking):
            if timer is not None:
                timer.cancel()
        for link in self._links:
            link.close()
        self._links.clear()

    # ---- links and keys, looked after now and then

    def present(self) -> frozenset[str]:
        """The cluster's other nodes that are heard over some link."""
        now_ns = self._clock()
        return frozenset(name for name in self.others if self._hearing.is_present(name, now_ns))

    @property
    def others(self) -> frozenset[str]:
        return self._acquaintances.others

    def _look_around(self) -> None:
        self._look = asyncio.get_running_loop().call_later(self._look_s, self._look_around)
        now_ns, others = self._clock(), self.others
        for is_bad, sentence in self._hearing.news(others, now_ns):
            log.log(logging.WARNING if is_bad else logging.INFO, "%s", sentence)
        doubts = self._hearing.doubts(others, now_ns)
        if now_ns - self._probed_ns < PROBE_INTERVAL_NS and doubts == self._doubts:
            return
        self._probed_ns, self._doubts = now_ns, doubts
        to_rejoin = self._hearing.to_rejoin(others, now_ns)
        for link in self._links:
            if link.name in to_rejoin:
                link.rejoin()
        deaf = doubts or all(not link.group for link in self._links) or self._hearing.is_deaf(others, now_ns)
        self._wrap = greeting.unicast_data if deaf else greeting.data
        self._probe(deaf)
        self._hand_out_keys(now_ns)

    def _hand_out_keys(self, now_ns: int) -> None:
        now_s, present = int(time.time()), self.present()
        self._distribution.use(self._opener, now_s)
        comes = {name for name in self._acquaintances.strangers if self._distribution.is_invited(name)}
        for peer, payload, key_mark in self._distribution.offers(present | comes, now_s):
            self._transmit(payload, self._acquaintances.addresses_of(peer), key_mark)
        if now_ns - self._opened_ns >= KEYS_SETTLE_NS:
            self.keys.look_around(present)

    def _probe(self, deaf: bool) -> None:
        """One to each group, one to each address; each in a seal of its own, so that none passes for a copy."""
        marks, public, now_s = self.keys.rotation.ring.marks, self._distribution.public, int(time.time())
        for link in self._links:
            if link.group:
                payload = Probe(True, True, deaf, marks, public).encode()
                link.send(self._sealer.seal(greeting.probe(payload)), (link.group, link.port))
            payload = Probe(False, bool(link.group), deaf, marks, public).encode()
            named = dict.fromkeys(link.peers, b"")
            for name, address in self._acquaintances.members_on(link.name):
                named[address] = self.keys.rotation.seal_for(name, now_s)
            for address, mark in named.items():
                link.send(self._sealer.seal(greeting.probe(payload), mark), address)

    def _use_keys(self, ring: Keyring) -> None:
        self._sealer.use(ring)
        self._distribution.use(self._opener, int(time.time()))

    def _probed(self, link_name: str, sender: str, content: bytes, now_ns: int) -> None:
        probe = Probe.decode(content)
        if probe is None:
            self._refusals.counts["malformed"] += 1
            return
        self._hearing.probed(link_name, sender, probe, now_ns)
        self._acquaintances.note_hearing(sender, hears_multicast=not probe.deaf)
        if self._acquaintances.is_member(sender) or self._distribution.is_invited(sender):
            self._distribution.probed(sender, probe)

    # ---- datagrams

    async def _add_link(self, name: str, settings: LinkSettings) -> None:
        def received(datagram: bytes, source: Address) -> None:
            if exchange.is_ours(datagram):
                answer = self.on_enrolment(datagram, source[0]) if self.on_enrolment is not None else None
                if answer is not None:
                    link.send(answer, source)
                return
            self._receive(name, datagram, source)

        link = Link(settings.interface, settings.group, settings.port, received, settings.peers, name)
        if not settings.group:
            self._wrap = greeting.unicast_data
        self._links.append(link)
        self._hearing.add_link(name)
        await link.open()

    def _carry(self, to: str | None, piece: bytes) -> None:
        payload, addresses = self._wrap(piece), self._acquaintances.addresses_of(to)
        if to is None:
            self._transmit(payload, addresses)
        elif self._acquaintances.minor_of(to) >= greeting.ADDRESSED_SINCE:
            self._transmit(greeting.addressed(to, payload), addresses)
        else:  # whoever hears it would take it for his own
            datagram = self._sealer.seal(payload)
            for link in self._links:
                if (address := addresses.get(link.name)) is not None:
                    link.send(datagram, address)

    def _transmit(self, payload: bytes, addresses: Mapping[str, Address], key_mark: bytes = b"") -> None:
        datagram = self._sealer.seal(payload, key_mark)
        for link in self._links:
            if (address := addresses.get(link.name)) is not None:
                link.send(datagram, address)
            else:
                reach = self._acquaintances.everybody_on if self._doubts else self._acquaintances.deaf_on
                link.send_to_all(datagram, reach(link.name))

    def _note_sender(self, sender: str) -> None:
        forgotten = self._acquaintances.meet(sender)
        if forgotten is not None:
            self._opener.forget(forgotten)
            self._greetings.forget(forgotten)
            self._assembly.forget(forgotten)
            self._hearing.forget(forgotten)
            self._distribution.forget(forgotten)

    def _receive(self, link_name: str, datagram: bytes, source: Address) -> None:
        opened = self._opener.open(datagram)
        if isinstance(opened, Refused):
            self._refused(link_name, datagram, source, opened)
            return
        now_ns = self._clock()
        self._note_sender(opened.sender)
        judgement = self._greetings.judge(opened, now_ns)
        if judgement.proven:
            self._proven(opened)
        if judgement.answer is not None:
            # in the key that he has for sure
            self._transmit(judgement.answer, {link_name: source}, opened.key_mark)
        if judgement.reason:
            self._refuse(judgement.reason, source, opened.sender)
        if self._greetings.is_proven(opened.sender):
            self._acquaintances.locate(opened.sender, link_name, source, opened.minor)
            if judgement.probe is None:
                self._hearing.note(link_name, opened.sender, now_ns)
            if self._acquaintances.is_trusted_with_keys(opened.sender):
                self.keys.heard_key(opened.key_mark)
        if judgement.probe is not None:
            self._probed(link_name, opened.sender, judgement.probe, now_ns)
        if self._acquaintances.is_trusted_with_keys(opened.sender):
            self.keys.take(opened, judgement)
        if judgement.want is not None:
            self._send_again(opened.sender, judgement.want, now_ns)
        if judgement.piece is not None:
            self._acquaintances.note_hearing(opened.sender, hears_multicast=judgement.hears_multicast)
            self._join(opened, judgement.piece, now_ns, source)

    def _refused(self, link_name: str, datagram: bytes, source: Address, refused: Refused) -> None:
        """Of no use as it is; yet a copy shows that a link lives, and an old key that a node has come back."""
        now_ns = self._clock()
        if refused.is_recent and refused.claimed in self._acquaintances:
            self._hearing.note(link_name, refused.claimed, now_ns)
        answer: Reply | Refused = refused
        if refused.reason == Reason.WRONG_KEY:
            answer = self._distribution.welcome_back(
                datagram, self.others, lambda name: self._hearing.is_present(name, now_ns), now_ns
            )
        if isinstance(answer, Refused):
            self._refuse(answer.reason, source, answer.claimed or refused.claimed)
            return
        for payload in answer.payloads:
            self._transmit(payload, {link_name: source}, answer.key_mark)
        if answer.handed_to:
            log.info(
                "%s has come back with key %s, and is given the new one", answer.handed_to, answer.key_mark.hex()
            )

    def _proven(self, opened: Opened) -> None:
        """The sender's session has greeted this process."""
        self._opener.refuse_until(opened.sender, opened.counter)
        for link in self._links:
            link.trust(self._greetings.proven_salts())
        if self._takes_first and (mark := identity.mark_in(opened.counter)):
            log.info("%s is the first to prove that it has the key: its cluster is this node's", opened.sender)
            self.identify(mark)

    def _join(self, opened: Opened, piece: bytes, now_ns: int, source: Address) -> None:
        whole = self._assembly.add(opened.sender, opened.incarnation, piece, now_ns)
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
        if isinstance(message, Heartbeat) and self._acquaintances.hears_multicast(opened.sender):
            self._hearing.beat(opened.sender, now_ns)
        self._counts["messages-received"] += 1
        self._on_message(opened.sender, message)

    def _ask_soon(self) -> None:
        if self._asking is None and self._links:
            self._asking = asyncio.get_running_loop().call_later(QUIET_NS / 1e9, self._ask)

    def _ask(self) -> None:
        """Ask everybody for what was lost of a message that is here in part."""
        self._asking = None
        for sender, content in self._assembly.wants(self._clock()):
            self._transmit(greeting.want(content), self._acquaintances.addresses_of(sender))
        if self._assembly.is_waiting:
            self._ask_soon()

    def _send_again(self, peer: str, content: bytes, now_ns: int) -> None:
        pieces = self._assembly.wanted(peer, content, now_ns)
        if pieces is None:
            self._refusals.counts["malformed"] += 1
            return
        for piece in pieces:
            self._carry(peer, piece)

    def _refuse(self, reason: str, source: Address, detail: str) -> None:
        expected = reason in (Reason.OWN, "unproven", "not-for-us", "unknown-message", "unknown-kind") or (
            reason == Reason.REPLAYED and len(self._links) > 1
        )
        line = self._refusals.note(reason, source[0], self._clock(), detail)
        if line is not None:
            log.log(logging.DEBUG if expected else logging.WARNING, "%s", explained(reason, line))
