"""What the engines of a pair are asked for in their own processes: of one address, all slots."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from datapath.engine import Address, Conversations, NeedsHelper, Taken, Wish
from datapath.nft import contents, states
from datapath.nft.engine import NftEngine
from datapath.nft.names import Names
from tests.netns import actions

SLOTS = range(4)
"""of tests.netns.engine_contract.ADDRESS"""
_PATIENCE_S = 15.0


def apply(wishes: Sequence[Wish]) -> int:
    """When it was done (CLOCK_REALTIME, ns)."""
    actions.apply(wishes)
    return time.clock_gettime_ns(time.CLOCK_REALTIME)


def taken(resource: str) -> Taken:
    return actions.reconciling().taken(resource, SLOTS)


def listen(resource: str) -> None:
    actions.reconciling().listen(resource, SLOTS)


def refuse(resource: str, told: Taken) -> None:
    actions.reconciling().refuse(resource, SLOTS, told)


def release(resource: str) -> int:
    return actions.reconciling().release(resource, SLOTS)


def await_forwarder() -> None:
    engine = actions.reconciling()
    assert isinstance(engine, NeedsHelper)
    end = time.monotonic() + _PATIENCE_S
    while engine.ailment() is not None:
        assert time.monotonic() < end, engine.ailment()
        time.sleep(0.01)


SOON_S = 0.5


def forget_syns_soon(wish: Wish) -> None:
    """Noted SYNs are forgotten after half a second (nft): for them an hour has passed then.  Begins with `wish`."""
    contents.SYN_TIMEOUT_MS = states.SYN_TIMEOUT_MS = int(SOON_S * 1000)
    actions.apply([])
    actions.apply([wish])
    actions.renew(60_000)


def expiring_flows(address: Address) -> int:
    """Flows of living connections that some clock would end (nft; the other engines ask the sockets)."""
    engine = actions._engines[-1]
    if not isinstance(engine, NftEngine):
        return 0
    names = Names.of(address.ip)
    return sum("expiration" in element for element in engine._reader.elements(names.keep))


def conversations(resource: str, idle_s: float) -> Conversations:
    return actions.reconciling().conversations(resource, SLOTS, int(idle_s * 1e9))


def leave(resource: str, names: Collection[bytes]) -> None:
    actions.reconciling().leave(resource, SLOTS, names)
