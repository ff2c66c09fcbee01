"""Log, snapshots and disk under any sequence of what can happen: the disk can be started from at any moment."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.cluster.core import disk as core_disk
from daemon.cluster.core.disk import Disk
from daemon.cluster.core.effects import HardState, Persist, Saved
from daemon.cluster.core.log import Base, Log
from daemon.cluster.core.replica import _base_of
from daemon.cluster.core.snapshot import Snapshot, digest_of, head_of, read, snapshot_of
from daemon.cluster.records import LogEntry, Noop

PART_BYTES = 10

steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 3)),
        st.tuples(st.just("cut"), st.integers(1, 3)),
        st.tuples(st.just("snapshot"), st.integers(0, 35)),
        st.tuples(st.just("restore"), st.integers(1, 5)),
        st.tuples(st.sampled_from(["write", "write", "done", "done", "failed", "vote"]), st.just(0)),
    ),
    max_size=80,
)


class Platter:
    """What the store does with transactions."""

    def __init__(self) -> None:
        self.hard_state = HardState(votes=False)
        self.entries: list[LogEntry] = []
        self.snapshots: list[Snapshot] = []
        self._parts: dict[int, list[bytes]] = {}

    def write(self, job: Persist) -> None:
        self.hard_state = job.hard_state
        if job.truncate_from is not None:
            self.entries = [entry for entry in self.entries if entry.index < job.truncate_from]
        last = self.snapshots[-1].index if self.snapshots else 0
        last = self.entries[-1].index if self.entries else last
        if job.truncate_from == 1 and job.forget_to:
            last = job.forget_to
        for entry in job.entries:
            assert entry.index == last + 1, "a gap on disk"
            self.entries.append(entry)
            last = entry.index
        if job.part is not None:
            parts = self._parts.setdefault(job.part.index, [])
            del parts[job.part.number :]
            assert len(parts) == job.part.number, "a gap in a snapshot"
            parts.append(job.part.data)
            if job.part.encoded_head is not None:
                body = b"".join(self._parts.pop(job.part.index))
                self.snapshots.append(read(job.part.encoded_head, body, digest_of(body)))
        self.entries = [entry for entry in self.entries if entry.index > job.forget_to]
        self.snapshots = [snapshot for snapshot in self.snapshots if snapshot.index >= job.forget_to]

    def started(self) -> Log:
        """What a process that starts from it has.  Raises ValueError where that is damaged."""
        saved = Saved("store", self.hard_state, tuple(self.entries), tuple(self.snapshots))
        assert len(self.snapshots) <= 2
        return Log(self.entries, _base_of(saved))


class Memory:
    """Log and snapshots as the core has them, everything before `committed` being committed."""

    def __init__(self) -> None:
        self.log = Log()
        self.disk = Disk(Saved("store"), self.log, retry_ns=1)
        self.kept: list[Snapshot] = []

    @property
    def newest(self) -> int:
        return self.kept[-1].index if self.kept else 0

    def snapshot_at(self, index: int, term: int, size: int) -> Snapshot:
        body = bytes(index % 256 for _ in range(size))
        head = head_of(index=index, term=term, stamp_ms=0, standings={}, recorded={}, roster=None, remembered=())
        return snapshot_of(head, body, digest_of(body))

    def step(self, step: str, number: int) -> None:
        log, disk = self.log, self.disk
        if step == "append":
            for _ in range(number):
                log.append(LogEntry(log.last_index + 1, max(disk.hard_state.term, log.last_term), 0, Noop()))
        elif step == "cut" and log.last_index - number >= max(self.newest, log.base.index):
            log.truncate_from(log.last_index - number + 1)
            disk.truncated_from(log.last_index + 1)
        elif step == "vote":
            disk.set_hard_state(disk.hard_state.term + 1, "a1")
        elif step == "snapshot" and log.last_index > self.newest and not disk.writes_snapshot:
            snapshot = self.snapshot_at(log.last_index, log.last_term, number)
            older = self.newest
            self.kept = [*self.kept, snapshot][-2:]
            disk.write_snapshot(snapshot, forget_to=older)
        elif step == "restore":
            snapshot = self.snapshot_at(log.last_index + number, log.last_term + 1, 7 * number)
            log.begin_after(Base(snapshot.index, snapshot.head.term, 0))
            disk.replace_log(snapshot)
            self.kept = [snapshot]


@settings(deadline=None, max_examples=300)
@given(steps)
def test_the_disk_can_be_started_from_and_holds_what_is_stable(steps: list[tuple[str, int]]) -> None:
    core_disk.PART_BYTES, before = PART_BYTES, core_disk.PART_BYTES
    try:
        play(steps)
    finally:
        core_disk.PART_BYTES = before


def play(steps: list[tuple[str, int]]) -> None:
    memory, platter = Memory(), Platter()
    under_way: Persist | None = None
    now_ns = 0
    for step, number in steps:
        now_ns += 10
        memory.disk.retry_if_due(now_ns)
        memory.step(step, number)
        if step == "write":
            under_way = memory.disk.next_transaction() or under_way
        elif step == "done" and under_way is not None:
            platter.write(under_way)
            assert memory.disk.done(under_way.receipt)
            under_way = None
        elif step == "failed" and under_way is not None:
            assert memory.disk.failed(under_way.receipt, now_ns)
            under_way = None
        stable = memory.disk.stable_index
        there = [
            entry for entry in platter.entries if entry.index <= stable and entry.index > memory.log.base.index
        ]
        assert there == [entry for entry in memory.log.after(memory.log.base.index) if entry.index <= stable]
        assert platter.started().last_index >= stable
    for _ in range(100):
        if under_way is not None:
            platter.write(under_way)
            memory.disk.done(under_way.receipt)
        memory.disk.retry_if_due(now_ns := now_ns + 10)
        under_way = memory.disk.next_transaction()
        if under_way is None:
            break
    started = platter.started()
    assert (started.base.index, started.last_index) == (memory.log.base.index, memory.log.last_index)
    assert started.entries(started.first_index, started.last_index) == memory.log.after(memory.log.base.index)
    assert platter.snapshots == memory.kept
    assert memory.disk.stable_index == memory.log.last_index
