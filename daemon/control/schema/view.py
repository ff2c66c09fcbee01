"""What the scheduler sees: `GET /v1/view`."""

from __future__ import annotations

import msgspec

from daemon.control.schema.words import SCHEMA


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
    since_ms: int = 0
    """since when it takes part without a break, milliseconds since 1970; 0: always"""


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


class ViewDrain(msgspec.Struct, frozen=True):
    """What is drained: a node, an address (everywhere, or on a node), or a slot on a node."""

    node: str | None
    address: str | None = None
    slot: int | None = None


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
    drains: tuple[ViewDrain, ...] = ()
    homes: tuple[tuple[str, str], ...] = ()
    """(instance, node): stopped there in order to be started again"""
    schema: int = SCHEMA
