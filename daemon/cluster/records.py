"""What the replicated log is made of.

The cluster core itself understands only who is admitted and who is lost, because grants hang on them (LEASES.md,
rules 12 and 16 to 20); everything else it carries sealed, as `Request`, for `daemon.state`.
"""

from __future__ import annotations

import msgspec


class Noop(msgspec.Struct, tag="noop", array_like=True, frozen=True):
    """A new leader's first entry: it commits what earlier terms left behind."""

    founders: tuple[str, ...] = ()
    """in a log's very first entry: the founding list, so that who joins later begins with the same state"""


class Admit(msgspec.Struct, tag="admit", array_like=True, frozen=True):
    """`node` takes part, in this incarnation; its epoch is this entry's index."""

    node: str
    incarnation: int
    kernel_boot_id: str
    store_id: str = ""
    """of the node's disk: the first that is recorded for a name votes under it, no other does (rule 21)"""
    slack_ms: int = 0
    """how much longer than everybody's its lease is: its host does not schedule it in time"""


class Lost(msgspec.Struct, tag="lost", array_like=True, frozen=True):
    """No lease of `node` can still be running: what it held is free."""

    node: str


class Restart(msgspec.Struct, tag="restart", array_like=True, frozen=True):
    """`node` starts its daemon again: its kernel may accept for so long, from before it asked for this.

    It is not lost before that is over; the next admission of the node inherits what is open.
    """

    node: str
    incarnation: int
    """of the process that is about to end"""
    duration_ms: int


class Request(msgspec.Struct, tag="request", array_like=True, frozen=True):
    """Something for the state: a `daemon.state.commands` command, encoded.

    (`origin`, `incarnation`, `ticket`) names the proposal, so that its proposer learns the outcome.  A proposal may
    be appended twice (its proposer repeats it until it sees it): commands are idempotent by their own contents.
    """

    origin: str
    incarnation: int
    ticket: int
    body: bytes


class Member(msgspec.Struct, array_like=True, frozen=True):
    """A node of the cluster, with the store that holds its memory (rule 21)."""

    name: str
    store_id: str
    """"": not recorded yet; the first store that is admitted under the name becomes it"""
    votes: bool
    """False: a learner; it gets the log and holds slots, but neither stands nor votes"""
    witness: bool = False
    """it votes and keeps the log, ranks last and holds nothing"""


class Roster(msgspec.Struct, tag="roster", array_like=True, frozen=True):
    """Who belongs to the cluster from this entry on, committed or not (Raft, chapter 4: single-server changes).

    Two rosters that follow each other differ by at most one vote (rule 22).  Before the first Roster of a log the
    founding list of the settings counts.
    """

    members: tuple[Member, ...]
    """in the order of rank"""
    removed: tuple[tuple[str, str], ...] = ()
    """(name, store id) of the newest removals: such a store does not join again by itself"""
    tie_breaker: str = ""
    """a voter that has one extra vote while the number of voters is even; "": nobody"""
    why: str = ""
    """for the cluster log: `a4 joins as a learner`, `a3 was removed by root`"""
    fencing: bool = False
    """of two voters one may count the vote of the other once that is fenced (`core.fencing`); it is taken back, by
    both, before the electorate changes"""
    cluster_id: str = ""
    """which cluster this is (`daemon.cluster.identity`); "": not said yet, or written by a version before 2.2"""


Command = Noop | Admit | Lost | Restart | Roster | Request


class LogEntry(msgspec.Struct, array_like=True, frozen=True):
    index: int
    """from 1, without gaps"""
    term: int
    stamp_ms: int
    """wall clock of the leader that appended it, milliseconds since 1970: the only clock that the state knows"""
    command: Command
