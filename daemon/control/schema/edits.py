"""What is asked for, and what becomes of it."""

from __future__ import annotations

import msgspec

from daemon.control.schema.words import SCHEMA
from daemon.model.findings import Finding


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


class DrainRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/drain: slots leave a node, an address or an owner by moves that break nothing, and stay away."""

    node: str | None = None
    """without address: all slots of the node; null: an address everywhere, or a slot's present owner"""
    address: str | None = None
    """id, id of its clone, or IP address"""
    slot: int | None = None
    on: bool = True
    """false: take it back"""
    author: str = ""


class ConfirmFencedRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/confirm-fenced."""

    node: str
    author: str = ""
    """whose word it is, for the log; root may name somebody else"""


class FencingConfirmed(msgspec.Struct, frozen=True):
    """The answering node counts the vote of `node` as its own until that one is admitted again."""

    node: str
    schema: int = SCHEMA


class CleanupRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/cleanup and /v1/refresh; null means every one."""

    resource: str | None = None
    node: str | None = None
    author: str = ""


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
