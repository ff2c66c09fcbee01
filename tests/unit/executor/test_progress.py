"""How far draining slots are: counted by their holder, told to the others, ended by the address' own time-out."""

from __future__ import annotations

import pytest

from daemon.cluster.messages import Draining, decode, encode
from daemon.executor.progress import ROWS_MAX, TELL_EVERY_NS, DrainNews, Left
from daemon.state.commands import Drain
from daemon.state.slots import Phase
from tests.unit.executor.cluster import INCARNATION, NODES, Cluster, shared
from tests.unit.executor.test_slots import SECOND_NS, Host, held_by

DATAGRAM_BYTES = 1_200


def draining(drain_timeout: str = "") -> tuple[Cluster, Host, int]:
    """a1 is drained and has let its successor in: (state, a1, its slot)."""
    cluster = Cluster(shared(drain_timeout=drain_timeout))
    cluster.probed("VIP")
    hosts = {name: Host(cluster, name) for name in NODES}
    for host in hosts.values():
        host.step()
    (number,) = held_by(cluster, "a1")
    cluster.request(Drain("a1", None, None, True, "root"), "a1")
    hosts["a1"].step()
    assert cluster.state.slots["VIP"][number].phase is Phase.SPLIT
    return cluster, hosts["a1"], number


def counted(cluster: Cluster, host: Host, number: int, flows: int) -> Left | None:
    host.executor.slots.flows_left(cluster.state, "VIP", number, flows, host.now_ns)
    return host.executor.left(cluster.state, host.now_ns).get(("VIP", number))


@pytest.mark.parametrize(("drain_timeout", "timeout_s"), [("7s", 7), ("2min", 120), ("", 60)])
def test_the_time_out_of_the_address_goes_before_the_hosts(drain_timeout: str, timeout_s: int) -> None:
    cluster, host, number = draining(drain_timeout)
    assert counted(cluster, host, number, 3) == Left(3, timeout_s * 1000)
    host.now_ns += timeout_s * SECOND_NS - 1
    assert counted(cluster, host, number, 3) == Left(3, 0)
    assert not host.step()
    host.now_ns += 1
    counted(cluster, host, number, 3)
    (report,) = host.step()
    assert (report.what, report.broken) == ("closed", {number: 3})


def test_flows_that_were_broken_are_ended_once_and_not_before_the_kernel_has_closed_their_slot() -> None:
    cluster, host, number = draining(drain_timeout="0")
    counted(cluster, host, number, 2)
    effects = host.executor.take(cluster.state, host.now_ns)
    assert effects.kernel is not None
    assert not effects.end_flows
    host.executor.kernel_did(cluster.state, effects.kernel, {})
    assert host.executor.take(cluster.state, host.now_ns).end_flows == [("VIP", frozenset({number}))]
    assert not host.executor.take(cluster.state, host.now_ns).end_flows


def test_what_ends_by_itself_breaks_nothing() -> None:
    cluster, host, number = draining(drain_timeout="0")
    host.executor.slots.flows_left(cluster.state, "VIP", number, 0, host.now_ns)
    (report,) = host.step()
    assert (report.what, report.broken) == ("closed", {})


def test_a_time_out_of_nothing_breaks_what_is_there_at_once() -> None:
    cluster, host, number = draining(drain_timeout="0")
    counted(cluster, host, number, 2)
    (report,) = host.step()
    assert report.broken == {number: 2}


def test_a_time_out_that_is_changed_counts_for_what_drains_already() -> None:
    cluster, host, number = draining()
    host.now_ns += 5 * SECOND_NS
    assert counted(cluster, host, number, 1) == Left(1, 55_000)
    cluster.edit(shared(drain_timeout="4s"))
    counted(cluster, host, number, 1)
    reports = [report for report in host.step() if report.what == "closed"]
    assert [report.broken for report in reports] == [{number: 1}]


def test_the_others_are_told_and_keep_what_is_true_now() -> None:
    cluster, host, number = draining()
    counted(cluster, host, number, 5)
    host.now_ns += SECOND_NS
    told = host.executor.take(cluster.state, host.now_ns).draining
    assert told is not None
    assert decode(encode(told)) == told
    other = Host(cluster, "a2").executor
    other.heard("a1", told, cluster.state, host.now_ns)
    assert other.left(cluster.state, host.now_ns) == {("VIP", number): Left(5, 59_000)}
    cluster.request(Drain("a1", None, None, False, "root"), "a1")
    host.executor.slots.flows_left(cluster.state, "VIP", number, 0, host.now_ns)
    host.step()
    assert other.left(cluster.state, host.now_ns) == {}, "the move has ended"


def test_what_others_say_of_slots_that_are_not_theirs_means_nothing() -> None:
    cluster, host, number = draining()
    generation = cluster.state.slots["VIP"][number].generation
    other = Host(cluster, "a2").executor
    for sender, message in (
        ("a3", Draining(INCARNATION, [("VIP", number, generation, 9, 9)])),
        ("stranger", Draining(INCARNATION, [("VIP", number, generation, 9, 9)])),
        ("a1", Draining(INCARNATION + 1, [("VIP", number, generation, 9, 9)])),
        ("a1", Draining(INCARNATION, [("VIP", number, generation - 1, 9, 9)])),
        ("a1", Draining(INCARNATION, [("VIP", number + 40, generation, 9, 9), ("X", 0, 1, 1, 1)])),
    ):
        other.heard(sender, message, cluster.state, host.now_ns)
    assert other.left(cluster.state, host.now_ns) == {}


def test_many_slots_are_told_in_turn_a_datagram_at_a_time() -> None:
    news = DrainNews("a1", INCARNATION)
    own = {("an-address-of-a-longer-name", n): (1_000_000 + n, Left(1_000_000, 3_600_000)) for n in range(150)}
    assert news.words({}, 0) is None
    told: list[int] = []
    for turn in range(7):
        message = news.words(own, turn * TELL_EVERY_NS)
        assert message is not None
        assert news.words(own, turn * TELL_EVERY_NS + 1) is None, "twice a second"
        assert len(message.rows) <= ROWS_MAX
        assert len(encode(message)) <= DATAGRAM_BYTES
        told += [row[1] for row in message.rows]
    assert told == list(range(150))
