"""The shared addresses of this host: what the executor wants, made true by engine and responders.

One ordered writer to the kernel (LEASES.md, rule 15): everything here runs on the loop's thread, a renewal after an
`apply` is a renewal of what was applied.  Blocks for well under a millisecond.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from daemon.applying import Applying, Place, place_of
from daemon.duplicates import DuplicateCheck
from daemon.executor.slots import Wanted
from daemon.meanings import Meanings
from daemon.obstacles import Obstacles
from daemon.state.addresses import SlotDriven
from datapath.dialects import DIALECTS
from datapath.engine import Address, Change, Counter, DatapathError, Engine, NeedsHelper, Wish
from datapath.host import privileged
from datapath.host.clocks import ClockChange
from datapath.host.events import Concern
from datapath.host.setup import Examination
from datapath.responder import Responder
from datapath.strangers import ForeignClaim, Sighting, Strangers, sentence

log = logging.getLogger("vipcast.datapath")

AILING_S = 4.0
"""vipcast-runner starts a helper process again well within this, and may be starting again itself, which takes two"""

CLOCK_TICK_NS = 10_000_000
"""the kernel's coarsest: what an engine reads back may be rounded up to it"""

AnyResponder = Responder[Any]
Watch = Callable[[AnyResponder], object]
ASK_EVERY_NS = 60_000_000_000
"""who answers a client's question is heard by that client alone, so each address is asked for now and then"""
ASKED_AT_ONCE_MAX = 16


