"""How the cluster is: `GET /v1/status`."""

from __future__ import annotations

from typing import Literal

import msgspec

from daemon.control.schema.words import SCHEMA, Role, SlotPhase


class NodeStatus(msgspec.Struct, frozen=True):
    """A host as the answering node sees it."""

    name: str
    online: bool
    """admitted, and not declared lost"""
    pending: bool = False
    """heard, but not yet admitted"""
    standby: bool = False
    maintenance: bool = False
    role: str = "unknown"
    """`leader`, `follower`, `candidate`, `learner`, `witness`, `joining` or `unknown`"""
    incarnation: int | None = None
    """of the admission that counts now"""
    last_heard_ms: int | None = None
    """milliseconds since its newest heartbeat reached the answering node; None: never, or it is that node"""
    lease_left_ms: int | None = None
    """milliseconds that its lease still runs; only the node itself knows it"""
    removing: bool = False
    """it was told to leave the cluster for good, and gives away what it has"""
    restarting: bool = False
    """its daemon starts again by intention; its kernel goes on serving what it holds"""
    losses: int = 0
    """how often it was lost lately; quiet forgives"""
    note: str = ""
    """why it is not as it should be: `held down for 8 s: lost 5 times in 40 s`"""


class LatenessStatus(msgspec.Struct, frozen=True):
    """How late the answering node's daemon is scheduled; leases hang on its being in time."""

    scheduling: str = ""
    """`SCHED_RR` or `SCHED_OTHER`; empty: not known"""
    trouble: str = ""
    """why it is not scheduled as it should be; empty: it is"""
    samples: int = 0
    """timers of the last five minutes"""
    p99_ms: float = 0.0
    """of the last five minutes: the upper bound of its bucket"""
    max_ms: float = 0.0
    """of the last five minutes"""
    histogram: dict[str, int] = {}
    """since the start: upper bound in milliseconds (`+Inf` for the last) → timers that were no later; cumulative"""
    sum_ms: float = 0.0
    """since the start"""


class InstanceStatus(msgspec.Struct, frozen=True):
    """One instance of a primitive on one node, or on none."""

    id: str
    """`web`; `VIP:0` for an instance of a unique clone; an anonymous clone has one `web` a node"""
    role: Role
    node: str | None = None
    failed: bool = False
    managed: bool = True
    slot: int | None = None
    """number of the slot that this instance is, for an address that several hosts share"""
    successor: str | None = None
    """node that the slot is moving to"""
    phase: SlotPhase | None = None
    """of the slot"""


class ResourceStatus(msgspec.Struct, frozen=True):
    """A resource and what is in it; only primitives have an agent and instances."""

    kind: Literal["primitive", "group", "clone"]
    id: str
    agent: str = ""
    """`ocf:heartbeat:IPaddr2`"""
    unique: bool = False
    """of a clone: its instances are told apart (globally-unique=true)"""
    promotable: bool = False
    managed: bool = True
    target_role: str = "Started"
    """`Stopped` when disabled"""
    orphan: bool = False
    """it runs, and is configured no more"""
    instances: tuple[InstanceStatus, ...] = ()
    members: tuple[ResourceStatus, ...] = ()


class SlotStatus(msgspec.Struct, frozen=True):
    slot: int
    holder: str | None
    """None: no host serves it"""
    phase: SlotPhase
    successor: str | None = None
    generation: int = 0
    """index of the log entry that made it so"""
    opened: bool = True
    """the holder has said that its kernel accepts"""
    flows_left: int | None = None
    """connections that the holder still serves while the slot moves, as it told lately; null: not known"""
    drain_left_ms: int | None = None
    """until the drain time-out breaks them; null: not known"""
    udp_left: int | None = None
    """conversations of UDP that stay with the holder while somebody speaks in them; null: not known"""


class DrainStatus(msgspec.Struct, frozen=True):
    """What an administrator has drained, until `undrain`."""

    node: str | None
    """null: an address, everywhere"""
    address: str | None = None
    """null: all addresses of the node"""
    slot: int | None = None
    """null: all slots"""
    since_ms: int = 0
    """milliseconds since 1970"""
    slots_left: int = 0
    """slots that have not left yet; 0: it is drained"""
    flows_left: int | None = None
    """connections that they still serve; null: not known (yet)"""
    drain_left_ms: int | None = None
    """until the last of their drain time-outs is over; null: not known (yet)"""
    udp_left: int | None = None
    """conversations of UDP that they still serve; null: not known (yet)"""


