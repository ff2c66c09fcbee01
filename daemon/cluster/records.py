"""What the replicated log is made of.

The cluster core itself understands only who is admitted and who is lost, because grants hang on them (LEASES.md,
rules 12 and 16 to 20); everything else it carries sealed, as `Request`, for `daemon.state`.
"""

from __future__ import annotations

import msgspec


class Noop(msgspec.Struct, tag="noop", array_like=True, frozen=True):
    """A new leader's first entry: it commits what earlier terms left behind."""


class Admit(msgspec.Struct, tag="admit", array_like=True, frozen=True):
    """`node` takes part, in this incarnation; its epoch is this entry's index."""

    node: str
    incarnation: int
    kernel_boot_id: str
    store_id: str = ""
    """of the node's disk: the first that is recorded for a name votes under it, no other does (rule 21)"""


class Lost(msgspec.Struct, tag="lost", array_like=True, frozen=True):
    """No lease of `node` can still be running: what it held is free."""

    node: str


class Request(msgspec.Struct, tag="request", array_like=True, frozen=True):
    """Something for the state: a `daemon.state.commands` command, encoded.

    (`origin`, `incarnation`, `ticket`) names the proposal, so that its proposer learns the outcome.  A proposal may
    be appended twice (its proposer repeats it until it sees it): commands are idempotent by their own contents.
    """

    origin: str
    incarnation: int
    ticket: int
    body: bytes


Command = Noop | Admit | Lost | Request


class LogEntry(msgspec.Struct, array_like=True, frozen=True):
    index: int
    """from 1, without gaps"""
    term: int
    stamp_ms: int
    """wall clock of the leader that appended it, milliseconds since 1970: the only clock that the state knows"""
    command: Command
