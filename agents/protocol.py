"""What the core and `vipcast-runner` say to each other, over a unix stream socket.

The core is real-time and never forks; the runner is an ordinary process that alone starts agents (STYLE.md has the
measurement).  Frames are a 4-byte big-endian length and a msgspec MessagePack array, at most FRAME_BYTES_MAX.
The runner listens; the core connects, and connects again when either has restarted.  What a lost connection was
waiting for is unknown to the core, which then probes (level-triggered).
"""

from __future__ import annotations

import msgspec

FRAME_BYTES_MAX = 1 << 20
OUTPUT_BYTES_MAX = 64 << 10
"""of each of an agent's streams, the last bytes are kept"""


class Run(msgspec.Struct, tag="run", array_like=True, frozen=True):
    """Run one operation of one agent.  `id` comes back in Finished."""

    id: int
    resource: str
    """instance id, for the log: `webserver`, `db:1`"""
    agent: str
    """`ocf:heartbeat:apache`, `systemd:nginx`"""
    operation: str
    """start, stop, monitor, promote, demote, notify, validate-all, meta-data, reload …"""
    parameters: dict[str, str]
    environment: dict[str, str]
    """OCF_RESKEY_CRM_meta_* and the like, complete"""
    timeout_ms: int


class Cancel(msgspec.Struct, tag="cancel", array_like=True, frozen=True):
    id: int


class Finished(msgspec.Struct, tag="finished", array_like=True, frozen=True):
    """How an operation ended.  `exit_code` is OCF's (0 ok, 7 not running …), also for systemd resources."""

    id: int
    exit_code: int
    status: str
    """`done`, `timeout`, `not-installed`, `cancelled`, `error`"""
    reason: str
    """the agent's ocf_exit_reason, or the runner's own sentence"""
    output: str
    duration_ms: int


class Serve(msgspec.Struct, tag="serve", array_like=True, frozen=True):
    """Keep one helper process of our own running (the raw engine's forwarder); started again when it ends."""

    name: str
    argv: list[str]


class Unserve(msgspec.Struct, tag="unserve", array_like=True, frozen=True):
    name: str


class Served(msgspec.Struct, tag="served", array_like=True, frozen=True):
    """A helper process has started or ended."""

    name: str
    pid: int
    running: bool
    reason: str


ToRunner = Run | Cancel | Serve | Unserve
FromRunner = Finished | Served