class AddressStatus(msgspec.Struct, frozen=True):
    """An address that several hosts serve together, and how its clients hash."""

    id: str
    """of the primitive, `VIP`"""
    ip: str
    prefixlen: int | None
    """None: as the interface has it, and the answering node has not looked"""
    interface: str
    """of the answering node; empty: not known there"""
    mac: str
    """the shared one; empty: not known there"""
    hash: str
    """`sourceip`, `sourceip-sourceport`, `sourceip-sourceport-destport`, `sourcenet`"""
    seed: int
    slots_total: int
    ready: tuple[str, ...] = ()
    """nodes on which the address is up; its slots may still be closed there"""
    slots: tuple[SlotStatus, ...] = ()
    order: str = "network"
    """how the key is read: `network`, or `clusterip`, as ipt_CLUSTERIP did"""
    port_rules: str = ""
    """`80:shared tcp/22:one:0 *:refused`; empty: all ports are shared"""


class FailedAction(msgspec.Struct, frozen=True):
    instance: str
    operation: str
    interval_ms: int
    node: str
    exit_code: int
    """OCF's: 0 ok, 1 error, 5 not installed, 7 not running …"""
    status: str
    """`done`, `timeout`, `error`, `not-installed`"""
    reason: str
    stamp_ms: int
    """wall clock of the leader that logged it, milliseconds since 1970"""
    fail_count: int = 0


class PendingAction(msgspec.Struct, frozen=True):
    """Something that the plan wants done and that is not done yet."""

    instance: str
    operation: str
    node: str
    running: bool
    """False: it waits for other actions"""


class LinkPeerStatus(msgspec.Struct, frozen=True):
    """How the answering node hears another one on one link."""

    name: str
    heard_ms: int | None = None
    """milliseconds since anything of it came over this link; null: never"""
    multicast_ms: int | None = None
    """since its probe came to the group, one a second"""
    unicast_ms: int | None = None
    """since its probe came to this node's address, one a second"""
    trouble: str = ""


class LinkStatus(msgspec.Struct, frozen=True):
    """One network that heartbeats take, as the answering node sees it."""

    interface: str
    group: str
    """multicast group and port"""
    trouble: str = ""
    """why it does not work; empty: it does"""
    counts: dict[str, int] = {}
    """datagrams sent, received, refused …"""
    peers: tuple[LinkPeerStatus, ...] = ()
    name: str = ""
    """as the log calls it: its interface, with the port behind it where several links share the interface"""


class CounterStatus(msgspec.Struct, frozen=True):
    address: str
    slot: int | None
    verdict: str
    """`accepted`, or why dropped: `foreign`, `closed`, `expired`, `truncated` …"""
    packets: int
    bytes: int


class DuplicateStatus(msgspec.Struct, frozen=True):
    """Somebody on a segment who claims a shared address with another MAC, as the answering node has heard it."""

    ip: str
    mac: str
    interface: str
    member: str
    """the node whose own MAC it is; "": none that is known"""
    frame_source: str
    """Ethernet source of the newest claim: where on the segment to look"""
    first_heard_ms: int
    """milliseconds since the first claim"""
    last_heard_ms: int
    count: int


class DatapathStatus(msgspec.Struct, frozen=True):
    """Of the answering node only."""

    engine: str = ""
    counters: tuple[CounterStatus, ...] = ()
    problem: str = ""
    duplicates: tuple[DuplicateStatus, ...] = ()
    """until nobody has heard of them for three minutes"""


class StatusDocument(msgspec.Struct, frozen=True):
    """GET /v1/status: the cluster as the answering node sees it."""

    cluster: str
    node: str
    """who answers"""
    quorate: bool
    """whether a majority answered the leader lately, as far as this node has heard; not a bound of any age"""
    leader: str | None
    term: int
    commit_index: int
    applied_index: int
    epoch: int
    """of the configuration: index of the entry that made it"""
    nodes: tuple[NodeStatus, ...]
    resources: tuple[ResourceStatus, ...]
    alarms: tuple[str, ...] = ()
    """what somebody has to know at once, a sentence each; `vipcast status` ends with 3 while there is any"""
    addresses: tuple[AddressStatus, ...] = ()
    failed_actions: tuple[FailedAction, ...] = ()
    pending_actions: tuple[PendingAction, ...] = ()
    links: tuple[LinkStatus, ...] = ()
    refusals: dict[str, int] = {}
    """datagrams that changed nothing, by reason: not sealed with our key, seen before …"""
    datapath: DatapathStatus = DatapathStatus()
    lateness: LatenessStatus = LatenessStatus()
    findings: tuple[str, ...] = ()
    """what the scheduler could not plan, a sentence each"""
    versions: dict[str, str] = {}
    cluster_id: str = ""
    """which cluster this is, whatever its name and key: 32 hexadecimal digits; "": it has none yet"""
    drains: tuple[DrainStatus, ...] = ()
    age_ms_max: int | None = None
    """nothing that was acknowledged anywhere longer ago than this is missing here; null: nobody can say"""
    schema: int = SCHEMA
