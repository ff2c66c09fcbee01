"""How many instances a clone may have: every node of the cluster computes with each of them at every entry.

The limits are where a plan still takes about a second.  Slots of a shared address are planned as one block, which
costs next to nothing; instances that are processes cost according to their number times that of the hosts.
"""

from __future__ import annotations

SLOTS_MAX = 4_096
"""of a shared address: some forty for each of a hundred hosts"""
UNIQUE_MAX = 4_096
"""of any other globally-unique clone"""
ANONYMOUS_MAX = 1_000
"""more than there can be hosts"""


def instances_max(*, unique: bool, address: bool, nodes: int) -> int:
    """The most instances that a clone can have; as many as there are nodes are possible always."""
    if unique and address:
        return SLOTS_MAX
    return max(UNIQUE_MAX if unique else ANONYMOUS_MAX, nodes)
