"""What goes into a core at its start and what comes out of it: data only, performed by the shell."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field

from daemon.cluster.core.snapshot import Snapshot
from daemon.cluster.messages import Message
from daemon.cluster.records import LogEntry


@dataclass(frozen=True, slots=True)
class HardState:
    """What a voter must never forget (Raft, figure 2)."""

    term: int = 0
    voted_for: str | None = None
    votes: bool | None = None
    """whether this store has the right to vote (`suffrage`); None: written by a version that did not ask"""
    terms: tuple[int, int, int, int] | None = None
    """`Timers.terms` by which its processes have counted (`changeover`); None: of a version that did not tell"""


@dataclass(frozen=True, slots=True)
class Saved:
    """What the store had on disk at the start of the process."""

    store_id: str
    hard_state: HardState = HardState()
    entries: Sequence[LogEntry] = ()
    """without gaps, from index 1 or from the one after the older snapshot"""
    snapshots: Sequence[Snapshot] = ()
    """at most two, by index"""
    cluster_id: str = ""
    """of the cluster that the store belongs to (`daemon.cluster.identity`); "": not known"""

    @property
    def belongs_to(self) -> str | None:
        """The id of its cluster; "": not known, though it took part; None: it has taken part in none."""
        return self.cluster_id or (None if self.is_blank else "")

    @property
    def is_blank(self) -> bool:
        """It has never voted nor confirmed anything."""
        return not (self.hard_state.term or self.entries or self.snapshots)


@dataclass(frozen=True, slots=True)
class Send:
    to: str | None
    """None: to everyone, as one multicast"""
    message: Message


@dataclass(frozen=True, slots=True)
class SnapshotPart:
    """A piece of a snapshot's body: a big one is written in many transactions, so that entries never wait long."""

    index: int
    """of the snapshot"""
    number: int
    """from 0"""
    data: bytes
    encoded_head: bytes | None = None
    """with the last part: the snapshot is complete, and counts from this transaction on"""


@dataclass(frozen=True, slots=True)
class Persist:
    """One transaction with one fsync: hard state, then cut, append, part, forget.  At most one is under way at a time.

    Answer with `Core.persisted(receipt)` or, where nothing of it was written, `Core.persist_failed(receipt, …)`.
    """

    receipt: int
    hard_state: HardState
    truncate_from: int | None
    """delete entries from this index on"""
    entries: tuple[LogEntry, ...]
    """they follow what is on disk; where all of that is cut, the snapshot that this transaction completes"""
    part: SnapshotPart | None = None
    forget_to: int = 0
    """delete entries up to this index, that one included, and what there is of snapshots with smaller indexes"""


class Role(enum.StrEnum):
    FOLLOWER = "follower"
    PRECANDIDATE = "pre-candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


# --- events: for the journal, and for what the shell reacts to


@dataclass(frozen=True, slots=True)
class BecameLeader:
    term: int


@dataclass(frozen=True, slots=True)
class LostLeadership:
    term: int
    reason: str


@dataclass(frozen=True, slots=True)
class FollowsLeader:
    leader: str
    term: int


@dataclass(frozen=True, slots=True)
class PeerHeard:
    """A peer is heard for the first time, again after a silence, or in a new incarnation."""

    peer: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class PeerSilent:
    peer: str
    silent_ns: int


@dataclass(frozen=True, slots=True)
class PeerDisagrees:
    """A process of `peer` holds and counts leases by other timers: nothing that it says is believed."""

    peer: str
    theirs: tuple[int, ...]
    """`Timers.terms`"""
    ours: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TimersChanged:
    """The process before this one counted by others: until nothing of that is running this node elects nobody."""

    waits_ns: int


@dataclass(frozen=True, slots=True)
class PeerFenced:
    """Its vote counts as this node's own from here on, on the word of a device or a person."""

    peer: str
    by: str


@dataclass(frozen=True, slots=True)
class FencingWasWrong:
    """A process of `peer` is heard that ran before it was confirmed to be without power: its vote counts no more.

    The shell closes its kernel: what the peer may have done meanwhile nobody knows.
    """

    peer: str
    by: str


@dataclass(frozen=True, slots=True)
class TwoHistories:
    """What `leader` has at `index` is another entry than the one that is committed here; told once."""

    leader: str
    index: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Something was not taken: what, from whom, and why."""

    what: str
    sender: str
    reason: str


@dataclass(frozen=True, slots=True)
class DiskRefused:
    reason: str
    retry_ns: int


@dataclass(frozen=True, slots=True)
class WasLate:
    """This process was not scheduled; it doubts itself before it doubts others."""

    late_ns: int


@dataclass(frozen=True, slots=True)
class Admitted:
    """This process is admitted; once its kernel holds what the state says, the shell calls `Core.enforced`."""

    epoch: int


@dataclass(frozen=True, slots=True)
class DeclaredLost:
    """The cluster has declared this node lost; `epoch` is the entry's index."""

    epoch: int


