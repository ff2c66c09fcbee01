"""How a node goes while its process still runs: it gives everything away, or has its kernel go on without it."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from daemon.cluster.clock import boot_ns
from daemon.cluster.core.proposals import TooMuchProposedError
from daemon.node import Node
from daemon.state.commands import Leave

log = logging.getLogger("vipcast.node")

LEAVE_NS = 75_000_000_000
"""for what is given away before a stop; TimeoutStopSec= of the unit leaves room beyond it"""
LEAVE_LOOK_S = 0.02
RESTART_ASKED_S = 3.0
"""an election and a commit on slow disks fit in"""


async def restart(node: Node, duration_ms: int) -> bool:
    """Have the kernel go on under a restart lease (`daemon.cluster.core.restarts`); True when it does.

    Then nothing more happens here: no message is sent, no lease renewed, and the process is to end.  False where
    the log did not take it in time; then what this node holds ends with its lease, as in a crash.
    """
    now_ns = boot_ns()
    if not node.executor.admitted(node.state):
        return False
    _hand_over(node, now_ns)
    node.core.restart(duration_ms, now_ns)
    node.pump()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(RESTART_ASKED_S):
            await node.restart_granted
            return True
    return False


async def leave(node: Node) -> None:
    """Give everything away and stop it here, `LEAVE_NS` at most; then hand over the leadership if it is ours."""
    end_ns = boot_ns() + LEAVE_NS
    node.quorumless.is_leaving = True
    asked: int | None = None
    while not node.executor.has_left(node.state, boot_ns()):
        # again where it was given up, or where this node was lost and admitted anew in between
        if asked not in node.outstanding and node.executor.may_ask_to_leave(node.state):
            with contextlib.suppress(TooMuchProposedError):
                asked = node.propose(Leave(node.executor.node, node.executor.incarnation))
        if boot_ns() >= end_ns:
            log.warning("not everything could be given away in time; what is left ends with this process")
            break
        await asyncio.sleep(LEAVE_LOOK_S)
    _hand_over(node, boot_ns())
    node.pump()


def _hand_over(node: Node, now_ns: int) -> None:
    """Let the first that has the whole log lead; whoever lacks entries, or is this node, says no."""
    peers = [peer.name for peer in node.core.status(now_ns).peers if peer.live and peer.admitted]
    any(node.core.transfer(name, now_ns) for name in peers)
