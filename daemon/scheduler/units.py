"""The working objects of one planning run: hosts, and the tree of everything that can be placed.

A *unit* is a primitive's instance, a group or a clone.  Clones hold one child for each instance, so that a cloned
primitive `web` becomes the units `web:0`, `web:1` …; `Instance.name` is the name that the world uses (the plain
`web` for every instance of an anonymous clone).  Units live for one call of `plan` and are thrown away.

Score tables map a host's name to a score.  A host that is missing from a table is one where the unit may not run
because nothing allowed it (an asymmetric cluster); a host that is banned has the score -INFINITY.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field

from daemon.model.configuration import Clone, Group, Primitive
from daemon.scheduler.view import NodeView


class Role(enum.IntEnum):
    """What an instance is, or shall be, on a host.  The order matters: each includes those before it."""

    UNKNOWN = 0
    STOPPED = 1
    STARTED = 2
    UNPROMOTED = 3
    PROMOTED = 4


@dataclass(eq=False)
class Host:
    """A node as this planning run sees it."""

    name: str
    view: NodeView
    attributes: dict[str, str]
    standby: bool = False
    maintenance: bool = False
    online: bool = False
    unclean: bool = False
    shutdown: bool = False
    pending: bool = False
    discovery: bool = True
    load: int = 0
    """instances that this run has assigned here: the tie-breaker that spreads resources"""

    @property
    def available(self) -> bool:
        """May run resources at all."""
        return self.online and not (self.shutdown or self.unclean or self.standby or self.maintenance)


@dataclass(eq=False)
class Colocation:
    """`dependent` near (score > 0) or away from (score < 0) `primary`."""

    id: str
    dependent: Unit
    primary: Unit
    score: int
    dependent_role: Role = Role.UNKNOWN
    primary_role: Role = Role.UNKNOWN
    node_attribute: str = "#uname"
    influence: bool | None = None
    """None: as the dependent's `critical` says"""
    explicit: bool = True
    """configured, not implied by a group's membership"""

    @property
    def mandatory(self) -> bool:
        return abs(self.score) >= 1_000_000