class SharedAddresses:
    """Engine and responders behind one door.  `watch` and `unwatch` put a responder's socket on the event loop."""

    def __init__(self, engine: Engine, watch: Watch, unwatch: Watch) -> None:
        self.engine = engine
        self._watch = watch
        self._unwatch = unwatch
        self._responders: dict[tuple[str, int], AnyResponder] = {}
        """(interface, version of IP) → who answers there"""
        self._deadline_ns = 0
        self._ailing_since: float | None = None
        self.serving: tuple[Wish, ...] = ()
        self._hindered = Obstacles()
        self.waiting: frozenset[str] = frozenset()
        """addresses that are not held yet: the segment is being asked who has them, or vipcast-runner is away"""
        self.answered: Callable[[], None] = lambda: None
        """called when one of those need not wait any longer"""
        self.member_of: Callable[[str], str] = lambda mac: ""
        """the node whose own MAC this is; "": none that is known"""
        self.claimed: Callable[[str], None] = log.warning
        """somebody else claims one of our addresses: a sentence, at most once a minute about each"""
        self.unrenewed: Callable[[], None] = lambda: None
        """the kernel has not taken the lease: what it lacks for that is worth a look"""
        self._duplicates = DuplicateCheck(lambda: self.answered())  # noqa: PLW0108 - it comes later
        self._strangers = Strangers()
        self._applying = Applying(engine, lambda: self.answered())  # noqa: PLW0108 - it comes later
        self._meanings = Meanings(engine.place)
        self._inherited: frozenset[Place] | None = None
        """what a former process left in the kernel, until this one has told it something; None: not looked at yet"""
        self._ask_due_ns = 0
        self._asked = 0

    def hold(
        self, in_force: Mapping[str, SlotDriven], wanted: Wanted
    ) -> tuple[Wanted, dict[str, str], list[Change]]:
        """Make the kernel hold `wanted`: (what it holds now of it, address → why not, what changed).

        `in_force` is the state's: what the slots of each address mean.

        Raises DatapathError when the engine took nothing at all; the kernel then holds what it held.
        """
        failures: dict[str, str] = {}
        possible: list[Wish] = []
        self._meanings.keep(in_force)
        meanings = self._meanings.of({name: in_force[name] for name in wanted})
        not_looked_at = wanted.keys() - meanings.keys()
        for name, found in meanings.items():
            if isinstance(found, str):
                failures[name] = found
                self._hindered.met(name)
            else:
                possible.append(Wish(found, dict(wanted[name].states)))
        taken, waiting = self._taken_by_others(possible)
        failures |= taken
        possible = [wish for wish in possible if wish.address.resource not in taken.keys() | waiting]
        told = self._applying.tell(possible, self._here(), {wish.address for wish in self.serving})
        failures |= told.refused
        for name in told.unhelped:
            self._hindered.met(name)
        wishes = told.taken
        self._hindered.forget(wish.address.resource for wish in wishes)
        self._inherited = frozenset()
        self.serving = tuple(wishes)
        if not_looked_at:
            self._applying.go_on()
        self.waiting = frozenset(waiting | told.waiting | not_looked_at)
        self._strangers.keep(frozenset(wish.address.ip for wish in wishes))
        self._follow_up(wishes)
        held = {wish.address.resource for wish in wishes}
        return {name: want for name, want in wanted.items() if name in held}, failures, told.changes

    def _taken_by_others(self, wishes: Sequence[Wish]) -> tuple[dict[str, str], set[str]]:
        """Of addresses that are new here: those that somebody else has, each with the reason; and those that wait."""
        here = self._here()
        fresh = [
            wish.address
            for wish in wishes
            if place_of(wish.address) not in here and not self._meanings.is_forced(wish.address.resource)
        ]
        taken: dict[str, str] = {}
        waiting: set[str] = set()
        for resource, answer in self._duplicates.look(fresh).items():
            if answer is None:
                waiting.add(resource)
            elif answer.claim is not None:
                said = sentence(answer.claim, self.member_of(answer.claim.mac))
                taken[resource] = (
                    f"{said}. Find that host, or: vipcast resource update {resource} duplicate_address=force;"
                    f" then: vipcast resource cleanup {resource}"
                )
        return taken, waiting

    def _here(self) -> frozenset[Place]:
        """What this host has, be it from a former process: it goes on at once, the segment is not asked."""
        if self._inherited is None:
            try:
                self._inherited = frozenset(place_of(wish.address) for wish in self.engine.state())
            except DatapathError:
                self._inherited = frozenset()
        return self._inherited | {place_of(wish.address) for wish in self.serving}

    def _follow_up(self, wishes: list[Wish]) -> None:
        """What comes after the engine has done its part, which stands whatever happens here; `repair` tries again."""
        try:
            if self._deadline_ns:
                self.engine.renew(self._deadline_ns)
            self._respond(wishes)
        except DatapathError as error:
            log.error("%s", error)

    def ailment(self) -> str | None:
        """Why packets are not moved, once that has lasted for AILING_S; None when all is well."""
        found = self.engine.ailment() if self.serving and isinstance(self.engine, NeedsHelper) else None
        if found is None:
            self._ailing_since = None
            return None
        if self._ailing_since is None:
            self._ailing_since = time.monotonic()
            log.warning("%s", found)
        return found if time.monotonic() - self._ailing_since >= AILING_S else None

    def _respond(self, wishes: list[Wish]) -> None:
        """One responder an interface and family; those that nobody needs any more are closed."""
        wanted: dict[tuple[str, int], dict[IPv4Address | IPv6Address, str]] = {}
        for wish in wishes:
            address = wish.address
            wanted.setdefault((address.interface, address.ip.version), {})[address.ip] = address.mac
        for place in self._responders.keys() - wanted.keys():
            self._drop(place)
        for place, addresses in wanted.items():
            responder = self._responders.get(place)
            if responder is None:
                interface, version = place
                responder = Responder(interface, DIALECTS[version])
                responder.renew(self._deadline_ns)
                self._responders[place] = responder
                self._watch(responder)
            fresh = addresses.keys() - responder.addresses.keys()
            responder.serve(addresses)
            self._announce(responder, {ip: addresses[ip] for ip in fresh})

    def _announce(self, responder: AnyResponder, addresses: Mapping[IPv4Address | IPv6Address, str]) -> None:
        for ip, mac in addresses.items():
            try:
                responder.announce(ip, mac)
            except DatapathError as error:
                log.info("%s", error)  # no lease yet: whoever has one announces, all say the same

    def answer(self, responder: AnyResponder, now_ns: int) -> None:
        """A responder's socket is readable."""
        try:
            claims = responder.on_readable()
        except DatapathError as error:
            log.error("%s", error)
            # `repair` makes a new one when the interface is back
            self._drop(next(place for place, one in self._responders.items() if one is responder))
            return
        for claim in claims:
            self._note(responder, claim, now_ns)

    def _note(self, responder: AnyResponder, claim: ForeignClaim, now_ns: int) -> None:
        """Somebody else claims an address: remember it, tell it now and then, and say again whose it is."""
        news = self._strangers.note(claim, now_ns)
        if news.worth_telling:
            member = self.member_of(claim.mac)
            self._strangers.name(claim, member)
            self.claimed(sentence(claim, member))
        if news.defend:
            self._announce(responder, {claim.ip: responder.addresses[claim.ip]})

    def sightings(self, now_ns: int) -> tuple[Sighting, ...]:
        """Who has claimed an address of this host lately."""
        return self._strangers.current(now_ns)

    def alarms(self, now_ns: int) -> tuple[str, ...]:
        """A sentence for each of them."""
        told = [sentence(sighting.claim, sighting.member) for sighting in self._strangers.current(now_ns)]
        if self._strangers.there_are_more(now_ns):
            told.append("shared addresses are claimed by more MACs than can be told: somebody forges them")
        return tuple(told)

    def ask_around(self, now_ns: int) -> None:
        """Ask for a few of the addresses, so that each has its turn once in ASK_EVERY_NS; called now and then."""
        if not self.serving:
            self._ask_due_ns = 0
            return
        step_ns = ASK_EVERY_NS // len(self.serving)
        self._ask_due_ns = max(self._ask_due_ns or now_ns + step_ns, now_ns - ASKED_AT_ONCE_MAX * step_ns)
        while self._ask_due_ns <= now_ns:
            self._ask_due_ns += step_ns
            self._asked = (self._asked + 1) % len(self.serving)
            address = self.serving[self._asked].address
            responder = self._responders.get((address.interface, address.ip.version))
            if responder is not None:
                try:
                    responder.ask(address.ip)
                except DatapathError as error:
                    log.debug("%s", error)

    def _drop(self, place: tuple[str, int]) -> None:
        responder = self._responders.pop(place)
        self._unwatch(responder)
        responder.close()

    def renew(self, deadline_ns: int) -> None:
        """The host's lease: one write to the kernel, and the responders'."""
        try:
            self.replace_deadline(deadline_ns)
        except DatapathError as error:
            log.error("the lease could not be renewed, so this host falls silent: %s", error)
            self.unrenewed()

    def kernel_until_ns(self) -> int:
        """Until when the kernel accepts what it holds, as a former process may have left it; 0: nothing, or unknown."""
        try:
            return self.engine.deadline_ns()
        except DatapathError as error:
            log.error("%s", error)
            return 0

    def replace_deadline(self, deadline_ns: int) -> None:
        """Put this process's own deadline into the kernel.  Raises DatapathError: then the former one stands."""
        self._deadline_ns = deadline_ns
        if not self.serving:
            return
        for responder in self._responders.values():
            responder.renew(deadline_ns)
        self.engine.renew(deadline_ns)

    def clocks_changed(self, change: ClockChange, now_ns: int) -> None:
        """Write the lease anew, for an engine that keeps it by a clock which was set; and see whether it outlived it.

        A lease that ended while the host slept stays ended: what is written is the same moment of the boot clock.
        """
        if not self.serving:
            return
        log.warning("%s; the lease is written anew", change)
        kept_ns = self.kernel_until_ns()
        if kept_ns > max(now_ns, self._deadline_ns + CLOCK_TICK_NS):
            log.error(
                "the kernel would have accepted for %.3f s longer than this host's lease", (kept_ns - now_ns) / 1e9
            )
        try:
            self.engine.renew(self._deadline_ns)
        except DatapathError as error:
            log.error("%s", error)

    def concern(self) -> Concern:
        """What others may not change without our looking at it."""
        return Concern(
            frozenset(wish.address.interface for wish in self.serving),
            frozenset(wish.address.ip for wish in self.serving),
            self.engine.place,
        )

    def repair(self) -> list[Change]:
        """Mend what somebody else changed; what could not be mended is tried again next time."""
        if not self.serving:
            return []
        changes: list[Change] = []
        try:
            changes = self.engine.repair()
            if changes:
                # what was made anew has no lease yet; it may be gone again by now
                self.engine.renew(self._deadline_ns)
            self._respond(list(self.serving))
        except DatapathError as error:
            log.error("%s", error)
        return changes

    def hindered(self) -> list[str]:
        """What was held and has lost what it needs on this host: `hold` says what, once it is asked again."""
        examination = Examination(self.engine.place)
        return [wish.address.resource for wish in self.serving if examination.says(wish.address) is not None]

    def mended(self, in_force: Mapping[str, SlotDriven], now_ns: int) -> frozenset[str]:
        """Addresses that could not be held for want of something on this host, which has been there for a while now."""
        self._hindered.forget(name for name in self._hindered.known() if name not in in_force)
        return frozenset(self._hindered.gone(lambda name: self._hindrance(in_force[name]), now_ns))

    def _hindrance(self, driven: SlotDriven) -> str | None:
        try:
            found = self._meanings.of({driven.address: driven})[driven.address]
        except DatapathError as error:
            return str(error)
        return found if isinstance(found, str) else privileged.away()

    def served(self, resource: str) -> Address | None:
        """The address as it is held here; None where it is not."""
        return next((wish.address for wish in self.serving if wish.address.resource == resource), None)

    def closed(self, resource: str, slots: Collection[int]) -> frozenset[int]:
        """Those of these slots that are closed here now."""
        states = next((wish.states for wish in self.serving if wish.address.resource == resource), {})
        return frozenset(number for number in slots if not states.get(number))

    def counters(self) -> list[Counter]:
        try:
            return self.engine.counters()
        except DatapathError as error:
            log.error("%s", error)
            return []

    def remove(self) -> None:
        """Leave the host as if vipcast had never run."""
        self._duplicates.close()
        for place in tuple(self._responders):
            self._drop(place)
        self.engine.remove()
        self.serving = ()
