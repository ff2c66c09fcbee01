"""The shared addresses of this host: what the executor wants, made true by engine and ARP responders.

One ordered writer to the kernel (LEASES.md, rule 15): everything here runs on the loop's thread, a renewal after an
`apply` is a renewal of what was applied.  Blocks for well under a millisecond.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address

from agents.ipaddr2 import ParameterError, shared_address
from daemon.executor.slots import Wanted
from daemon.state.addresses import SlotDriven
from datapath.engine import Address, Change, Counter, DatapathError, Engine, NeedsHelper, Wish
from datapath.host.events import Concern
from datapath.responder import Responder

log = logging.getLogger("vipcast.datapath")

AILING_S = 2.0
"""vipcast-runner starts a helper process again well within this"""

Watch = Callable[[Responder], object]


class SharedAddresses:
    """Engine and responders behind one door.  `watch` and `unwatch` put a responder's socket on the event loop."""

    def __init__(self, engine: Engine, watch: Watch, unwatch: Watch) -> None:
        self.engine = engine
        self._watch = watch
        self._unwatch = unwatch
        self._responders: dict[str, Responder] = {}
        self._deadline_ns = 0
        self._ailing_since: float | None = None
        self.serving: tuple[Wish, ...] = ()

    def hold(
        self, in_force: Mapping[str, SlotDriven], wanted: Wanted
    ) -> tuple[Wanted, dict[str, str], list[Change]]:
        """Make the kernel hold `wanted`: (what it holds now of it, address → why not, what changed).

        `in_force` is the state's: what the slots of each address mean.

        Raises DatapathError when the engine took nothing at all; the kernel then holds what it held.
        """
        failures: dict[str, str] = {}
        wishes: list[Wish] = []
        for name, want in wanted.items():
            try:
                wishes.append(Wish(self._address(in_force[name]), dict(want.states)))
            except (ParameterError, DatapathError) as error:
                failures[name] = str(error)
        changes = self.engine.apply(wishes)
        self.serving = tuple(wishes)
        self._follow_up(wishes)
        return {name: want for name, want in wanted.items() if name not in failures}, failures, changes

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

    def _address(self, driven: SlotDriven) -> Address:
        return shared_address(driven.address, driven.parameters, driven.slots)

    def _respond(self, wishes: list[Wish]) -> None:
        """One responder an interface; those that nobody needs any more are closed."""
        by_interface: dict[str, dict[IPv4Address, str]] = {}
        for wish in wishes:
            if isinstance(wish.address.ip, IPv4Address):
                by_interface.setdefault(wish.address.interface, {})[wish.address.ip] = wish.address.mac
        for interface in self._responders.keys() - by_interface.keys():
            self._drop(interface)
        for interface, addresses in by_interface.items():
            responder = self._responders.get(interface)
            if responder is None:
                responder = Responder(interface)
                responder.renew(self._deadline_ns)
                self._responders[interface] = responder
                self._watch(responder)
            fresh = addresses.keys() - responder.addresses.keys()
            responder.serve(addresses)
            self._announce(responder, {ip: addresses[ip] for ip in fresh})

    def _announce(self, responder: Responder, addresses: Mapping[IPv4Address, str]) -> None:
        for ip, mac in addresses.items():
            try:
                responder.announce(ip, mac)
            except DatapathError as error:
                log.info("%s", error)  # no lease yet: whoever has one announces, all say the same

    def answer(self, responder: Responder, now_ns: int) -> None:
        """A responder's socket is readable."""
        try:
            for claim in responder.on_readable(now_ns):
                log.warning(
                    "%s is claimed by %s on %s: a duplicate address, or a host that is set up wrongly",
                    claim.ip,
                    claim.mac,
                    claim.interface,
                )
        except DatapathError as error:
            log.error("%s", error)
            self._drop(responder.interface)  # `repair` makes a new one when the interface is back

    def _drop(self, interface: str) -> None:
        responder = self._responders.pop(interface)
        self._unwatch(responder)
        responder.close()

    def renew(self, deadline_ns: int) -> None:
        """The host's lease: one write to the kernel, and the responders'."""
        try:
            self.replace_deadline(deadline_ns)
        except DatapathError as error:
            log.error("the lease could not be renewed, so this host falls silent: %s", error)

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
        try:
            changes = self.engine.repair()
            self._respond(list(self.serving))
        except DatapathError as error:
            log.error("%s", error)
            return []
        if changes:
            self.engine.renew(self._deadline_ns)
        return changes

    def flows_left(self, address: str, slot: int) -> int:
        """Local sockets that still belong to a draining slot; 1 when that cannot be told: it goes on draining."""
        try:
            return self.engine.flows_left(address, slot)
        except DatapathError as error:
            log.error("%s", error)
            return 1

    def counters(self) -> list[Counter]:
        try:
            return self.engine.counters()
        except DatapathError as error:
            log.error("%s", error)
            return []

    def remove(self) -> None:
        """Leave the host as if vipcast had never run."""
        for interface in tuple(self._responders):
            self._drop(interface)
        self.engine.remove()
        self.serving = ()
