"""Names of resource agents, and the operations that a resource gets when the administrator names none.

pcs asks the agent for its meta-data; this package reads no files, so it carries what the widespread agents advise
(resource-agents 4.12 and pacemaker 2.1.5), and takes other advice as an argument from whoever has run the agent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from daemon.model.findings import Refused, error

IPADDR2 = "ocf:heartbeat:IPaddr2"

STANDARDS = ("ocf", "systemd", "service", "lsb", "stonith", "nagios", "upstart", "heartbeat")


@dataclass(frozen=True, slots=True)
class AgentName:
    standard: str
    provider: str
    type: str

    def __str__(self) -> str:
        return ":".join(part for part in (self.standard, self.provider, self.type) if part)


@dataclass(frozen=True, slots=True)
class Advice:
    """An operation as an agent advises it in its meta-data; times as written."""

    name: str
    interval: str
    timeout: str | None = None
    options: dict[str, str] = field(default_factory=dict)


def _advice(text: str) -> tuple[Advice, ...]:
    """From `monitor 10s 20s; monitor 11s 20s role=Promoted` (name, interval, timeout, options)."""
    made = []
    for part in text.split(";"):
        name, interval, timeout, *options = part.split()
        pairs = dict(option.split("=", 1) for option in options)
        made.append(Advice(name, interval, None if timeout == "-" else timeout, pairs))
    return tuple(made)


WITHOUT_ADVICE = (Advice("monitor", "60s"),)
"""for an agent that nobody knows"""

_ADVISED = {
    IPADDR2: "monitor 10s 20s; start 0s 20s; stop 0s 20s",
    "ocf:heartbeat:IPaddr": "monitor 5s 20s; start 0s 20s; stop 0s 20s",
    "ocf:heartbeat:IPsrcaddr": "monitor 10s 20s; start 0s 20s; stop 0s 20s",
    "ocf:heartbeat:apache": "monitor 10s 20s; start 0s 40s; stop 0s 60s",
    "ocf:heartbeat:nginx": "monitor 10s 30s; monitor 30s 30s OCF_CHECK_LEVEL=10; "
    "monitor 60s 45s OCF_CHECK_LEVEL=20; monitor 61 60s OCF_CHECK_LEVEL=30; reload 0s 40s; start 0s 40s; "
    "stop 0s 60s",
    "ocf:heartbeat:Dummy": "migrate_from 0s 20s; migrate_to 0s 20s; monitor 10s 20s; reload 0s 20s; start 0s 20s; "
    "stop 0s 20s",
    "ocf:heartbeat:Filesystem": "monitor 20s 40s; start 0s 60s; stop 0s 60s",
    "ocf:heartbeat:LVM-activate": "monitor 30s 90s; start 0s 90s; stop 0s 90s",
    "ocf:heartbeat:Route": "monitor 10s 20s; reload 0s 20s; start 0s 20s; stop 0s 20s",
    "ocf:heartbeat:MailTo": "monitor 10s 10s; start 0s 10s; stop 0s 10s",
    "ocf:heartbeat:anything": "monitor 10s 20s; start 0s 20s; stop 0s 20s",
    "ocf:heartbeat:Delay": "monitor 10s 30s; start 0s 30s; stop 0s 30s",
    "ocf:heartbeat:docker": "monitor 30s 30s; start 0s 90s; stop 0s 90s",
    "ocf:heartbeat:podman": "monitor 30s 30s; start 0s 90s; stop 0s 90s",
    "ocf:heartbeat:ethmonitor": "monitor 10s 60s; start 0s 60s; stop 0s 20s",
    "ocf:heartbeat:exportfs": "monitor 10s 20s; start 0s 40s; stop 0s 120s",
    "ocf:heartbeat:nfsserver": "monitor 10s 20s; start 0s 40s; stop 0s 20s",
    "ocf:heartbeat:named": "methods 0s 5s; monitor 30s 30s; reload 0s 60s; start 0s 60s; stop 0s 60s",
    "ocf:heartbeat:portblock": "monitor 10s 10s; start 0s 20s; stop 0s 20s",
    "ocf:heartbeat:postfix": "monitor 60s 20s; reload 0s 20s; start 0s 20s; stop 0s 20s",
    "ocf:heartbeat:squid": "monitor 60s -",
    "ocf:heartbeat:symlink": "monitor 60s 15s; start 0s 15s; stop 0s 15s",
    "ocf:heartbeat:tomcat": "monitor 10s 30s; start 0s 60s; stop 0s 120s",
    "ocf:heartbeat:varnish": "monitor 10s 20s; start 0s 20s; stop 0s 20s",
    "ocf:heartbeat:mysql": "demote 0s 120s; monitor 20s 30s; monitor 10s 30s role=Promoted; "
    "monitor 30s 30s role=Unpromoted; notify 0s 90s; promote 0s 120s; start 0s 120s; stop 0s 120s",
    "ocf:heartbeat:pgsql": "demote 0s 120s; methods 0s 5s; monitor 30s 30s; monitor 29s 30s role=Promoted; "
    "notify 0s 90s; promote 0s 120s; start 0s 120s; stop 0s 120s",
    "ocf:heartbeat:redis": "demote 0s 120s; monitor 45s 60s; monitor 20s 60s role=Promoted; "
    "monitor 60s 60s role=Unpromoted; notify 0s 90s; promote 0s 120s; start 0s 120s; stop 0s 120s",
    "ocf:pacemaker:Dummy": "migrate_from 0s 20s; migrate_to 0s 20s; monitor 10s 20s; reload 0s 20s; "
    "reload-agent 0s 20s; start 0s 20s; stop 0s 20s",
    "ocf:pacemaker:Stateful": "demote 0s 10s; monitor 10s 20s role=Promoted; monitor 11s 20s role=Unpromoted; "
    "notify 0s 5s; promote 0s 10s; reload-agent 0s 10s; start 0s 20s; stop 0s 20s",
    "ocf:pacemaker:ping": "monitor 10s 60s; reload-agent 0s 20s; start 0s 60s; stop 0s 20s",
    "ocf:vipcast:webserver": "monitor 10s 20s; start 0s 20s; stop 0s 20s",
}

ADVISED = {agent: _advice(text) for agent, text in _ADVISED.items()}


def advised_operations(agent: AgentName) -> tuple[Advice, ...]:
    return ADVISED.get(str(agent), WITHOUT_ADVICE)


def resolve_agent(specification: str, installed: Iterable[str] = ()) -> AgentName:
    """`ocf:heartbeat:IPaddr2`, `systemd:nginx`, or a short name (`IPaddr2`) where only one agent has it.

    Short names are looked up among the agents that are known here and in `installed` (full names).
    """
    parts = specification.split(":")
    if len(parts) == 1:
        known = sorted({*ADVISED, *installed})
        matching = [name for name in known if name.rpartition(":")[2].lower() == specification.lower()]
        if len(matching) == 1 and specification:
            return resolve_agent(matching[0])
        if matching:
            names = " or ".join(f"'{name}'" for name in matching)
            raise Refused(
                error(
                    "ambiguous-agent",
                    specification,
                    f"multiple agents match '{specification}'",
                    f"please specify full name: {names}",
                )
            )
        raise Refused(
            error(
                "unknown-agent",
                specification,
                f"unable to find agent '{specification}'",
                "try specifying its full name, such as ocf:heartbeat:IPaddr2 or systemd:nginx",
            )
        )
    standard, provider, agent_type = parts[0], "", ":".join(parts[1:])
    if standard == "ocf":
        provider, _, agent_type = agent_type.partition(":")
    well_formed = standard in STANDARDS and agent_type and (provider or standard != "ocf")
    if not well_formed or (standard == "ocf" and ":" in agent_type) or any(c.isspace() for c in specification):
        raise Refused(
            error(
                "bad-agent",
                specification,
                f"invalid resource agent name '{specification}'",
                "use standard:provider:type for ocf and standard:type for others; "
                f"standards are {', '.join(STANDARDS)}",
            )
        )
    return AgentName(standard, provider, agent_type)
