"""One planning run's picture of the whole: options, hosts, units, and what has been found out so far."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from daemon.model.configuration import INFINITY, AttributeSet
from daemon.model.precedence import by_precedence
from daemon.model.values import BadValue, parse_boolean, parse_duration_ms
from daemon.scheduler.failcounts import FailCounts
from daemon.scheduler.rules import Facts, holds
from daemon.scheduler.units import Colocation, Host, Instance, Role, Unit
from daemon.scheduler.view import View


def merged(sets: tuple[AttributeSet, ...], facts: Facts) -> dict[str, str]:
    """The name/value pairs that count, of the sets whose rule holds."""
    if not sets:
        return {}
    if len(sets) == 1 and sets[0].rule is None:
        return dict(sets[0].values)
    values: dict[str, str] = {}
    for attributes in by_precedence(sets):
        if attributes.rule is None or holds(attributes.rule, facts):
            for name, value in attributes.values.items():
                values.setdefault(name, value)
    return values


def truth(values: Mapping[str, str], name: str, default: bool) -> bool:
    """A boolean option; what is none counts as the default (it was reported when the edit was made)."""
    text = values.get(name)
    if text is None:
        return default
    try:
        return parse_boolean(text)
    except BadValue:
        return default


def whole(values: Mapping[str, str], name: str, default: int) -> int:
    """A count; what is none counts as the number that it begins with, else as 0, as in Pacemaker."""
    text = values.get(name)
    if text is None:
        return default
    begins = _BEGINNING.match(text)
    return min(int(begins[1]), INFINITY) if begins else 0


_BEGINNING = re.compile(r"\s*\+?([0-9]{1,18})")


def span_ms(values: Mapping[str, str], name: str, default: int = 0) -> int:
    text = values.get(name)
    if text is None:
        return default
    try:
        return parse_duration_ms(text)
    except BadValue:
        return default


def _policy(text: str) -> str:
    """no-quorum-policy; what is none counts as stop, and fence is the newer word for suicide."""
    word = text.strip().lower()
    if word == "fence":
        return "suicide"
    return word if word in {"ignore", "freeze", "demote", "suicide"} else "stop"


@dataclass(frozen=True)
class Options:
    """The cluster properties that the scheduler knows, under their meaning."""

    fencing: bool
    symmetric: bool
    maintenance: bool
    stop_all: bool
    stop_orphans: bool
    no_quorum: str
    """what nodes without quorum do: stop, freeze, ignore, demote, suicide"""
    probe: bool
    start_failure_is_fatal: bool
    placement: str
    startup_fencing: bool
    concurrent_fencing: bool
    health_strategy: str
    shutdown_lock: bool
    batch_limit: int
    """actions that may be under way in the cluster at the same time; 0: as many as there are"""
    node_action_limit: int
    """the same, on each node"""
    values: dict[str, str]

    @classmethod
    def of(cls, values: dict[str, str]) -> Options:
        return cls(
            fencing=truth(values, "stonith-enabled", True),
            symmetric=truth(values, "symmetric-cluster", True),
            maintenance=truth(values, "maintenance-mode", False),
            stop_all=truth(values, "stop-all-resources", False),
            stop_orphans=truth(values, "stop-orphan-resources", True),
            no_quorum=_policy(values.get("no-quorum-policy", "stop")),
            probe=truth(values, "enable-startup-probes", True),
            start_failure_is_fatal=truth(values, "start-failure-is-fatal", True),
            placement=values.get("placement-strategy", "default"),
            startup_fencing=truth(values, "startup-fencing", True),
            concurrent_fencing=truth(values, "concurrent-fencing", True),
            health_strategy=values.get("node-health-strategy", "none"),
            shutdown_lock=truth(values, "shutdown-lock", False),
            batch_limit=whole(values, "batch-limit", 0),
            node_action_limit=whole(values, "node-action-limit", 0),
            values=values,
        )


@dataclass(frozen=True)
class Preference:
    """A location that has been worked out: what it adds to a unit's score on each host that it speaks of."""

    id: str
    unit: Unit
    scores: dict[str, int]
    role: Role = Role.UNKNOWN
    discovery: str = "always"


@dataclass(eq=False)
class Cluster:
    view: View
    options: Options
    hosts: dict[str, Host]
    """in order of their names"""
    units: list[Unit] = field(default_factory=list)
    """top-level units, by falling priority, then as configured"""
    by_id: dict[str, Unit] = field(default_factory=dict)
    colocations: list[Colocation] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    fence: dict[str, str] = field(default_factory=dict)
    """host → why it has to be fenced"""
    preferences: list[Preference] = field(default_factory=list)
    rechecks_ms: list[int] = field(default_factory=list)
    """when time alone will change the plan, apart from failures that expire"""
    idle: frozenset[str] = frozenset()
    """instances of clones that were given a place for which there is no partner to go with"""
    have_fencing: bool = False
    """some fencing device is configured"""
    quorate: bool = True
    failcounts: FailCounts = field(init=False)

    def __post_init__(self) -> None:
        self.failcounts = FailCounts(self.view.failures, self.view.last_failure_ms)

    def instances(self) -> Iterator[Instance]:
        for unit in self.units:
            yield from unit.instances()

    def available(self, host: str) -> bool:
        return self.hosts[host].available

    def may_fence(self, host: Host) -> bool:
        """Fencing is on, and this partition has the right to do it."""
        if not self.options.fencing or not self.have_fencing:
            return False
        if self.quorate or self.options.no_quorum == "ignore":
            return True
        # without quorum only what this partition still counts as its own may be fenced
        return host.online
