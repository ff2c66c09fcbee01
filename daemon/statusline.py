"""What `systemctl status vipcastd` says of the cluster: one line, told when it has changed (sd_notify(3), STATUS=)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agents import notify
from daemon.cluster.clock import boot_ns
from daemon.cluster.core.effects import CoreStatus
from daemon.node import Node
from datapath.engine import SlotState, Wish

EVERY_S = 2.0


def sentence(core: CoreStatus, serving: Sequence[Wish], now_ns: int) -> str:
    """Quorum, leader, and what the kernel of this host accepts."""
    quorum = f"in quorum, {core.leader} leads" if core.quorate and core.leader else "WITHOUT quorum"
    if core.lease_until_ns is None or now_ns >= core.lease_until_ns:
        return f"{quorum}; no lease: this host serves nothing"
    shares = [
        f"{sum(state is SlotState.OPEN for state in wish.states.values())} of {wish.address.slots} slots of"
        f" {wish.address.resource}"
        for wish in sorted(serving, key=lambda wish: wish.address.resource)
    ]
    return f"{quorum}; serves {', '.join(shares) or 'no address'}"


async def keep_telling(node: Node) -> None:
    """As a task of the loop, for as long as it turns."""
    told = ""
    while True:
        now_ns = boot_ns()
        said = sentence(node.core.status(now_ns), node.addresses.serving, now_ns)
        if said != told:
            notify.status(said)
            told = said
        await asyncio.sleep(EVERY_S)
