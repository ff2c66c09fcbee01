"""What the scheduler sees and what it answers.  `plan(view) -> Plan` is a pure function (`daemon.scheduler.plan`).

A `View` comes from the replicated state on a living cluster (`daemon.state`), or from the status section of a CIB
offline (`daemon.scheduler.cibstatus`); the scheduler cannot tell which.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from daemon.model.configuration import Configuration
from daemon.scheduler.drained import Drained


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node's standing.  Standby and the like are read from configuration and `transient` by the scheduler."""

    name: str
    online: bool
    pending: bool = False
    """seen, but not ready to run anything"""
    unclean: bool = False
    """may still be running what it ran: nothing of it moves before it is fenced or known lost"""
    shutdown: bool = False
    transient: dict[str, str] = field(default_factory=dict)
    """transient node attributes (status section)"""
    weight: int = 1
    since_ms: int = 0
    """since when it takes part without a break (since 1970); 0: always"""


@dataclass(frozen=True, slots=True)
class OperationView:
    """The last result of one operation of one instance on one node; `serial` orders them within a node."""

    node: str
    instance: str
    """`web`; `vip:0` for a unique clone's instance; `grp:1` never: it is the member's, `member:1`"""
    operation: str
    interval_ms: int
    exit_code: int
    status: str
    """done, timeout, error, not-installed, pending, cancelled …"""
    expected: int
    serial: int
    stamp_ms: int
    definition: str = ""
    reason: str = ""
    details: dict[str, str] = field(default_factory=dict)
    """what a CIB has beyond this (migrate_source, on_node, exit-reason …)"""


@dataclass(frozen=True, slots=True)
class TicketView:
    """A ticket of a cluster of several sites; one that nobody has heard of is not granted."""

    granted: bool = False
    standby: bool = False
    """to be given up soon: nothing new may begin under it"""


@dataclass(frozen=True, slots=True)
class SlotsView:
    """Where the slots of one unique IPaddr2 clone are now: slot → owner (its successor once a move can no longer be
    taken back)."""

    address: str
    owners: dict[int, str]
    holders: dict[int, str] = field(default_factory=dict)
    """slot → who may still be serving it (differs from the owner while it moves); empty: as `owners`"""

    def held_by(self, node: str) -> tuple[int, ...]:
        """Slots that a node may still be serving."""
        return tuple(slot for slot, holder in sorted((self.holders or self.owners).items()) if holder == node)


@dataclass(frozen=True, slots=True)
class View:
    configuration: Configuration
    nodes: dict[str, NodeView]
    operations: tuple[OperationView, ...]
    failures: dict[tuple[str, str], int] = field(default_factory=dict)
    """(instance, node) → fail count since the last cleanup, INFINITY at most"""
    last_failure_ms: dict[tuple[str, str], int] = field(default_factory=dict)
    slots: dict[str, SlotsView] = field(default_factory=dict)
    """by primitive id, for addresses that the datapath serves; their instances have no operations"""
    ready: dict[str, frozenset[str]] = field(default_factory=dict)
    """address → nodes on which it is up (slots may be closed there): what an order after it waits for"""
    quorate: bool = True
    now_ms: int = 0
    defaults: dict[str, str] = field(default_factory=dict)
    """cluster properties whose default differs from Pacemaker's: a living vipcast cluster proves by leases that a
    lost node serves nothing, so there `stonith-enabled` is false unless it is set"""
    policy: str | None = None
    """no-quorum-policy in force, where it is not the configured one"""
    drains: frozenset[Drained] = frozenset()
    """what an administrator has drained"""
    tickets: dict[str, TicketView] | None = None
    """None: nobody hands out tickets, and constraints on them have no effect"""
    locks: dict[str, tuple[str, int]] | None = None
    """primitive → (node that was shut down, when, since 1970): what waits for its node, under `shutdown-lock`; None:
    nobody remembers such locks, and the property has no effect"""
    homes: frozenset[tuple[str, str]] = frozenset()
    """(instance, node): stopped there in order to be started again, so it counts as running there when a place is
    chosen; a CIB knows no such thing, since Pacemaker ends a transition before it begins the next"""
    notes: tuple[str, ...] = ()
    """what was already found wrong with the configuration, for the plan's findings"""


