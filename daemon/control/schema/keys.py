"""Keys, and tokens for those who join."""

from __future__ import annotations

from typing import Literal

import msgspec

from daemon.control.schema.words import SCHEMA


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


class RotateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/rotate-key; no body is the same as an empty one."""

    revoke: bool = False
    """the key before is of no use to anybody once the new one is in use: who is away then joins again with a token"""


class KeyStatus(msgspec.Struct, frozen=True):
    """One key of the cluster, as the answering node has it; never the key itself."""

    mark: str
    """its name: eight hexadecimal digits"""
    role: Literal["active", "follows", "retired", "way-back"]
    """`retired` opens still; `way-back` opens nothing, and a node that was away and has it is given the active one"""
    until: str = ""
    """of a retired one, or a way back: its end (UTC)"""
    revokes: bool = False
    """it leaves no way back"""
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
