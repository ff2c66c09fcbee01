"""The cluster properties that say what a partition without quorum does, read from a configuration."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from daemon.model.configuration import Configuration
from daemon.model.precedence import merged
from daemon.model.values import BadValue, parse_boolean


class NoQuorum(enum.StrEnum):
    """`no-quorum-policy` (pacemaker-controld(7)).  `demote`, which nothing here tells from it, counts as `stop`."""

    STOP = "stop"
    """leases end; what else runs is stopped"""
    FREEZE = "freeze"
    """leases end; what else runs goes on, and nothing new starts"""
    IGNORE = "ignore"
    """serve with those who are heard (`daemon.state.overlay`)"""
    SUICIDE = "suicide"
    """as `stop`, and then the daemon ends itself"""


@dataclass(frozen=True, slots=True)
class QuorumProperties:
    policy: NoQuorum = NoQuorum.STOP
    wait_for_all: bool = True
    """`ignore` means nothing on a host that has not heard all others since it booted (votequorum(5))"""
    tie_breaker: str = ""
    """a voter with one extra vote while the number of voters is even; "": nobody"""
    fencing: bool = False
    """of two voters one may count the vote of the other once that is fenced (stonith-enabled; unset: no)"""

    @classmethod
    def of(cls, configuration: Configuration) -> QuorumProperties:
        values = merged(configuration.properties)
        said = values.get("no-quorum-policy", "")
        return cls(
            policy=NoQuorum(said) if said in set(NoQuorum) else NoQuorum.STOP,
            wait_for_all=_truth(values.get("wait-for-all", ""), default=True),
            tie_breaker=values.get("tie-breaker", ""),
            fencing=_truth(values.get("stonith-enabled", ""), default=False),
        )


def _truth(text: str, *, default: bool) -> bool:
    try:
        return parse_boolean(text) if text else default
    except BadValue:
        return default
