"""A node that comes and goes waits for longer each time; one that restarts by intention does not."""

from __future__ import annotations

from daemon.cluster.core.admissions import Admissions
from daemon.cluster.core.effects import HeldDown, Refused, RestartGranted
from daemon.cluster.messages import AskRestart
from daemon.cluster.records import Admit, Command, LogEntry, Lost, Restart
from tests.unit.cluster_core.node import MS, TIMERS, Node
from tests.unit.cluster_core.test_leader import keep_leading, leader

LOSS_MS = TIMERS.loss_after_ns / MS
OTHERS = ("a2", "a4")


def standings(*commands: tuple[int, Command]) -> Admissions:
    """After entries with these stamps."""
    log = (LogEntry(index, 1, stamp_ms, command) for index, (stamp_ms, command) in enumerate(commands, 1))
    return Admissions(log)


def lose(node: Node) -> None:
    """a3 falls silent until it is declared lost."""
    before = node.tail().count(Lost("a3"))
    for _ in range(40):
        keep_leading(node, 25, heard=OTHERS)
        node.core.wall_ms += 25
        if node.tail().count(Lost("a3")) > before:
            keep_leading(node, 50, heard=OTHERS)
            return
    raise AssertionError("a3 is not lost")


def come_back(node: Node, within_ms: int) -> int | None:
    """a3 is heard again as a new process; after how long it is admitted, in steps of 25 ms."""
    node.incarnations["a3"] += 1
    wanted = (node.incarnations["a3"], "a3-boot")
    for passed_ms in range(0, within_ms, 25):
        keep_leading(node, 25)
        node.core.wall_ms += 25
        standing = node.core.replica.admissions.tail["a3"]
        if standing.admitted and (standing.incarnation, standing.kernel_boot_id) == wanted:
            node.epochs["a3"] = standing.epoch
            keep_leading(node, 50)
            return passed_ms
    return None


def test_the_first_loss_costs_no_wait_and_the_next_ones_cost_more_each_time() -> None:
    node = leader()
    waits = []
    for _ in range(3):
        lose(node)
        waits.append(come_back(node, 4_000))
    first, second, third = waits
    assert first is not None
    assert first <= 50
    assert second is not None
    assert 700 <= second <= 1_050
    assert third is not None
    assert 1_700 <= third <= 2_050
    held = [event for event in node.events if isinstance(event, HeldDown)]
    assert [(event.node, event.times) for event in held] == [("a3", 2), ("a3", 3)]


def test_whoever_is_the_last_one_is_admitted_at_once() -> None:
    node = leader()
    for _ in range(3):
        lose(node)
        come_back(node, 4_000)
    lose(node)
    tail = node.core.replica.admissions.tail
    for name in ("a1", "a2", "a4"):
        tail[name] = standings((0, Admit(name, 1, "b")), (0, Lost(name))).tail[name]
    assert node.core.leader is not None
    assert not node.core.leader._is_held_down("a3", node.now_ns)


def test_losses_are_counted_from_the_log_alike_everywhere() -> None:
    admissions = standings(
        (0, Admit("a3", 1, "b")),
        (1_000, Lost("a3")),
        (2_000, Admit("a3", 2, "b")),
        (3_000, Lost("a3")),
    )
    assert (admissions.tail["a3"].flaps.times, admissions.tail["a3"].flaps.last) == (2, 3_000)


def test_a_restart_that_took_too_long_is_no_flap() -> None:
    admissions = standings((0, Admit("a3", 1, "b")), (1_000, Restart("a3", 1, 500)), (2_000, Lost("a3")))
    assert admissions.tail["a3"].flaps.times == 0
    assert admissions.tail["a3"].restart is None


def test_a_restart_of_another_process_than_the_admitted_one_changes_nothing() -> None:
    admissions = standings((0, Admit("a3", 2, "b")), (1_000, Restart("a3", 1, 500)))
    assert admissions.tail["a3"].restart is None


def test_who_asks_for_a_restart_twice_gets_one_entry() -> None:
    node = leader()
    node.hear("a3")
    for _ in range(3):
        node.receive("a3", AskRestart(node.incarnations["a3"], 5_000))
    assert node.tail().count(Restart("a3", 1, 5_000)) == 1


def test_a_restart_longer_than_the_settings_allow_is_refused_with_the_reason() -> None:
    node = leader()
    node.receive("a3", AskRestart(node.incarnations["a3"], TIMERS.restart_ms + 1))
    assert not any(isinstance(command, Restart) for command in node.tail())
    [refusal] = [event for event in node.events if isinstance(event, Refused)]
    assert "restart_ms allows 10000" in refusal.reason


def test_a_process_that_is_not_admitted_gets_no_restart_lease() -> None:
    node = leader()
    node.receive("a3", AskRestart(node.incarnations["a3"] + 1, 5_000))
    assert not any(isinstance(command, Restart) for command in node.tail())


def test_a_node_that_restarts_is_not_lost_before_its_time_is_over() -> None:
    node = leader()
    node.hear("a3")
    node.receive("a3", AskRestart(node.incarnations["a3"], 2_000))
    keep_leading(node, 2_350, heard=OTHERS)
    assert Lost("a3") not in node.tail()
    keep_leading(node, 100, heard=OTHERS)
    assert Lost("a3") in node.tail()


def test_the_next_process_is_admitted_at_once_and_lost_as_usual_once_its_kernel_holds_that() -> None:
    node = leader()
    node.hear("a3")
    node.receive("a3", AskRestart(node.incarnations["a3"], 5_000))
    keep_leading(node, 200, heard=OTHERS)
    assert come_back(node, 200) is not None
    assert Lost("a3") not in node.tail()
    keep_leading(node, LOSS_MS + 50, heard=OTHERS)
    assert Lost("a3") in node.tail()


def test_a_leader_that_restarts_gets_its_own_lease_from_its_stamp() -> None:
    node = leader()
    asked_ns = node.now_ns
    node.core.restart(3_000, node.now_ns)
    node.drain()
    keep_leading(node, 50)
    assert RestartGranted(asked_ns + 3_000 * MS) in node.events
