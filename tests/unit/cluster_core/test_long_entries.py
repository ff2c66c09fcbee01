"""An entry of megabytes takes its time to travel: it is not sent anew with every round meanwhile."""

from __future__ import annotations

from daemon.cluster.core.compaction import Compaction, Interval
from daemon.cluster.core.log import Log
from daemon.cluster.core.proposals import Proposals
from daemon.cluster.core.replication import Replication
from daemon.cluster.core.sending import Sendings
from daemon.cluster.messages import TRAVEL_NS_PER_BYTE, Append, AppendAnswer
from daemon.cluster.records import LogEntry, Request

PATIENCE_NS = 25_000_000
ROUND_NS = 50_000_000
LONG_BYTES = 2_000_000
TRAVEL_NS = TRAVEL_NS_PER_BYTE * LONG_BYTES


def sent_within(body: bytes, span_ns: int) -> int:
    """How often the entry leaves while a follower says with every round that it lacks it."""
    log = Log()
    sent: list[Append] = []

    def make_append(first: int, count: int) -> Append:
        return Append(1, 1, first - 1, 0, log.entries(first, first + count - 1), 0, True)

    sendings = Sendings(Compaction((), Interval()), 1, lambda *_: None, PATIENCE_NS)
    replication = Replication(
        log, ["a2"], make_append, lambda _, append: sent.append(append), PATIENCE_NS, sendings
    )
    log.append(LogEntry(1, 1, 0, Request("a1", 1, 1, body)))
    replication.flush(0)
    for now_ns in range(ROUND_NS, span_ns, ROUND_NS):
        replication.answered("a2", AppendAnswer(1, 1, 0, 1), now_ns)
    return sum(bool(append.entries) for append in sent)


def test_a_long_entry_is_sent_again_once_it_must_have_arrived_and_not_before() -> None:
    assert sent_within(bytes(LONG_BYTES), TRAVEL_NS) == 1
    assert sent_within(bytes(LONG_BYTES), TRAVEL_NS + 2 * ROUND_NS) == 2


def test_a_short_entry_is_sent_again_with_every_round() -> None:
    assert sent_within(b"short", 10 * ROUND_NS) == 10


def test_a_long_proposal_is_repeated_once_it_must_have_arrived_and_not_before() -> None:
    proposals = Proposals(repeat_ns=2 * ROUND_NS)
    proposals.add(bytes(LONG_BYTES), 0)
    assert len(proposals.due(0)) == 1
    assert proposals.due(TRAVEL_NS - 1) == []
    assert len(proposals.due(TRAVEL_NS)) == 1
