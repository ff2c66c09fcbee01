"""The timers of a cluster and the arithmetic that ties them together (LEASES.md, introduction).

All nodes of a cluster use the same ones.  Names that end in `_ms` are what an administrator writes; what the core
computes with is derived here, in nanoseconds, rounded up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

NS_PER_MS = 1_000_000

HEARTBEAT_MS_MIN = 5
"""Below this a timer of an ordinary kernel is late by as much as it lasts."""
DRIFT_MIN = 0.01
DRIFT_MAX = 1.0
RESTART_MS_MAX = 60_000
"""a host that dies in a restart is dark for so long"""
HOLD_DOWN_MS_MAX = 600_000
SLACK_MS_MAX = 500
"""a lease is no longer by more than this, whatever a node asks for"""


@dataclass(frozen=True)
class Timers:
    """The defaults are the profile `default`."""

    heartbeat_ms: int = 50
    """how often a node is heard, and a leader's rounds go out"""
    leadership_lease_ms: int = 150
    """LL: how long a leader leads after the stamp of its newest round that a majority answered (rule 6)"""
    lease_ms: int = 350
    """how long a node's kernel accepts after the stamp of its newest heartbeat that was granted (rule 13)"""
    drift: float = 0.2
    """δ, with 1+δ = (1+ρ)/(1−ρ): how far two clocks may run apart (chrony may slew by 8%)"""
    margin_ms: int = 5
    """spread of one packet's copies over the hosts, added before a node counts as lost (rule 16)"""
    election_step_ms: int = 20
    """the live follower of the lowest rank stands first, each next one this much later"""
    election_ms: int = 40
    """what a pre-vote and a vote take, fsync included; a candidate gives up after it"""
    commit_ms: int = 20
    """what the first commit of a new leader takes, fsync included"""
    commit_bound_ms: int = 1000
    """a leader whose entry is not committed after this abdicates (rule 9: slow or full disk)"""
    restart_ms: int = 10_000
    """how long the kernel may go on serving while the daemon starts again; 0: it may not"""
    hold_down_ms: int = 60_000
    """a node that is lost again and again is held down for longer each time, for so long at most; 0: never"""
    absence_ms: int = 60_000
    """a voter that is lost for so long gives its vote to a learner, where there is one"""

    @cached_property
    def heartbeat_ns(self) -> int:
        return self.heartbeat_ms * NS_PER_MS

    @cached_property
    def leadership_lease_ns(self) -> int:
        return self.leadership_lease_ms * NS_PER_MS

    @cached_property
    def lease_ns(self) -> int:
        return self.lease_ms * NS_PER_MS

    @cached_property
    def promise_ns(self) -> int:
        """P = LL·(1+δ): how long a voter stays with a leader that it has just heard (rule 2)."""
        return math.ceil(self.leadership_lease_ns * (1 + self.drift))

    @cached_property
    def loss_after_ns(self) -> int:
        """lease·(1+δ) and the margin: after this no lease of the last grant can still be running (rule 16)."""
        return math.ceil(self.lease_ns * (1 + self.drift)) + self.margin_ms * NS_PER_MS

    def slack_over_after_ns(self, slack_ms: int) -> int:
        """How much later a node is lost whose lease is so much longer."""
        return math.ceil(slack_ms * NS_PER_MS * (1 + self.drift))

    def restart_over_after_ns(self, duration_ms: int) -> int:
        """After this no restart lease of that length can be running any more, whatever the two clocks do."""
        return math.ceil(duration_ms * NS_PER_MS * (1 + self.drift)) + self.margin_ms * NS_PER_MS

    @cached_property
    def silent_after_ns(self) -> int:
        """A peer unheard for three heartbeats and a little is not counted on."""
        return 3 * self.heartbeat_ns + self.heartbeat_ns // 2

    @cached_property
    def election_step_ns(self) -> int:
        return self.election_step_ms * NS_PER_MS

    @cached_property
    def election_ns(self) -> int:
        return self.election_ms * NS_PER_MS

    @cached_property
    def commit_bound_ns(self) -> int:
        return self.commit_bound_ms * NS_PER_MS

    @cached_property
    def absence_ns(self) -> int:
        return self.absence_ms * NS_PER_MS

    @cached_property
    def terms(self) -> tuple[int, int, int, int]:
        """What two nodes must agree on before one believes the other: LL, lease, δ in thousandths, margin.

        Every wait of the rules is counted with the own timers, and stands for leases that were taken with another's.
        """
        return self.leadership_lease_ms, self.lease_ms, round(self.drift * 1000), self.margin_ms

    @property
    def lease_least_ms(self) -> int:
        """The shortest lease that outlives a change of leader: P + 2·heartbeat + election + commit."""
        promise_ms = math.ceil(self.promise_ns / NS_PER_MS)
        return promise_ms + 2 * self.heartbeat_ms + self.election_ms + self.commit_ms

    def findings(self) -> list[str]:
        """Everything that is wrong with these timers, a sentence each with its remedy; empty if they are sound."""
        found = [
            f"{name} = {getattr(self, name)}: must be at least {least}"
            for name, least in _LEAST_MS.items()
            if getattr(self, name) < least
        ]
        if not DRIFT_MIN <= self.drift <= DRIFT_MAX:
            found.append(f"drift = {self.drift}: must be between {DRIFT_MIN} and {DRIFT_MAX}; 0.2 suits every host")
        if found:
            return found
        if self.leadership_lease_ms < 2 * self.heartbeat_ms:
            found.append(
                f"leadership_lease_ms = {self.leadership_lease_ms}: must be at least two heartbeats"
                f" ({2 * self.heartbeat_ms} ms), or one lost round ends the leadership;"
                f" raise it or lower heartbeat_ms"
            )
        if self.lease_ms < self.lease_least_ms:
            found.append(
                f"lease_ms = {self.lease_ms}: must be at least {self.lease_least_ms}"
                f" (leadership_lease_ms·(1+drift) + 2·heartbeat_ms + election_ms + commit_ms), or healthy hosts go"
                f" dark when the leader fails; raise lease_ms or lower leadership_lease_ms"
            )
        if self.commit_bound_ms < self.lease_ms:
            found.append(
                f"commit_bound_ms = {self.commit_bound_ms}: must be at least lease_ms ({self.lease_ms}), or a busy"
                f" disk deposes every leader; raise it"
            )
        found += [
            f"{name} = {value}: must be between 0 and {most}"
            for name, value, most in (
                ("restart_ms", self.restart_ms, RESTART_MS_MAX),
                ("hold_down_ms", self.hold_down_ms, HOLD_DOWN_MS_MAX),
            )
            if not 0 <= value <= most
        ]
        return found


def over_after_ns(terms: tuple[int, int, int, int]) -> int:
    """How long after the last word of a voter that counts by these `Timers.terms` anything may run that hangs on it.

    P, for the former leader may lead and grant for so long; then a lease by the slower clock, and the margin.
    """
    leadership_lease_ms, lease_ms, drift_thousandths, margin_ms = terms
    lasting_ms = (leadership_lease_ms + lease_ms) * (1000 + drift_thousandths) / 1000
    return math.ceil(lasting_ms * NS_PER_MS) + margin_ms * NS_PER_MS


_LEAST_MS = {
    "heartbeat_ms": HEARTBEAT_MS_MIN,
    "leadership_lease_ms": 1,
    "lease_ms": 1,
    "margin_ms": 0,
    "election_step_ms": 1,
    "election_ms": 1,
    "commit_ms": 1,
    "commit_bound_ms": 1,
    "absence_ms": 1,
}

PROFILES = {
    "default": Timers(),
    "fast": Timers(
        heartbeat_ms=20,
        leadership_lease_ms=50,
        lease_ms=130,
        margin_ms=2,
        election_step_ms=10,
        election_ms=20,
        commit_ms=10,
        commit_bound_ms=500,
    ),
}
