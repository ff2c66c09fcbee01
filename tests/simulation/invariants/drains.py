"""What is drained gets nothing: whoever is given a slot by an entry is not drained before and after it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from daemon.scheduler.drained import Drained
from daemon.state.outcome import Change
from tests.simulation.invariants.violation import ViolationError


def check(
    before: Collection[Drained], after: Collection[Drained], changed: Mapping[tuple[str, int], Change]
) -> None:
    """Raises ViolationError.  `changed` is of the entry that lies between the two sets of drains."""
    lasting = set(before) & set(after)
    for (address, number), (was, now) in changed.items():
        if now is None:
            continue
        had = set() if was is None else {was.holder, was.successor}
        for name in {now.holder, now.successor} - had - {None}:
            for drain in lasting:
                if name is not None and drain.covers(name, address, number):
                    raise ViolationError(
                        f"{name} is given slot {address}:{number} although {drain.name} is drained"
                    )
