"""All nodes count by the same timers (daemon/cluster/timers.py)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from daemon.cluster.core import Core, Saved
from daemon.cluster.messages import Heartbeat
from daemon.cluster.timers import Timers
from tests.simulation.cast import Cast
from tests.simulation.omissions.omission import Omission
from tests.simulation.scenes.timers import (
    a_host_with_a_longer_lease_is_cut_off,
    timers_that_are_shortened_one_host_at_a_time,
)


class OtherTimersAreBelieved(Core):
    """A node is granted leases by whoever leads, whatever it takes a lease to be."""

    def _on_heartbeat(self, sender: str, heartbeat: Heartbeat, now_ns: int) -> None:
        super()._on_heartbeat(sender, replace(heartbeat, terms=()), now_ns)


class TimersThatWereForgotten(Core):
    """A process does not know by which timers the one before it has promised."""

    def __init__(
        self,
        name: str,
        founders: Sequence[str],
        timers: Timers,
        incarnation: int,
        boot_id: str,
        saved: Saved,
        *rest: Any,
    ) -> None:
        saved = dataclasses.replace(saved, hard_state=dataclasses.replace(saved.hard_state, terms=None))
        super().__init__(name, founders, timers, incarnation, boot_id, saved, *rest)


OMISSIONS = (
    Omission(
        "other-timers-believed",
        "16",
        "a node is granted leases whatever it takes a lease to be",
        Cast(OtherTimersAreBelieved),
        scene=a_host_with_a_longer_lease_is_cut_off,
    ),
    Omission(
        "former-timers-forgotten",
        "5",
        "a process that starts with shorter timers waits by those alone",
        Cast(TimersThatWereForgotten),
        scene=timers_that_are_shortened_one_host_at_a_time,
    ),
)
