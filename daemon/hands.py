"""What a node serves with: engine, agents' runner, and an ear for what happens to this host's interfaces.

A witness has none of it (LEASES.md, policies): it votes and keeps the log.  It has an engine that holds nothing and
takes nothing, so that the rest of the daemon is the same, and it needs no privilege.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agents.client import RunnerClient
from daemon.addresses import AnyResponder, SharedAddresses
from daemon.cluster.clock import boot_ns
from daemon.settings import Settings
from datapath import select
from datapath.engine import Change, Counter, DatapathError, Engine, HelperAwayError, NeedsHelper, Wish
from datapath.host.clocks import ClockWatch
from datapath.host.events import HostEvent, HostEvents

RUNNER_COMES_S = 10.0
RUNNER_LOOK_S = 0.1


class NoEngine:
    """The engine of a node that serves nothing."""

    name = "none"
    place = "lo"

    def start(self) -> None: ...

    def apply(self, wishes: Sequence[Wish]) -> list[Change]:
        """Raises DatapathError where something is wished for: nobody may give slots to a witness."""
        if wishes:
            told = ", ".join(wish.address.resource for wish in wishes)
            raise DatapathError(f"this node is a witness and serves nothing; somebody gave it {told}")
        return []

    def renew(self, deadline_ns: int) -> None: ...

    def deadline_ns(self) -> int:
        return 0

    def flows_left(self, resource: str, slot: int) -> int:
        return 0

    def state(self) -> list[Wish]:
        return []

    def counters(self) -> list[Counter]:
        return []

    def repair(self) -> list[Change]:
        return []

    def remove(self) -> None: ...

    def close(self) -> None: ...


@dataclass(slots=True)
class Hands:
    addresses: SharedAddresses
    runner: RunnerClient
    reason: str
    """why this engine, for the log"""
    events: HostEvents | None = None
    clocks: ClockWatch | None = None

    @classmethod
    async def of(cls, configured: Settings, disturbed: Callable[[HostEvent], None]) -> Hands:
        """What the settings ask for.  Raises DatapathError, OSError."""
        if configured.node.witness:
            return cls(_addresses(NoEngine()), RunnerClient(configured.paths.runner_socket), "a witness, no engine")
        choice = select.choose(configured.datapath.engine, configured.paths.run)
        await _start(choice.engine)
        addresses = _addresses(choice.engine)
        events = HostEvents(addresses.concern, disturbed)
        await events.start()
        clocks = ClockWatch(lambda change: addresses.clocks_changed(change, boot_ns()))
        clocks.start()
        return cls(addresses, RunnerClient(configured.paths.runner_socket), choice.reason, events, clocks)

    async def start(self) -> None:
        """Let the runner have its work."""
        if self.events is None:
            return
        if isinstance(self.addresses.engine, NeedsHelper):
            self.runner.serve("forwarder", self.addresses.engine.helper_argv())
        await self.runner.start()

    async def close(self) -> None:
        if self.events is not None:
            await self.events.close()
        if self.clocks is not None:
            self.clocks.close()
        await self.runner.close()
        self.addresses.engine.close()


async def _start(engine: Engine) -> None:
    """Both services may be started at the same time: what the runner has to do for the engine is waited for."""
    end = time.monotonic() + RUNNER_COMES_S
    while True:
        try:
            return engine.start()
        except HelperAwayError:
            if time.monotonic() >= end:
                raise
        await asyncio.sleep(RUNNER_LOOK_S)


def _addresses(engine: Engine) -> SharedAddresses:
    """With responders on the running loop."""
    loop = asyncio.get_running_loop()

    def watch(responder: AnyResponder) -> None:
        loop.add_reader(responder.fileno(), lambda: addresses.answer(responder, boot_ns()))

    addresses = SharedAddresses(engine, watch, lambda responder: loop.remove_reader(responder.fileno()))
    return addresses
