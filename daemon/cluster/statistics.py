"""What a transport has counted and heard, for status and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from daemon.cluster.hearing import LinkPeer


@dataclass(frozen=True, slots=True)
class Statistics:
    """Since the transport was opened."""

    links: Mapping[str, Mapping[str, int]]
    """link → sent, received, unsent, send-buffer-full, receive-errors"""
    troubles: Mapping[str, str]
    """link → why it cannot be used now, only for those that cannot"""
    refusals: Mapping[str, int]
    """reason → datagrams"""
    messages_received: int
    messages_sent: int
    incomplete: int
    """messages of several datagrams that were given up because some did not come"""
    peers: Mapping[str, tuple[LinkPeer, ...]] = field(default_factory=dict)
    """link → how each of the cluster's other nodes is heard there"""
    minors: Mapping[str, int] = field(default_factory=dict)
    """sender → minor version of its protocol"""
