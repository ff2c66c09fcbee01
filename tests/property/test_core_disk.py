"""Log and disk under any sequence of appends, cuts, votes, fsyncs and refusals."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.cluster.core.disk import Disk
from daemon.cluster.core.effects import HardState, Persist, Saved, Send
from daemon.cluster.core.log import Log
from daemon.cluster.messages import Reject
from daemon.cluster.records import LogEntry, Noop

steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 1)),
        st.tuples(st.just("cut"), st.integers(1, 12)),
        st.tuples(st.just("vote"), st.integers(0, 2)),
        st.tuples(st.sampled_from(["write", "done", "failed", "hold"]), st.just(0)),
    ),
    max_size=60,
)


class Platter:
    """What the store does with transactions."""

    def __init__(self) -> None:
        self.hard_state = HardState(votes=False)
        self.entries: list[LogEntry] = []

    def write(self, persist: Persist) -> None:
        self.hard_state = persist.hard_state
        if persist.truncate_from is not None:
            del self.entries[persist.truncate_from - 1 :]
        for entry in persist.entries:
            assert entry.index == len(self.entries) + 1
            self.entries.append(entry)


@settings(deadline=None)
@given(steps)
def test_the_stable_part_is_on_disk_and_messages_leave_after_what_they_reveal(steps: list[tuple[str, int]]) -> None:
    log = Log()
    disk, platter = Disk(Saved("store"), log, retry_ns=1), Platter()
    under_way: Persist | None = None
    held: dict[int, tuple[HardState, list[LogEntry]]] = {}
    now_ns = 0
    for step, number in steps:
        now_ns += 10
        disk.retry_if_due(now_ns)
        if step == "append":
            term = max(disk.hard_state.term, log.last_term) + number
            log.append(LogEntry(log.last_index + 1, term, 0, Noop()))
        elif step == "cut" and number <= log.last_index:
            log.truncate_from(number)
            disk.truncated_from(number)
        elif step == "vote":
            disk.set_hard_state(disk.hard_state.term + 1, str(number))
        elif step == "write":
            started = disk.next_transaction()
            assert started is None or under_way is None
            under_way = started or under_way
        elif step == "done" and under_way is not None:
            platter.write(under_way)
            assert disk.done(under_way.receipt)
            under_way = None
        elif step == "failed" and under_way is not None:
            assert disk.failed(under_way.receipt, now_ns)
            under_way = None
        elif step == "hold":
            held[len(held)] = (disk.hard_state, log.entries(1, log.last_index))
            disk.hold(Send(None, Reject(len(held) - 1)))
        assert platter.entries[: disk.stable_index] == log.entries(1, disk.stable_index)
        assert len(platter.entries) >= disk.stable_index
        for send in disk.released():
            assert isinstance(send.message, Reject)
            hard_state, _ = held[send.message.term]
            assert platter.hard_state.term >= hard_state.term


@settings(deadline=None)
@given(steps)
def test_after_all_fsyncs_disk_and_memory_are_the_same(steps: list[tuple[str, int]]) -> None:
    log = Log()
    disk, platter = Disk(Saved("store"), log, retry_ns=1), Platter()
    for step, number in steps:
        if step == "append":
            log.append(LogEntry(log.last_index + 1, max(disk.hard_state.term, log.last_term) + number, 0, Noop()))
        elif step == "cut" and number <= log.last_index:
            log.truncate_from(number)
            disk.truncated_from(number)
        elif step == "vote":
            disk.set_hard_state(disk.hard_state.term + 1, str(number))
        elif step == "write" and (persist := disk.next_transaction()) is not None:
            platter.write(persist)
            disk.done(persist.receipt)
    if (persist := disk.next_transaction()) is not None:
        platter.write(persist)
        disk.done(persist.receipt)
    assert platter.entries == log.entries(1, log.last_index)
    assert platter.hard_state == disk.hard_state
    assert disk.next_transaction() is None
    assert disk.released() == []