@dataclass(frozen=True, slots=True)
class RestartGranted:
    """This process may end: it writes this deadline into its kernel, last of all (`Core.restart`)."""

    until_ns: int
    """absolute on the own boot clock"""


@dataclass(frozen=True, slots=True)
class HeldDown:
    """`node` is not admitted yet, for it comes and goes; told by the leader, once a hold."""

    node: str
    for_ms: int
    times: int
    within_ms: int


@dataclass(frozen=True, slots=True)
class ProposalCommitted:
    ticket: int
    index: int


@dataclass(frozen=True, slots=True)
class StoreLost:
    """`node` has another store than the one that votes under its name: it learns, and does not vote (rule 21)."""

    node: str


@dataclass(frozen=True, slots=True)
class RosterChanged:
    """The cluster has another roster: committed at `index`, `why` says what has changed."""

    index: int
    why: str


@dataclass(frozen=True, slots=True)
class WasDismissed:
    """This node's store was taken off the roster, says `by`: end, and join again with an empty one if at all."""

    by: str


@dataclass(frozen=True, slots=True)
class WaitsForFounders:
    """A new cluster is founded by all its nodes; these were not heard yet."""

    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SnapshotTaken:
    """The entries up to `index` can be forgotten, once another snapshot follows this one."""

    index: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SnapshotComes:
    """This node lacks entries that nobody has any more: it gets a snapshot instead; `held_bytes` are here already."""

    sender: str
    index: int
    size_bytes: int
    held_bytes: int


@dataclass(frozen=True, slots=True)
class SnapshotRestored:
    sender: str
    index: int
    size_bytes: int


Event = (
    BecameLeader
    | LostLeadership
    | FollowsLeader
    | PeerHeard
    | PeerDisagrees
    | TimersChanged
    | PeerSilent
    | PeerFenced
    | FencingWasWrong
    | TwoHistories
    | Refused
    | DiskRefused
    | WasLate
    | Admitted
    | DeclaredLost
    | RestartGranted
    | HeldDown
    | ProposalCommitted
    | StoreLost
    | WaitsForFounders
    | RosterChanged
    | WasDismissed
    | SnapshotTaken
    | SnapshotComes
    | SnapshotRestored
)


@dataclass(slots=True)
class Ready:
    """Everything that a core wants done.  Order: `sends` may leave at once, whatever becomes of `persist`."""

    sends: list[Send] = field(default_factory=list)
    persist: Persist | None = None
    restore: Snapshot | None = None
    """the state is this now, whatever it was, and `committed` follows it; at the start of a process, too"""
    committed: list[LogEntry] = field(default_factory=list)
    lease_until_ns: int | None = None
    """this host's kernel accepts until then, absolute on its own boot clock (rule 15); None: unchanged"""
    events: list[Event] = field(default_factory=list)

    def __bool__(self) -> bool:
        wanted = self.sends or self.persist or self.restore or self.committed or self.events
        return bool(wanted or self.lease_until_ns is not None)


@dataclass(frozen=True, slots=True)
class PeerStatus:
    name: str
    rank: int
    last_heard_ns: int | None
    """on this node's boot clock; None: never"""
    live: bool
    """heard within the last three heartbeats"""
    fresh: bool
    """it has heard this very process: its messages count"""
    incarnation: int | None
    """as heard, or of this process"""
    admitted: bool
    """according to the committed log"""
    admitted_incarnation: int | None
    epoch: int
    """of the newest admission or loss in the committed log; 0: none yet"""
    enforced_epoch: int
    """as the node itself says"""
    agrees: bool = True
    """its timers are this node's, as far as it tells"""
    store_lost: bool = False
    """its store is another one than the log has for its name; it does not vote"""
    restarts: bool = False
    """its daemon starts again by intention; its kernel goes on serving meanwhile"""
    losses: int = 0
    """how often it was lost lately, as far as that is not forgiven"""
    lost_within_ms: int = 0
    """from the first to the last of these losses"""
    held_ms: int = 0
    """for how long it is held down still, for it comes and goes; 0: it is not"""
    role: str = "voter"
    """voter, learner, witness, or joining: on no roster yet"""


@dataclass(frozen=True, slots=True)
class CoreStatus:
    name: str
    incarnation: int
    role: Role
    leader: str | None
    term: int
    last_index: int
    commit: int
    applied: int
    """index of the last entry handed out in `Ready.committed`"""
    quorate: bool
    lease_until_ns: int | None
    outstanding_proposals: int
    peers: tuple[PeerStatus, ...]
    """every member in the order of rank, this node included"""
    fencing: bool = False
    """two voters have agreed that one may count the vote of the other once that is fenced"""
    fenced: str = ""
    """the node that is confirmed to be without power, whose vote this node counts; "": none"""
    fenced_by: str = ""
    """the device or the person who said so"""
    fenced_ms: int = 0
    """wall clock"""
    tie_breaker: str = ""
    """the voter with an extra vote while the number of voters is even; "": nobody"""
    waits_for: tuple[str, ...] = ()
    """a new cluster is founded by all its nodes: those that were not heard yet"""
