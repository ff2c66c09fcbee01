"""The documents of the control API: what a client of the socket may rely on.

Every document carries `schema`, a number that rises when something that was there changes its meaning or goes
away; new fields come without notice, so a client ignores what it does not know.  The structs are msgspec's: a
command line that is typed all day can afford their import, pydantic's it cannot.  docs/reference/control-api.md is
generated from them.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from daemon.model.findings import Finding

SCHEMA = 1
"""Version of every document below."""

Role = Literal["Started", "Stopped", "Starting", "Stopping", "FAILED", "Promoted", "Unpromoted"]
"""What an instance is doing; FAILED: its last operation failed and it may or may not run."""

SlotPhase = Literal["free", "open", "draining", "opening", "closing"]
"""What becomes of a slot: nobody has it; its holder serves it; its holder takes nothing new any more; the successor
takes what is new while the holder ends what it has; its holder is to drop everything, it will be given out anew."""


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
    """`sourceip`, `sourceip-sourceport`, `sourceip-sourceport-destport`"""
    seed: int
    slots_total: int
    ready: tuple[str, ...] = ()
    """nodes on which the address is up; its slots may still be closed there"""
    slots: tuple[SlotStatus, ...] = ()


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


class CounterStatus(msgspec.Struct, frozen=True):
    address: str
    slot: int | None
    verdict: str
    """`accepted`, or why dropped: `foreign`, `closed`, `expired`, `unparsable` …"""
    packets: int
    bytes: int


class DatapathStatus(msgspec.Struct, frozen=True):
    """Of the answering node only."""

    engine: str = ""
    counters: tuple[CounterStatus, ...] = ()
    problem: str = ""


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
    age_ms_max: int | None = None
    """nothing that was acknowledged anywhere longer ago than this is missing here; null: nobody can say"""
    schema: int = SCHEMA


class IfLost(msgspec.Struct, frozen=True):
    """What would follow if a node were the next to be lost."""

    quorate: bool
    """whether the nodes that are heard now, without it, are a quorum"""
    leader: str | None
    """who would lead; null: nobody"""
    then: str = ""
    """without a quorum: what no-quorum-policy makes of it"""
    nowhere: tuple[str, ...] = ()
    """instances and slots that have a place now and would have none"""


class QuorumNode(msgspec.Struct, frozen=True):
    name: str
    role: str
    """`voter`, `learner`, `witness` or `joining`"""
    votes: int
    heard: bool
    leads: bool = False
    if_lost: IfLost | None = None
    """null: it is not heard already"""


class QuorumDocument(msgspec.Struct, frozen=True):
    """GET /v1/quorum: votes as the answering node counts them."""

    cluster: str
    node: str
    quorate: bool
    leader: str | None
    votes_expected: int
    """of all voters, the tie-breaker's extra one included"""
    votes_needed: int
    votes_heard: int
    """of the voters that this node hears, itself included"""
    tie_breaker: str
    """as the roster has it; empty: none"""
    tie_breaker_counts: bool
    """its extra vote counts only while the number of voters is even"""
    tie_breaker_wished: str
    """the cluster property"""
    policy: str
    """no-quorum-policy in force"""
    wait_for_all: bool
    heard_all: bool
    """this node has heard all others at the same time since its host booted"""
    without_quorum: bool
    """it serves although it has no quorum (no-quorum-policy=ignore)"""
    nodes: tuple[QuorumNode, ...]
    """in the order of rank: the first live voter stands first when the leader is lost"""
    schema: int = SCHEMA


class ConfigurationDocument(msgspec.Struct, frozen=True):
    """GET /v1/configuration."""

    epoch: int
    configuration: msgspec.Raw
    """`daemon.model.configuration.Configuration` as JSON"""
    schema: int = SCHEMA


class EditRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/configuration: replace the configuration."""

    configuration: msgspec.Raw
    base_epoch: int | None = None
    """epoch that the edit was made from; null: whatever it is now"""
    author: str = ""
    """who asks; for anybody but root the server adds the uid that the kernel vouches for"""
    comment: str = ""
    """the command as it was typed"""


class RemoveNodeRequest(msgspec.Struct, frozen=True):
    """POST /v1/remove-node."""

    node: str
    author: str = ""
    """who asks, for the log; root may name somebody else"""


class CleanupRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/cleanup and /v1/refresh; null means every one."""

    resource: str | None = None
    node: str | None = None
    author: str = ""


class TokenRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/token."""

    ttl_ms: int = 600_000
    """how long it is good, from 1 s to 24 h, by the daemon's boot clock"""
    uses: int = 1
    """how many hosts may join with it, 1 to 64"""
    author: str = ""


class TokenDocument(msgspec.Struct, frozen=True):
    """A join token: whoever has it gets the cluster's key."""

    token: str
    expires_in_ms: int
    uses: int
    cluster: str
    node: str
    """whose daemon honours it, for as long as it runs"""
    schema: int = SCHEMA


class KeyStatus(msgspec.Struct, frozen=True):
    """One key of the cluster, as the answering node has it; never the key itself."""

    mark: str
    """its name: eight hexadecimal digits"""
    role: Literal["active", "follows", "retired"]
    until: str = ""
    """of a retired one: it opens until then (UTC)"""
    missing: tuple[str, ...] = ()
    """nodes that do not have it, as far as the answering node has heard"""
    used_by: tuple[str, ...] = ()
    """nodes that seal with it, as far as the answering node has heard"""


class KeysDocument(msgspec.Struct, frozen=True):
    """GET /v1/keys and the answer of POST /v1/rotate-key."""

    node: str
    """who answers"""
    keys: tuple[KeyStatus, ...]
    schema: int = SCHEMA


class Accepted(msgspec.Struct, frozen=True):
    """What a write answers once the cluster has committed and this node applied it."""

    index: int
    """of the log entry"""
    epoch: int
    """of the configuration after it"""
    findings: tuple[Finding, ...] = ()
    """warnings"""
    schema: int = SCHEMA


class Problem(msgspec.Struct, frozen=True):
    """The body of every answer that is not 2xx."""

    error: str
    """a sentence: what is wrong and what to do"""
    code: str
    """`conflict`, `refused`, `no-quorum`, `timeout`, `forbidden`, `bad-request`, `not-found`, `too-large`, `busy`,
    `internal`"""
    findings: tuple[Finding, ...] = ()
    epoch: int | None = None
    """on a conflict: the configuration's epoch now"""
    schema: int = SCHEMA


class WhoAddress(msgspec.Struct, frozen=True):
    """Which slot of one address a client's packets fall into, and why."""

    address: str
    """id of the primitive"""
    ip: str
    hash: str
    key: str
    """the bytes that are hashed, hexadecimal"""
    seed: int
    hashed: int
    """jhash of the key, 32 bits"""
    slots_total: int
    slot: int
    """(hashed × slots_total) >> 32"""
    holder: str | None
    successor: str | None
    phase: SlotPhase
    answers: str | None
    """node that answers a new connection now; None: nobody does, in a move perhaps for a moment"""
    holder_online: bool
    warnings: tuple[str, ...] = ()


class WhoDocument(msgspec.Struct, frozen=True):
    """GET /v1/who: asked of the node that answers."""

    client: str
    port: int | None
    node: str
    addresses: tuple[WhoAddress, ...]
    schema: int = SCHEMA


class LogLine(msgspec.Struct, frozen=True):
    """An entry of the replicated log as a sentence."""

    index: int
    term: int
    stamp_ms: int
    kind: str
    """`admit`, `lost`, `restart`, `roster`, `edit`, `result`, `slots`, `cleanup`, `refresh`, `drain`, `leave`,
    `remove-node`, `tick`, `noop`"""
    node: str | None
    text: str
    accepted: bool | None = None
    """whether it counted; None: the answering node has not applied it since it started"""
    reason: str = ""
    """why it was refused"""
    slots: tuple[str, ...] = ()
    """what it did to slots: `a1 takes slots 0, 3 of VIP`"""
    epoch: int | None = None
    """of the configuration after it; None as with `accepted`"""


class LogDocument(msgspec.Struct, frozen=True):
    """GET /v1/log."""

    entries: tuple[LogLine, ...]
    first_index: int
    """oldest entry that is still kept"""
    last_index: int
    schema: int = SCHEMA


class EntriesDocument(msgspec.Struct, frozen=True):
    """GET /v1/entries: the log as it is, for who wants to apply it himself (`daemon.state`)."""

    entries: tuple[bytes, ...]
    """each a `daemon.cluster.records.LogEntry` as msgpack; as many as fit, but one at least where there is one"""
    first_index: int
    """oldest entry that is still kept"""
    last_index: int
    """newest that the answering node has applied"""
    schema: int = SCHEMA


