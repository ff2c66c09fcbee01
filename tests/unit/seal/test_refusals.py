from __future__ import annotations

from daemon.cluster.refusals import LINES_PER_QUIET_MAX, QUIET_NS, SOURCES_MAX, Refusals


def test_the_same_refusal_is_said_once_a_minute_and_counted_every_time() -> None:
    refusals = Refusals()
    lines = [refusals.note("wrong-key", "10.0.0.9", second * 1_000_000_000) for second in range(61)]
    assert lines[0] == "refused a datagram from 10.0.0.9: wrong-key"
    assert lines[1:60] == [None] * 59
    assert lines[60] == "refused a datagram from 10.0.0.9: wrong-key (59 more of these since the last line)"
    assert refusals.counts == {"wrong-key": 61}


def test_another_reason_or_source_is_said_at_once() -> None:
    refusals = Refusals()
    assert refusals.note("wrong-key", "10.0.0.9", 0)
    assert refusals.note("replayed", "10.0.0.9", 0, "a2") == "refused a datagram from 10.0.0.9: replayed: a2"
    assert refusals.note("wrong-key", "10.0.0.8", 0)


def test_a_flood_from_invented_sources_fills_neither_log_nor_memory() -> None:
    refusals = Refusals()
    lines = 0
    for number in range(10 * SOURCES_MAX):
        lines += refusals.note("malformed", f"source {number}", number) is not None
    assert lines == LINES_PER_QUIET_MAX
    assert len(refusals._said) <= SOURCES_MAX
    assert refusals.note("malformed", "one more", 2 * QUIET_NS)
