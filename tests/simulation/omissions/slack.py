"""Longer leases for hosts that are not scheduled in time (docs/decisions/0013)."""

from __future__ import annotations

from daemon.cluster.core import Core
from daemon.cluster.core.leader import Leader
from tests.simulation.cast import Cast
from tests.simulation.omissions.omission import Omission
from tests.simulation.scenes.slack import (
    a_late_host_is_cut_off,
    a_late_host_starts_again_in_time,
)


class SlackIsForgotten(Core):
    """A node is lost after the lease that everybody has."""

    class _Leader(Leader):
        def _slack_ns(self, name: str) -> int:
            return 0

    def _new_leader(self, expired: str | None, now_ns: int) -> Leader:
        return self._Leader(self.replica, expired, now_ns)


class SlackAsToldToday(Core):
    """A leader goes by what the node's newest heartbeat asks for."""

    class _Leader(Leader):
        def _slack_ns(self, name: str) -> int:
            return self.replica.timers.slack_over_after_ns(self._slack_of(name))

    def _new_leader(self, expired: str | None, now_ns: int) -> Leader:
        return self._Leader(self.replica, expired, now_ns)


class SlackWithoutTheLog(Core):
    """A node takes a longer lease as soon as it wants one, whatever its admission says."""

    def _slack_ns(self) -> int:
        return 200_000_000


OMISSIONS = (
    Omission(
        "slack-forgotten",
        "16",
        "a node is lost after the lease that everybody has",
        Cast(SlackIsForgotten),
        scene=a_late_host_is_cut_off,
    ),
    Omission(
        "slack-as-told-today",
        "20",
        "a leader goes by what the node's newest heartbeat asks for, not by the log",
        Cast(SlackAsToldToday),
        scene=a_late_host_starts_again_in_time,
    ),
    Omission(
        "slack-without-the-log",
        "13",
        "a node takes a longer lease whatever its admission says",
        Cast(SlackWithoutTheLog),
        scene=a_late_host_is_cut_off,
    ),
)
