"""Carries out single operations: native agents here, everything else in `vipcast-runner`.

The core never forks (STYLE.md: a process that spawns is late by up to 39 ms), so an agent that is a program runs in
the runner; `ocf:heartbeat:IPaddr2` is native, a few netlink messages.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec

from agents.client import UNASKED, RunnerClient
from agents.ipaddr2 import PlainAddress
from agents.protocol import Finished
from daemon.definition import ADDRESS_AGENTS, Definition, define
from daemon.executor import Finish, RunOperation
from daemon.measures import Measures
from daemon.model.configuration import Configuration

log = logging.getLogger("vipcast.operations")

NOT_CONFIGURED = 6
AGAIN_MAX = 3
"""what ended with the runner's restart says nothing of the resource: it is done again, as agents must bear (OCF)"""
GENERIC_ERROR = 1
RUNNER_AWAY_S = 10.0
"""a restart of it takes two seconds, and five more where an agent does not end when it is told to"""

Told = Callable[[RunOperation, Finish], None]


class Operations:
    """Runs what the executor asks for, and tells how each ended, exactly once."""

    def __init__(self, runner: RunnerClient, measures: Measures) -> None:
        self._runner = runner
        self._measures = measures
        self._tasks: set[asyncio.Task[None]] = set()

    def alarms(self) -> tuple[str, ...]:
        """What a person has to do something about."""
        if self._runner.away_s() < RUNNER_AWAY_S:
            return ()
        return (
            "vipcast-runner does not run on this host: nothing is started, stopped or looked after here"
            " (systemctl start vipcast-runner)",
        )

    def run(self, operation: RunOperation, configuration: Configuration, finished: Told) -> None:
        """Start `operation`; `finished` is called later, never from within this call."""
        definition = define(configuration, operation.instance, operation.operation, operation.interval_ms)
        task = asyncio.get_running_loop().create_task(self._run(operation, definition, finished))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, operation: RunOperation, definition: Definition | None, finished: Told) -> None:
        began = time.monotonic()
        try:
            finish = await self._outcome(operation, definition)
        except Exception as error:  # an agent must never take the daemon with it; the plan treats it as a failure
            log.exception("%s of %s broke", operation.operation, operation.instance)
            finish = Finish(GENERIC_ERROR, "error", f"internal error: {error}", 0, "")
        elapsed_ms = int((time.monotonic() - began) * 1000)
        agent = definition.agent if definition is not None else ""
        self._measures.operation_ended(agent, operation.operation, finish.status, elapsed_ms)
        finished(operation, Finish(finish.exit_code, finish.status, finish.reason, elapsed_ms, finish.definition))

    async def _outcome(self, operation: RunOperation, definition: Definition | None) -> Finish:
        if definition is None:
            return Finish(
                NOT_CONFIGURED, "error", f"{operation.instance} is not in the configuration any more", 0, ""
            )
        if definition.agent in ADDRESS_AGENTS:
            exit_code, reason = await PlainAddress(operation.instance, definition.parameters).run(
                operation.operation
            )
            return Finish(exit_code, "done", reason, 0, definition.digest)
        ended = await self._asked(operation, definition)
        while ended.status == UNASKED and operation.interval_ms:
            # nobody has looked, so nothing is known to have failed; `alarms` tells
            ended = await self._asked(operation, definition)
        if ended.status == UNASKED:
            ended = msgspec.structs.replace(ended, status="error")
        for _ in range(AGAIN_MAX):
            if ended.status != "cancelled":
                break
            ended = await self._asked(operation, definition)
        return Finish(ended.exit_code, ended.status, ended.reason, ended.duration_ms, definition.digest)

    async def _asked(self, operation: RunOperation, definition: Definition) -> Finished:
        return await self._runner.run(
            resource=operation.instance,
            agent=definition.agent,
            operation=operation.operation,
            parameters=definition.parameters,
            environment=definition.environment,
            timeout_ms=operation.timeout_ms or definition.timeout_ms,
        )
