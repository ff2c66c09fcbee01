"""The key ring as a document: marks, never keys."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from daemon.cluster.rotation import Rotation
from daemon.control.schema import KeyStatus


def keys(rotation: Rotation, others: Collection[str]) -> tuple[KeyStatus, ...]:
    """`others`: the cluster's nodes without the one that answers."""
    ring = rotation.ring
    return tuple(
        KeyStatus(
            mark=one.mark.hex(),
            role="active" if one is ring.active else "retired" if one.until_s else "follows",
            until=datetime.fromtimestamp(one.until_s, UTC).strftime("%Y-%m-%d %H:%M UTC") if one.until_s else "",
            missing=tuple(peer for peer in sorted(others) if one.mark not in rotation.marks_of(peer)),
            used_by=tuple(peer for peer in sorted(others) if rotation.marks_of(peer)[:1] == (one.mark,)),
        )
        for one in ring.keys
    )
