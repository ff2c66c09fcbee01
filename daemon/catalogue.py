"""What resource agents say about themselves, for those who configure them.

An agent is a program: vipcast-runner runs it (operation `meta-data`), this asks for it, reads what it said, and
remembers it for a while.  `ocf:heartbeat:IPaddr2` is native and described here.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, fields

from agents import ipaddr2_parameters, metadata
from agents.client import RunnerClient
from agents.metadata import MetadataError
from daemon.control.backend import AgentAnswer, AgentNotAsked, NoSuchAgent
from daemon.control.schema import AgentAction, AgentDocument, AgentParameter
from daemon.model.agents import ADVISED, IPADDR2

TIMEOUT_MS = 10_000
ANSWER_TIMEOUT_S = 15.0
"""with the time that the runner may need to get round to it; control clients wait for longer"""
ASKED_AT_ONCE_MAX = 4
REMEMBERED_MAX = 256
REMEMBERED_S = 60.0
"""an agent that was upgraded is known soon; a list of all of them does not run each twice"""
NOT_INSTALLED = "not-installed"


@dataclass(frozen=True, slots=True)
class _Known:
    document: AgentDocument
    until_s: float


class Catalogue:
    """Asks the runner of this host."""

    def __init__(self, runner: RunnerClient) -> None:
        self._runner = runner
        self._turns = asyncio.Semaphore(ASKED_AT_ONCE_MAX)
        self._known: dict[str, _Known] = {}

    async def describe(self, agent: str) -> AgentAnswer:
        """`agent` by its full name.  Never raises; waits ANSWER_TIMEOUT_S at most."""
        if agent == IPADDR2:
            return _ipaddr2()
        known = self._known.get(agent)
        if known is not None and time.monotonic() < known.until_s:
            return known.document
        if not self._runner.is_connected:
            return AgentNotAsked(
                "vipcast-runner cannot be reached: is it running? (systemctl status vipcast-runner)"
            )
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S), self._turns:
                return await self._ask(agent)
        except TimeoutError:
            return AgentNotAsked(f"vipcast-runner gave no answer for '{agent}' within {ANSWER_TIMEOUT_S:g} s")

    async def _ask(self, agent: str) -> AgentAnswer:
        ended = await self._runner.run(
            resource=f"meta-data of {agent}",
            agent=agent,
            operation="meta-data",
            parameters={},
            environment={},
            timeout_ms=TIMEOUT_MS,
        )
        if ended.status == NOT_INSTALLED:
            return NoSuchAgent(ended.reason)
        if ended.status != "done" or ended.exit_code != 0:
            return NoSuchAgent(ended.reason or f"meta-data of '{agent}' ended with exit code {ended.exit_code}")
        try:
            # some milliseconds for the largest ones: not on the loop, where a heartbeat may be due
            found = await asyncio.to_thread(metadata.parse, ended.output)
        except MetadataError as error:
            return NoSuchAgent(str(error))
        document = document_of(agent, found)
        while len(self._known) >= REMEMBERED_MAX:
            del self._known[next(iter(self._known))]
        self._known[agent] = _Known(document, time.monotonic() + REMEMBERED_S)
        return document


def document_of(agent: str, found: metadata.Metadata) -> AgentDocument:
    """What the control socket says about an agent that was asked."""
    return AgentDocument(
        agent=agent,
        version=found.version,
        summary=found.summary,
        description=found.description,
        parameters=tuple(
            AgentParameter(
                name=one.name,
                type=one.type,
                default=one.default,
                required=one.required,
                unique=one.unique,
                summary=one.summary,
                description=one.description,
            )
            for one in found.parameters
        ),
        actions=tuple(
            AgentAction(one.name, one.interval, one.timeout, one.depth, one.role) for one in found.actions
        ),
    )


def _ipaddr2() -> AgentDocument:
    """The native agent; values are checked by the configuration's own rules."""
    defaults = {field.name: field.default for field in fields(ipaddr2_parameters.Parameters)}

    def parameter(name: str) -> AgentParameter:
        default = defaults.get(name)
        no_effect = ipaddr2_parameters.IGNORED.get(name)
        return AgentParameter(
            name=name,
            type="string",
            default=str(default).lower() if isinstance(default, (bool, int, str)) else None,
            required=name == "ip",
            unique=name == "ip",
            summary=f"has no effect: {no_effect}" if no_effect else "",
            description="",
        )

    return AgentDocument(
        agent=IPADDR2,
        version="",
        summary="An IP address, on one host or, as a globally unique clone, shared by several",
        description="Native in vipcast; the parameters are those of the agent in resource-agents, and more.",
        parameters=tuple(parameter(name) for name in ipaddr2_parameters.KNOWN),
        actions=tuple(AgentAction(one.name, one.interval, one.timeout or "", "", "") for one in ADVISED[IPADDR2]),
    )
