"""Rules left out on purpose, one at a time: a checker that finds none of these would prove nothing.

Each omission subclasses what ships, and one method does what somebody might have written who had not read LEASES.md.
The shipped code knows nothing of them.  A file a theme; whoever adds a rule adds its omission to the theme's table.
"""

from __future__ import annotations

from tests.simulation.omissions import (
    consensus,
    elections,
    fencing,
    grants,
    losses,
    overlays,
    restarts,
    rosters,
    slack,
    slots,
    snapshots,
    stores,
    timers,
)
from tests.simulation.omissions.omission import Omission

THEMES = (
    elections,
    consensus,
    grants,
    losses,
    restarts,
    slack,
    stores,
    snapshots,
    slots,
    overlays,
    rosters,
    fencing,
    timers,
)

OMISSIONS: dict[str, Omission] = {omission.name: omission for theme in THEMES for omission in theme.OMISSIONS}
