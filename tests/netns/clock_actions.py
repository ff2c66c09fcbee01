"""A host's leases and its clocks, inside a namespace (see tests.netns.inside)."""

from __future__ import annotations

import time
from pathlib import Path

from daemon.addresses import SharedAddresses
from datapath.engine import Wish
from datapath.host.clocks import ClockChange
from datapath.nft.engine import NftEngine
from datapath.nft.lease import Term, renewal
from tests.netns import actions

NS_PER_MS = 1_000_000


def deadlines_around_a_step(run_dir: str, wish: Wish, lease_ms: int, step_ms: int) -> tuple[int, int, int]:
    """Own deadline, the kernel's when the wall clock was set by `step_ms`, and the kernel's when that was told.

    The machine's clock stays as it is: what the kernel holds is as if it had been set after the renewal.
    """
    engine = NftEngine(Path(run_dir))
    engine.start()
    engine.apply([wish])
    addresses = SharedAddresses(engine, lambda _: None, lambda _: None)
    addresses.serving = (wish,)
    own = actions.boottime_ns() + lease_ms * NS_PER_MS
    addresses.renew(own)
    wall = time.time_ns() + (lease_ms - step_ms) * NS_PER_MS
    engine._transact(renewal(Term(wall, lease_ms)))
    stepped = engine.deadline_ns()
    addresses.clocks_changed(ClockChange(step_ms * NS_PER_MS, 0), actions.boottime_ns())
    told = engine.deadline_ns()
    engine.remove()
    engine.close()
    return own, stepped, told
