"""Snapshots: what must be in them, when they count, and what follows them (Raft, section 7)."""

from __future__ import annotations

from typing import Any

from daemon.cluster.core import Core
from daemon.cluster.core.commits import Commits
from daemon.cluster.core.replica import Replica
from daemon.cluster.core.snapshot import Snapshot
from tests.simulation.cast import Cast
from tests.simulation.omissions.omission import Omission
from tests.simulation.scenes.snapshots import a_host_whose_admission_is_in_a_snapshot_alone


class ForgetsTheConfiguration(Core):
    """A snapshot is the state, and who takes part and whose store votes is looked up in the log."""

    class _Commits(Commits):
        def restore(self, snapshot: Snapshot) -> None:
            super().restore(snapshot)
            forget(self.replica)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        forget(self.replica)

    def _new_commits(self) -> Commits:
        return self._Commits(self.replica, self.proposals, self._restart_is_granted)


def forget(replica: Replica) -> None:
    admissions = replica.admissions
    admissions.committed, admissions.recorded = {}, {}
    admissions.truncated(replica.log.after(replica.commit))


class CommitBehindTheState(Core):
    """The state comes from the newest snapshot, and the log is delivered from where it begins."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        if self.snapshots:
            self.replica.commit = self.replica.log.base.index


OMISSIONS = (
    Omission(
        "snapshot-configuration",
        "7",
        "who takes part and whose store votes is looked up in what is left of the log",
        Cast(ForgetsTheConfiguration),
        scene=a_host_whose_admission_is_in_a_snapshot_alone,
    ),
    Omission(
        "snapshot-commit",
        "7",
        "the state comes from the newest snapshot, and the log is delivered from where it begins",
        Cast(CommitBehindTheState),
        first_seed=0,
    ),
)
