"""The key ring as a document: marks, never keys."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from daemon.cluster.keyring import RETURN_S
from daemon.cluster.rotation import Rotation
from daemon.control.schema import KeyStatus


def keys(rotation: Rotation, others: Collection[str], now_s: int) -> tuple[KeyStatus, ...]:
    """`others`: the cluster's nodes without the one that answers; `now_s`: seconds since 1970."""
    ring = rotation.ring.bounded(now_s)
    opening, ways_back = ring.opening(now_s).keys, ring.ways_back(now_s)
    return tuple(
        KeyStatus(
            mark=one.mark.hex(),
            role="active"
            if one is ring.active
            else "follows"
            if not one.until_s
            else "retired"
            if one in opening
            else "way-back",
            until=_written(one.until_s + (RETURN_S if one in ways_back else 0)) if one.until_s else "",
            revokes=one.revokes,
            missing=tuple(peer for peer in sorted(others) if one.mark not in rotation.marks_of(peer)),
            used_by=tuple(peer for peer in sorted(others) if rotation.marks_of(peer)[:1] == (one.mark,)),
        )
        for one in ring.keys
    )


def _written(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
