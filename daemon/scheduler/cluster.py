"""One planning run's picture of the whole: options, hosts, units, and what has been found out so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from daemon.model.configuration import AttributeSet
from daemon.model.values import BadValue, parse_boolean, parse_duration_ms
from daemon.scheduler.rules import Facts, holds
from daemon.scheduler.units import Colocation, Host, Instance, Role, Unit
from daemon.scheduler.view import View


def merged(sets: tuple[AttributeSet, ...], facts: Facts, first: str = "") -> dict[str, str]:
    """The name/value pairs that count: sets whose rule holds, by falling score, the first definition wins.

    `first` names a set that comes before all others (cluster-options' `cib-bootstrap-options`).
    """

    def order(entry: tuple[int, AttributeSet]) -> tuple[bool, int, int]:
        position, attributes = entry
        try:
            score = int(attributes.score or 0)
        except ValueError:
            score = 1_000_000 if attributes.score in {"INFINITY", "+INFINITY"} else 0
        return (attributes.id != first, -score, position)

    values: dict[str, str] = {}
    for _, attributes in sorted(enumerate(sets), key=order):
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
    """A count; anything that is none counts as 0, as Pacemaker does."""
    text = values.get(name)
    if text is None:
        return default
    try:
        return max(0, int(text))
    except ValueError:
        return 0


def span_ms(values: Mapping[str, str], name: str, default: int = 0) -> int:
    text = values.get(name)
    if text is None:
        return default
    try:
        return parse_duration_ms(text)
    except BadValue:
        return default


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
    values: dict[str, str]

    @classmethod
    def of(cls, values: dict[str, str]) -> Options:
        return cls(
            fencing=truth(values, "stonith-enabled", True),
            symmetric=truth(values, "symmetric-cluster", True),
            maintenance=truth(values, "maintenance-mode", False),
            stop_all=truth(values, "stop-all-resources", False),
            stop_orphans=truth(values, "stop-orphan-resources", True),
            no_quorum=values.get("no-quorum-policy", "stop"),
            probe=truth(values, "enable-startup-probes", True),
            start_failure_is_fatal=truth(values, "start-failure-is-fatal", True),
            placement=values.get("placement-strategy", "default"),
            startup_fencing=truth(values, "startup-fencing", True),
            concurrent_fencing=truth(values, "concurrent-fencing", True),
            health_strategy=values.get("node-health-strategy", "none"),
            shutdown_lock=truth(values, "shutdown-lock", False),
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
    have_fencing: bool = False
    """some fencing device is configured"""
    quorate: bool = True

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
