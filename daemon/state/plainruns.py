"""Whether an address that is to be shared may still be up as a plain one, on one host with that host's own MAC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daemon.state.state import State


def may_run(state: State, address: str, standings: Mapping[str, str]) -> bool:
    """`standings` are the results' (`Results.standings`).

    A node where nobody has looked counts as one where it runs as long as no slot is held (then the plain resource
    may have been what served until now).  Once slots are held, an unprobed newcomer does not keep the others from
    taking over what is free.  Nobody looks on a witness, which runs nothing but what it has not given away yet.
    """
    candidates = (n.name for n in state.nodes.values() if n.admitted and n.name not in state.witnesses)
    found = {standings.get(node, "unknown") for node in candidates}
    found |= {standings[witness] for witness in state.witnesses if witness in standings}
    return "running" in found or ("unknown" in found and not state.slots.get(address))
