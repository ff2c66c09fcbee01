"""What happened, and why it is so."""

from __future__ import annotations

from typing import Any

import msgspec

from daemon.control.schema.words import SCHEMA, SlotPhase


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
    """(hashed × slots_total) >> 32, unless a rule for ports names one"""
    holder: str | None
    successor: str | None
    phase: SlotPhase
    answers: str | None
    """node that answers a new connection now; None: nobody does, in a move perhaps for a moment"""
    holder_online: bool
    warnings: tuple[str, ...] = ()
    rule: str = ""
    """the rule for ports that decides instead of the hash; empty: none"""


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


class Planned(msgspec.Struct, frozen=True):
    """An action of the plan."""

    key: str
    operation: str
    node: str
    reason: str
    waits_for: tuple[str, ...] = ()
    """keys of the actions that come before it"""


class Explanation(msgspec.Struct, frozen=True):
    """Why one instance is where it is, or nowhere."""

    instance: str
    node: str | None
    summary: str
    scores: dict[str, tuple[ScorePart, ...]] = {}
    """node → what its score is made of, in the order in which it came"""
    totals: dict[str, int] = {}
    """node → its score: the parts added up, within ±1,000,000; a node that nothing allows is missing"""
    rejected: dict[str, str] = {}
    waiting: tuple[str, ...] = ()
    """what the actions that are planned for it wait for, in sentences"""
    role: str = ""
    """promoted or unpromoted, of what has roles"""
    promotion: tuple[ScorePart, ...] = ()
    """what speaks for and against its promotion on its node"""
    planned: tuple[Planned, ...] = ()


class ExplainDocument(msgspec.Struct, frozen=True):
    """GET /v1/explain."""

    resource: str
    explanations: tuple[Explanation, ...]
    schema: int = SCHEMA


class Event(msgspec.Struct, frozen=True):
    """One message of GET /v1/events."""

    kind: str
    """`hello` (the first), `state` (an entry was applied), `membership`, `leader`, `quorum`, `datapath`,
    `dropped` (you are too slow)"""
    index: int
    """applied index when it was sent"""
    data: dict[str, Any] = {}