class SnapshotDocument(msgspec.Struct, frozen=True):
    """GET /v1/snapshot: the replicated state as it was once."""

    index: int
    """of the last entry that it includes; 0: none"""
    state: bytes
    """`State.freeze()`"""
    cluster: str
    """the cluster's name"""
    node: str
    """who answers"""
    schema: int = SCHEMA


class ScorePart(msgspec.Struct, frozen=True):
    origin: str
    """id of a constraint, `resource-stickiness`, `standby` …"""
    score: int
    what: str = ""
    """what that is, in words: the constraint as `vipcast constraint` lists it"""


class Explanation(msgspec.Struct, frozen=True):
    """Why one instance is where it is, or nowhere."""

    instance: str
    node: str | None
    summary: str
    scores: dict[str, tuple[ScorePart, ...]] = {}
    rejected: dict[str, str] = {}
    waiting: tuple[str, ...] = ()
    """what the actions that are planned for it wait for"""


class ExplainDocument(msgspec.Struct, frozen=True):
    """GET /v1/explain."""

    resource: str
    explanations: tuple[Explanation, ...]
    schema: int = SCHEMA


class AgentParameter(msgspec.Struct, frozen=True):
    """One option of an agent."""

    name: str
    type: str
    """`string`, `integer`, `boolean`, `select`, `time` …, as the agent says"""
    default: str | None
    required: bool
    unique: bool
    summary: str
    description: str


class AgentAction(msgspec.Struct, frozen=True):
    """An operation and the times that the agent advises for it, as it writes them; empty where it says none."""

    name: str
    interval: str
    timeout: str
    depth: str
    role: str


class AgentDocument(msgspec.Struct, frozen=True):
    """GET /v1/agent."""

    agent: str
    version: str
    summary: str
    description: str
    parameters: tuple[AgentParameter, ...]
    actions: tuple[AgentAction, ...]
    schema: int = SCHEMA


class ViewNode(msgspec.Struct, frozen=True):
    """A node as the scheduler sees it."""

    name: str
    online: bool
    pending: bool = False
    unclean: bool = False
    shutdown: bool = False
    transient: dict[str, str] = {}
    """transient node attributes"""
    weight: int = 1


class ViewResult(msgspec.Struct, frozen=True):
    """The last result of one operation of one instance on one node."""

    node: str
    instance: str
    operation: str
    interval_ms: int
    exit_code: int
    status: str
    """`done`, `timeout`, `error`, `not-installed` …"""
    expected: int
    """exit code that means nothing new"""
    serial: int
    """orders results within a node"""
    stamp_ms: int
    definition: str = ""
    reason: str = ""
    details: dict[str, str] = {}


class ViewFailure(msgspec.Struct, frozen=True):
    """How often an instance has failed on a node since the last cleanup."""

    instance: str
    node: str
    count: int
    """1000000 is INFINITY"""
    last_ms: int = 0


class ViewSlots(msgspec.Struct, frozen=True):
    """Slots of one shared address: slot → node."""

    address: str
    owners: dict[int, str]
    """who shall have it: the successor once a move can no longer be taken back"""
    holders: dict[int, str] = {}
    """who may still be serving it"""


class ViewDocument(msgspec.Struct, frozen=True):
    """GET /v1/view: all that the scheduler goes by, so that a client can plan by itself."""

    configuration: msgspec.Raw
    """`daemon.model.configuration.Configuration` as JSON"""
    nodes: tuple[ViewNode, ...]
    results: tuple[ViewResult, ...]
    failures: tuple[ViewFailure, ...] = ()
    slots: tuple[ViewSlots, ...] = ()
    ready: dict[str, tuple[str, ...]] = {}
    """address → nodes on which it is up"""
    quorate: bool = True
    now_ms: int = 0
    """the log's clock, milliseconds since 1970"""
    defaults: dict[str, str] = {}
    """cluster properties whose default is another one than Pacemaker's"""
    policy: str | None = None
    """no-quorum-policy in force, where it is not the configured one"""
    notes: tuple[str, ...] = ()
    schema: int = SCHEMA


class Event(msgspec.Struct, frozen=True):
    """One message of GET /v1/events."""

    kind: str
    """`hello` (the first), `state` (an entry was applied), `membership`, `leader`, `quorum`, `datapath`,
    `dropped` (you are too slow)"""
    index: int
    """applied index when it was sent"""
    data: dict[str, Any] = {}