@dataclass(eq=False)
class Unit:
    """What instances, groups and clones have in common."""

    id: str
    """unique in the run: `web`, `web:0`, `grp:1`"""
    meta: dict[str, str]
    parent: GroupUnit | CloneUnit | None = None
    explicit_meta: dict[str, str] = field(default_factory=dict)
    """what it or its parents say themselves, without resource defaults"""
    priority: int = 0
    allowed: dict[str, int] = field(default_factory=dict)
    this_with: list[Colocation] = field(default_factory=list)
    with_this: list[Colocation] = field(default_factory=list)
    provisional: bool = True
    """not assigned yet"""
    assigning: bool = False
    merging: bool = False
    """its scores are being collected: breaks circles"""
    managed: bool = True
    orphan: bool = False
    stickiness: int = 0
    running_on: list[str] = field(default_factory=list)
    """hosts, in the order in which they were found; of a collective, those of all that is in it"""
    homes: list[str] = field(default_factory=list)
    """where it was stopped in order to be started again (`View.homes`); of a collective, those of all that is in it"""
    requires: str = "fencing"
    """what must be given before a start: nothing, quorum, fencing, unfencing"""
    known_on: set[str] = field(default_factory=set)
    """hosts where its state is known (probed)"""
    exclusive_discovery: bool = False
    discovery: dict[str, str] = field(default_factory=dict)
    """host → resource-discovery of a location: always, never, exclusive"""
    next_role: Role = Role.UNKNOWN
    rating: int = 0
    """of a promotable clone's instance: who is promoted first"""
    rated: tuple[tuple[str, int], ...] = ()
    """(origin, part): what its rating is made of"""
    origins: dict[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    """host → (origin, part) in the order in which they came: added up, with saturation, they are its score"""

    @property
    def children(self) -> list[Instance] | list[Instance | GroupUnit]:
        return []

    @property
    def rank(self) -> int:
        """Primitives, then groups, then clones: how far up the tree."""
        return 1

    def instances(self) -> Iterator[Instance]:
        for child in self.children:
            yield from child.instances()

    @property
    def top(self) -> Unit:
        return self if self.parent is None else self.parent.top

    @property
    def critical(self) -> bool:
        return self.meta.get("critical", "true").lower() not in {"false", "off", "no", "n", "0"}


@dataclass(eq=False)
class Instance(Unit):
    """One instance of a primitive: the only thing that really runs."""

    config: Primitive | None = None
    """None for an orphan: it runs, but is configured no more"""
    agent: str = ""
    known_as: str = ""
    """its name in the results of operations"""
    name: str = ""
    """as users and results name it"""
    role: Role = Role.UNKNOWN
    dangling: list[str] = field(default_factory=list)
    abandoned: list[str] = field(default_factory=list)
    """hosts that a migration left behind, to be stopped there"""
    migrating: tuple[str, str] | None = None
    """source and target of a migration that has begun and not ended"""
    migratable: bool = False
    """may be moved live (allow-migrate)"""
    assigned: str | None = None
    tied: dict[str, int] = field(default_factory=dict)
    """host → what it had been given when this one chose, where several hosts were equally good"""
    failed: bool = False
    stop_if_failed: bool = False
    """the failure asks for a stop before the next start"""
    blocked: bool = False
    start_pending: bool = False
    multiple_active: str = "stop_start"
    migration_threshold: int = 1_000_000
    failure_timeout_ms: int = 0
    recover_on: set[str] = field(default_factory=set)
    """hosts where an operation failed in a way that needs a stop there"""
    demote_on: set[str] = field(default_factory=set)
    ignore_failure: bool = False
    clear_failcount_on: set[str] = field(default_factory=set)
    container: Instance | None = None
    """what has to run for this to run (meta attribute `container`)"""
    fillers: list[Instance] = field(default_factory=list)
    """those whose container this is: their failures count as its own"""
    shadow_of: CloneUnit | None = None
    """a plain run of an address whose clone is slot-driven now: it may only be found and stopped"""

    @property
    def rank(self) -> int:
        return 1

    def instances(self) -> Iterator[Instance]:
        yield self

    @property
    def current(self) -> str | None:
        return self.running_on[0] if self.running_on else None

    @property
    def place(self) -> str | None:
        """The host that it would leave if it were given another one."""
        return next(iter(places(self)), None)


@dataclass(eq=False)
class GroupUnit(Unit):
    """Members that start in order, together on one host."""

    config: Group | None = None
    members: list[Instance] = field(default_factory=list)
    ordered: bool = True
    colocated: bool = True

    @property
    def children(self) -> list[Instance]:
        return self.members

    @property
    def rank(self) -> int:
        return 2

    @property
    def assigned(self) -> str | None:
        hosts = {member.assigned for member in self.members} - {None}
        return hosts.pop() if len(hosts) == 1 else None


@dataclass(eq=False)
class CloneUnit(Unit):
    """Instances of one primitive or group; `slots` marks an address whose instances the datapath serves."""

    config: Clone | None = None
    copies: list[Instance | GroupUnit] = field(default_factory=list)
    unique: bool = False
    promotable: bool = False
    interleave: bool = False
    ordered: bool = False
    clone_max: int = 1
    clone_node_max: int = 1
    clone_min: int = 0
    promoted_max: int = 1
    promoted_node_max: int = 1
    promotion_added: bool = False
    without_ticket: bool = False
    """nothing of it may be promoted"""
    address: str | None = None
    """the primitive's id if this is a slot-driven address: its copies are slots, not processes"""
    counts: dict[str, int] = field(default_factory=dict)
    """instances that were assigned to each host so far"""
    slot_owners: dict[int, str] = field(default_factory=dict)
    """planned owners, for a slot-driven address"""
    slot_hosts: list[str] = field(default_factory=list)
    """hosts that shall own slots, and those that would if they were not drained: the address is to be up there"""
    idle_hosts: list[str] = field(default_factory=list)
    """the latter"""

    @property
    def children(self) -> list[Instance | GroupUnit]:
        return self.copies

    @property
    def rank(self) -> int:
        return 3


def hosts_running(unit: Unit) -> list[str]:
    """Where any instance of the unit runs now, each host once, first where it would leave from."""
    return unit.running_on


def places(unit: Unit) -> list[str]:
    """Where it runs, or ran until it was stopped in order to be started again."""
    return unit.running_on or unit.homes


def first_assigned(unit: Unit) -> str | None:
    """The host of a unit that lives on one host: an instance's, or a group's first assigned member's."""
    if isinstance(unit, Instance | GroupUnit):
        return unit.assigned
    return None
