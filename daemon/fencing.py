"""Carries out what `daemon.executor.fencing` decides: devices run in the runner, the core is told, the log as well."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from agents.client import RunnerClient
from daemon.cluster.clock import boot_ns
from daemon.cluster.core.core import Core
from daemon.cluster.core.fencing import FencingRefusedError
from daemon.cluster.core.presence import Presence
from daemon.cluster.core.proposals import TooMuchProposedError
from daemon.executor.fencing import Fencing, Order
from daemon.state.commands import Fenced, StateCommand
from daemon.state.state import State

log = logging.getLogger("vipcast")


class FencingShell:
    def __init__(self, core: Core, runner: RunnerClient, policy: Fencing) -> None:
        self._core = core
        self._runner = runner
        self.policy = policy
        self.propose: Callable[[StateCommand], object] = lambda command: None
        self.changed: Callable[[], None] = lambda: None
        """called when there is something to look at"""
        self._tasks: set[asyncio.Task[None]] = set()
        self._untold: Fenced | None = None
        """for the log, as soon as this node leads"""
        self._trouble = ""

    def look(self, state: State, presence: Presence, now_ns: int) -> bool:
        """True where the core has something to say to what it was told."""
        newest = self._core.newest_incarnation(presence.to_fence) if presence.to_fence else -1
        order = self.policy.look(state, presence, newest, now_ns)
        if order is not None:
            log.warning("%s is not heard: %s is asked to cut its power (%s)", order.target, order.by, order.action)
            task = asyncio.get_running_loop().create_task(self._carry_out(order))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        counts = self._say(now_ns)
        self._tell_log()
        self._tell_trouble()
        return counts

    def confirm(self, node: str, by: str) -> None:
        """The word of a person.  Raises FencingRefusedError."""
        self._core.confirm_fenced(node, self._core.newest_incarnation(node), by, boot_ns())
        self._untold = Fenced(node, by)
        self.changed()

    def alarms(self) -> tuple[str, ...]:
        return (self.policy.trouble,) if self.policy.trouble else ()

    async def _carry_out(self, order: Order) -> None:
        device = order.device
        ended = await self._runner.run(
            resource=f"{device.resource} against {order.target}",
            agent=device.agent,
            operation=order.action,
            parameters=device.told(order.target),
            environment={},
            timeout_ms=order.timeout_ms,
        )
        is_done = ended.status == "done" and ended.exit_code == 0
        self.policy.ended(order, is_done, ended.reason, boot_ns())
        self.changed()

    def _say(self, now_ns: int) -> bool:
        word = self.policy.word
        if word is None:
            return False
        try:
            self._core.confirm_fenced(word.target, word.incarnation, word.by, now_ns)
        except FencingRefusedError as refusal:
            self.policy.refused(str(refusal))
            return False
        self._untold = Fenced(word.target, word.by)
        return True

    def _tell_log(self) -> None:
        if self._untold is None or self._core.leader is None:
            return
        try:
            self.propose(self._untold)
        except TooMuchProposedError:
            return
        self._untold = None

    def _tell_trouble(self) -> None:
        if self.policy.trouble != self._trouble:
            self._trouble = self.policy.trouble
            if self._trouble:
                log.error("%s", self._trouble)
