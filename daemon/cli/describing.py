"""What an agent says about itself, at the moment when a resource of it is created or changed.

The daemon of this host asks the agent (GET /v1/agent).  Where no daemon can be asked, an edit of a file goes on with
a warning: the agents are looked at again by whoever pushes it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from daemon.cli import installed
from daemon.cli.call import Call, CommandError
from daemon.control.client import ControlClient, ControlError, RefusalError
from daemon.model.agents import ADVISED, IPADDR2, Advice
from daemon.model.configuration import Primitive
from daemon.model.findings import Finding, Refused, error, refuse_errors, warning

if TYPE_CHECKING:
    from daemon.control.schema import AgentAction, AgentDocument

NOT_FOUND = 404
FOR_EVERY_AGENT = ("trace_file", "trace_ra")
"""of the shell library of resource-agents; agents do not list them"""
STONITH = "stonith:"
OF_A_DEVICE = ("pcmk_", "stonith-timeout")
"""beginnings of options of a device that its agent does not know (pacemaker-fenced(7))"""
TOLD_LATER = frozenset({"action", "plug", "port", "nodename"})
"""what a fence agent wants to know, and is told when it is used"""
NOT_OPERATIONS = ("meta-data", "validate-all", "status")
"""actions that nobody configures"""
ROLES = {"Master": "Promoted", "Slave": "Unpromoted"}
OVERRIDE = "use --force to override"


def describe(call: Call, agent: str) -> AgentDocument | None:
    """The agent's own words; None, with a warning, where it could not be asked or --force goes on without them.

    Raises Refused where this host has no such agent, or one that does not describe itself.  The native IPaddr2 is
    checked by the model itself: None.
    """
    if agent == IPADDR2:
        return None
    try:
        return ControlClient(call.value("--socket") or None).agent(agent)
    except RefusalError as refusal:
        if refusal.status == NOT_FOUND:
            _absent(call, agent, str(refusal))
            return None
        reason = str(refusal)
    except ControlError as unreachable:
        if not call.has("--file"):
            raise
        reason = str(unreachable)
    _warn(call, "agent-not-checked", agent, f"agent '{agent}' could not be checked: {reason}")
    for finding in installed.check(agent, installed.agents(call.environment), force=call.has("--force")):
        call.out.note(str(finding))
    return None


def asked(call: Call, agent: str) -> AgentDocument:
    """The agent's own words.  Raises CommandError where there are none, and ControlError without a daemon."""
    try:
        return ControlClient(call.value("--socket") or None).agent(agent)
    except RefusalError as refusal:
        raise CommandError(f"unable to describe agent '{agent}': {refusal}", code=refusal.problem.code) from refusal


def _absent(call: Call, agent: str, reason: str) -> None:
    message = f"Agent '{agent}' is not installed or does not provide valid metadata: {reason}"
    if not call.has("--force"):
        raise Refused(error("unknown-agent", agent, message, OVERRIDE))
    _warn(call, "unknown-agent", agent, message)


def _warn(call: Call, code: str, agent: str, message: str) -> None:
    call.out.note(str(warning(code, agent, message)))


def check_options(call: Call, document: AgentDocument | None, given: Mapping[str, str]) -> None:
    """Raises Refused with the options that the agent does not have, and the required ones that lack.

    With --force they are warnings.
    """
    if document is None:
        return
    named = {name for name, value in given.items() if value}
    unknown = unknown_options(document, named)
    missing = missing_options(document, named)
    if not call.has("--force"):
        refuse_errors([*unknown, *missing])
    for finding in (*unknown, *missing):
        _warn(call, finding.code, finding.where, finding.message)


def check_change(call: Call, resource: object, options: Mapping[str, str]) -> None:
    """The same for an update: what it sets must be known, and what it takes away must not be required."""
    if not isinstance(resource, Primitive) or not options or not resource.agent:
        return
    document = describe(call, resource.agent)
    if document is None:
        return
    removed = {name for name, value in options.items() if not value}
    complete = {one.name: "-" for one in document.parameters if one.name not in removed}
    check_options(call, document, {**complete, **options})


def unknown_options(document: AgentDocument, named: Collection[str]) -> list[Finding]:
    """What the agent does not have, each with all that it has."""
    has = {one.name for one in document.parameters}
    allowed = ", ".join(f"'{name}'" for name in sorted(has)) or "none"
    return [
        error(
            "unknown-parameter",
            f"{document.agent} {name}",
            f"invalid resource option '{name}', allowed options are: {allowed}",
            OVERRIDE,
        )
        for name in sorted(set(named) - has - set(FOR_EVERY_AGENT))
        if not (document.agent.startswith(STONITH) and name.startswith(OF_A_DEVICE))
    ]


def missing_options(document: AgentDocument, named: Collection[str]) -> list[Finding]:
    return [
        error(
            "missing-parameter",
            f"{document.agent} {one.name}",
            f"required resource option '{one.name}' is missing",
            OVERRIDE,
        )
        for one in document.parameters
        if one.required and not one.default and one.name not in named
        if not (document.agent.startswith(STONITH) and one.name in TOLD_LATER)
    ]


def advice(document: AgentDocument | None) -> tuple[Advice, ...] | None:
    """The operations that the agent advises; None where nobody has asked it, or the model's own table has it."""
    if document is None or document.agent in ADVISED or document.agent.startswith(STONITH):
        return None
    return advised(document)


def advised(document: AgentDocument) -> tuple[Advice, ...]:
    """What the agent itself says, as operations of a resource."""
    return tuple(_advised(action) for action in document.actions if action.name not in NOT_OPERATIONS)


def _advised(action: AgentAction) -> Advice:
    options = {}
    if action.depth.strip("0"):
        options["OCF_CHECK_LEVEL"] = action.depth
    if action.role:
        options["role"] = ROLES.get(action.role, action.role)
    interval = action.interval or ("60s" if action.name == "monitor" else "0s")
    return Advice(action.name, interval, action.timeout or None, options)
