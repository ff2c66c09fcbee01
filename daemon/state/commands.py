"""What nodes and administrators ask of the replicated state: the contents of a log entry's `Request`.

Every command may arrive twice or late; each names what it was made from (an epoch, an incarnation, a generation),
so that `State.apply` can tell, deterministically and on every node alike, whether it still counts.
"""

from __future__ import annotations

import msgspec


class Edit(msgspec.Struct, tag="edit", array_like=True, frozen=True):
    """Replace the configuration.  Refused where `base_epoch` (unless None) is not the configuration's epoch."""

    base_epoch: int | None
    configuration: bytes
    """JSON of `daemon.model.configuration.Configuration`"""
    author: str
    comment: str
    """the command as typed, for `vipcast cluster log`"""


class Result(msgspec.Struct, tag="result", array_like=True, frozen=True):
    """How an operation on an instance ended on a node (start, stop, probe, or a recurring monitor that changed).

    Counts only from the node's admitted incarnation.
    """

    node: str
    incarnation: int
    instance: str
    """`webserver`; `db:1` for an instance of a unique clone"""
    operation: str
    """start, stop, monitor, promote, demote …"""
    interval_ms: int
    """0 for a probe and for start/stop"""
    exit_code: int
    """OCF"""
    status: str
    """as in agents.protocol.Finished"""
    reason: str
    duration_ms: int
    definition: str
    """digest of the parameters that were in force, to see later that they have changed"""


class Slots(msgspec.Struct, tag="slots", array_like=True, frozen=True):
    """A node's kernel did with slots of one address what the state asked: one entry for all of them."""

    node: str
    incarnation: int
    address: str
    """the primitive's id"""
    what: str
    """`ready` (address up, slots closed), `opened`, `drained`, `closed`, `failed`"""
    generations: dict[int, int]
    """slot → the generation (LEASES.md, rule 25) that was carried out; empty for `ready` and `failed`"""
    reason: str = ""
    broken: dict[int, int] = {}
    """`closed` because the drain time-out was over: slot → connections that it still had"""


class Cleanup(msgspec.Struct, tag="cleanup", array_like=True, frozen=True):
    """Forget failures (and failed operations) of a resource (None: all), on a node (None: all)."""

    resource: str | None
    node: str | None
    author: str


class Refresh(msgspec.Struct, tag="refresh", array_like=True, frozen=True):
    """Forget all operation results of a resource on a node, so that it is probed again."""

    resource: str | None
    node: str | None
    author: str


class Drain(msgspec.Struct, tag="drain", array_like=True, frozen=True):
    """Drain a host, an address (everywhere, or on a host) or a slot by hand; `on` False takes it back."""

    node: str | None
    """None, with an address: everywhere; with a slot: its present owner, or with `on` False all hosts"""
    address: str | None
    """the primitive's id, its clone's, or the IP address"""
    slot: int | None
    on: bool
    author: str


class Leave(msgspec.Struct, tag="leave", array_like=True, frozen=True):
    """This process is about to end by intention: resources and slots go elsewhere until its next admission."""

    node: str
    incarnation: int


class Return(msgspec.Struct, tag="return", array_like=True, frozen=True):
    """This process goes on after all: what its `Leave` said is taken back."""

    node: str
    incarnation: int


class Tick(msgspec.Struct, tag="tick", array_like=True, frozen=True):
    """Nothing but the entry's stamp: time has passed that the state waits for (failure-timeout)."""


class RemoveNode(msgspec.Struct, tag="remove-node", array_like=True, frozen=True):
    """A node shall leave the cluster: it gives everything away first, then the leader takes it off the roster."""

    node: str
    author: str


class Fenced(msgspec.Struct, tag="fenced", array_like=True, frozen=True):
    """For the log: a node's power was cut, says `by`, and the one that is left counted its vote to write this."""

    node: str
    by: str


StateCommand = Edit | Result | Slots | Cleanup | Refresh | Drain | Leave | Return | Tick | RemoveNode | Fenced