BY_SLOTS = frozenset({"address-up", "address-release"})
"""Operations in a plan that nobody runs: the datapath does them by following the slots' state.

They stand in a plan so that what waits for them can say so: a start for the address to be up on its host
(`address-up`), a stop for the slots to have moved away (`address-release`).
"""


@dataclass(frozen=True, slots=True)
class Action:
    """One operation on one node.  Ready when none of `after` is in the plan any more (results remove actions)."""

    key: str
    """`web_start_0@a1`: unique in a plan, the same for the same action in the next plan"""
    node: str
    instance: str
    operation: str
    """start, stop, monitor (a probe), promote, demote, notify, migrate_to, migrate_from, fence"""
    interval_ms: int = 0
    after: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Recurring:
    """An operation that must be repeated on a node while the plan says so."""

    node: str
    instance: str
    operation: str
    interval_ms: int
    timeout_ms: int
    expected: int = 0


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an instance is where it is, or nowhere: scores by node, each with what it came from."""

    instance: str
    node: str | None
    summary: str
    scores: dict[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    """node → ((origin, score), …): origin is a constraint's id, `resource-stickiness`, `standby`, …"""
    totals: dict[str, int] = field(default_factory=dict)
    """node → its score: what `scores` add up to (0 where they name nothing); nodes that nothing allows are missing"""
    rejected: dict[str, str] = field(default_factory=dict)
    """node → why not"""
    role: str = ""
    """promoted or unpromoted, of what has roles"""
    promotion: tuple[tuple[str, int], ...] = ()
    """(origin, score), …: what speaks for, and against, its promotion where it is; -1 where nothing does"""


@dataclass(frozen=True, slots=True)
class Limits:
    """`batch-limit` and `node-action-limit` (pacemaker-controld(7)); 0: none."""

    cluster: int = 0
    node: int = 0

    def room(self) -> Callable[[Action], bool]:
        """Asked for one action after the other: whether there is room for it beside those before."""
        taken: Counter[str] = Counter()

        def has_room(action: Action) -> bool:
            if (self.cluster and taken.total() >= self.cluster) or (self.node and taken[action.node] >= self.node):
                return False
            taken[action.node] += 1
            return True

        return has_room


@dataclass(frozen=True, slots=True)
class Plan:
    placement: dict[str, tuple[str, ...]]
    """instance (plain id for primitives and anonymous clones, `id:N` for unique ones) → nodes where it shall run"""
    promoted: dict[str, tuple[str, ...]]
    slots: dict[str, dict[int, str]]
    """address → slot → node that shall own it"""
    actions: tuple[Action, ...]
    recurring: tuple[Recurring, ...]
    unready: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)
    """address → node that shall own slots → what is missing there before one may move to it: `address-up`, and
    instances that go with the address and do not run there yet"""
    recheck_ms: int | None = None
    """when (since 1970) time alone will change the plan, because failures expire; None: never"""
    findings: tuple[str, ...] = ()
    """what could not be planned and why, a sentence each"""
    idle: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """address → drained hosts on which it stays up, with all its slots closed"""
    limits: Limits = Limits()
    """how much may be under way at the same time"""
    why: Callable[[], tuple[Reason, ...]] = field(default=tuple, repr=False, compare=False)
    """finds the reasons: few plans are ever asked for theirs, and the same view gives the same ones later"""

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why each instance is where it is.  Takes as long as the plan itself, at each call."""
        return self.why()

    def ready(self) -> tuple[Action, ...]:
        """What waits for nothing any more, as much of it as may be under way, without what the datapath does.

        The same on every node, so the limits hold for all of them together: who is done makes room for the next.
        """
        keys = {action.key for action in self.actions}
        room = self.limits.room()
        return tuple(
            a for a in self.actions if a.operation not in BY_SLOTS and keys.isdisjoint(a.after) and room(a)
        )

    def runnable(self, node: str) -> tuple[Action, ...]:
        """Those of `node`."""
        return tuple(action for action in self.ready() if action.node == node)
