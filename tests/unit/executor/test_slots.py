"""What one node does with its slots: kernel states wanted, and what it tells the log."""

from __future__ import annotations

from daemon.executor import Executor
from daemon.executor.slots import Wanted
from daemon.model.configuration import Configuration
from daemon.state.commands import Leave, Return, Slots
from daemon.state.slots import Phase
from datapath.engine import SlotState
from tests.unit.executor.cluster import INCARNATION, Cluster, shared

SECOND_NS = 1_000_000_000


class Host:
    """An executor with a kernel that does as it is told."""

    def __init__(self, cluster: Cluster, node: str, drain_timeout_ms: int = 60_000) -> None:
        self.cluster = cluster
        self.executor = Executor(node, INCARNATION, drain_timeout_ms)
        self.executor.lease(10**18)
        self.kernel: Wanted = {}
        self.epochs: list[int] = []
        self.now_ns = SECOND_NS

    def step(self) -> list[Slots]:
        """Everything that there is to do now; reports that are made are applied."""
        told: list[Slots] = []
        for _ in range(20):
            effects = self.executor.take(self.cluster.state, self.now_ns)
            if effects.kernel is not None:
                self.kernel = effects.kernel
                self.executor.kernel_did(self.cluster.state, effects.kernel, {})
            if effects.enforced_epoch is not None:
                self.epochs.append(effects.enforced_epoch)
            for command in effects.proposals:
                if isinstance(command, Slots):
                    told.append(command)
                    self.cluster.request(command, command.node)
                    self.executor.proposal_ended(command)
            if effects.kernel is None and not effects.proposals and effects.enforced_epoch is None:
                return told
        raise AssertionError("the executor does not come to rest")

    def slot(self, number: int) -> SlotState:
        want = self.kernel.get("VIP")
        return SlotState.CLOSED if want is None else want.states.get(number, SlotState.CLOSED)


def held_by(cluster: Cluster, node: str) -> list[int]:
    return [number for number, slot in cluster.state.slots["VIP"].items() if slot.holder == node]


def serving() -> Cluster:
    cluster = Cluster(shared())
    cluster.probed("VIP")
    return cluster


def test_a_node_opens_the_slots_it_holds_and_tells_so() -> None:
    cluster = serving()
    host = Host(cluster, "a1")
    told = host.step()
    (mine,) = held_by(cluster, "a1")
    assert host.slot(mine) is SlotState.OPEN
    assert [report.what for report in told] == ["ready", "opened"]
    assert cluster.state.slots["VIP"][mine].opened


def test_the_epoch_is_offered_only_after_the_kernel_has_done_what_it_says() -> None:
    cluster = serving()
    host = Host(cluster, "a1")
    effects = host.executor.take(cluster.state, host.now_ns)
    assert effects.kernel is not None
    assert effects.enforced_epoch is None
    host.executor.kernel_did(cluster.state, effects.kernel, {})
    assert host.executor.take(cluster.state, host.now_ns).enforced_epoch == cluster.state.nodes["a1"].epoch


def test_a_process_that_is_not_admitted_leaves_the_kernel_alone() -> None:
    cluster = serving()
    stranger = Executor("a1", INCARNATION + 1, 60_000)
    effects = stranger.take(cluster.state, SECOND_NS)
    assert effects.kernel is None
    assert not effects.operations
    assert not effects.proposals


def test_a_node_that_was_declared_lost_closes_everything() -> None:
    cluster = serving()
    host = Host(cluster, "a1")
    host.step()
    cluster.lose("a1")
    host.step()
    assert host.kernel == {}


def test_slots_of_a_lost_node_open_elsewhere_in_one_step() -> None:
    cluster = serving()
    hosts = {name: Host(cluster, name) for name in ("a1", "a2", "a3", "a4")}
    for host in hosts.values():
        host.step()
    orphans = held_by(cluster, "a4")
    outcome = cluster.lose("a4")
    assert {("VIP", number) for number in orphans} == set(outcome.slots_changed)
    heir = hosts[cluster.state.slots["VIP"][orphans[0]].holder]
    heir.step()
    assert all(heir.slot(number) is SlotState.OPEN for number in orphans)


def moving() -> tuple[Cluster, Host, Host, int]:
    """a4 comes back and is given a slot: (state, old owner, new owner, slot)."""
    cluster = serving()
    for name in ("a1", "a2", "a3", "a4"):
        Host(cluster, name).step()
    cluster.lose("a4")
    cluster.admit("a4", INCARNATION)
    cluster.probed("VIP")
    cluster.ready("a4")
    number, slot = next((n, s) for n, s in cluster.state.slots["VIP"].items() if s.phase is Phase.DRAINING)
    old, new = Host(cluster, slot.holder), Host(cluster, "a4")
    return cluster, old, new, number


def test_a_planned_move_drains_splits_and_closes_in_this_order() -> None:
    cluster, old, new, number = moving()
    new.step()
    assert new.slot(number) is SlotState.CLOSED, "nobody else accepts before the holder has drained"
    told = old.step()
    assert old.slot(number) is SlotState.DRAINING
    assert "drained" in [report.what for report in told]
    new.step()
    assert new.slot(number) is SlotState.OPENING
    old.executor.slots.flows_left(cluster.state, "VIP", number, 1, old.now_ns)
    old.step()
    assert old.slot(number) is SlotState.DRAINING, "a connection is left"
    old.executor.slots.flows_left(cluster.state, "VIP", number, 0, old.now_ns)
    assert "closed" in [report.what for report in old.step()]
    assert old.slot(number) is SlotState.CLOSED
    new.step()
    assert new.slot(number) is SlotState.OPEN


def test_a_drain_that_takes_too_long_ends_by_the_clock_of_the_old_owner() -> None:
    cluster, old, _, number = moving()
    old.step()
    old.now_ns += 61 * SECOND_NS
    old.executor.slots.flows_left(cluster.state, "VIP", number, 5, old.now_ns)
    assert "closed" in [report.what for report in old.step()]


def test_what_was_closed_for_a_generation_never_reopens_under_it() -> None:
    cluster, old, _, number = moving()
    old.step()
    old.executor.slots.flows_left(cluster.state, "VIP", number, 0, old.now_ns)
    effects = old.executor.take(cluster.state, old.now_ns)
    assert effects.kernel is not None
    old.executor.kernel_did(cluster.state, effects.kernel, {})
    # The log does not know of it yet: the state still wishes DRAINING, again and again.
    for _ in range(5):
        old.now_ns += SECOND_NS
        again = old.executor.take(cluster.state, old.now_ns)
        assert again.kernel is None
    assert old.executor.slots.have["VIP"].states.get(number, SlotState.CLOSED) is SlotState.CLOSED


def test_slots_that_mean_something_else_are_closed_everywhere_before_they_are_given_out_anew() -> None:
    cluster = serving()
    hosts = [Host(cluster, name) for name in ("a1", "a2", "a3", "a4")]
    for host in hosts:
        host.step()
    cluster.edit(shared(clusterip_hash="sourceip-sourceport"))
    assert {slot.phase for slot in cluster.state.slots["VIP"].values()} == {Phase.CLOSING}
    for host in hosts[:3]:
        host.step()
        assert all(host.slot(number) is SlotState.CLOSED for number in range(4))
    assert any(slot.phase is Phase.CLOSING for slot in cluster.state.slots["VIP"].values())
    for host in hosts[3:] + hosts:
        host.step()
    assert {slot.phase for slot in cluster.state.slots["VIP"].values()} == {Phase.OPEN}
    opened = [number for host in hosts for number in range(4) if host.slot(number) is SlotState.OPEN]
    assert sorted(opened) == [0, 1, 2, 3]


def test_an_address_that_the_kernel_refuses_is_told_as_failed_and_tried_again_later() -> None:
    cluster = serving()
    executor = Executor("a1", INCARNATION, 60_000)
    executor.lease(10**18)
    effects = executor.take(cluster.state, SECOND_NS)
    assert effects.kernel is not None
    executor.kernel_did(cluster.state, {}, {"VIP": "no interface has 192.168.110.0/24"})
    after = executor.take(cluster.state, SECOND_NS)
    assert after.kernel is None
    (report,) = [c for c in after.proposals if isinstance(c, Slots)]
    assert (report.what, report.reason) == ("failed", "no interface has 192.168.110.0/24")
    executor.slots.retry()
    assert executor.take(cluster.state, SECOND_NS).kernel is not None


def test_when_the_engine_takes_nothing_the_kernel_still_counts_as_holding_what_it_held() -> None:
    cluster = serving()
    host = Host(cluster, "a1")
    host.step()
    held = host.executor.slots.have
    cluster.lose("a4")
    cluster.lose("a3")
    cluster.lose("a2")
    effects = host.executor.take(cluster.state, host.now_ns)
    assert effects.kernel is not None
    host.executor.kernel_refused(host.now_ns)
    assert host.executor.slots.have == held
    assert host.executor.take(cluster.state, host.now_ns).kernel is None, "not in a loop"
    host.now_ns += SECOND_NS
    assert host.executor.take(cluster.state, host.now_ns).kernel is not None


def test_nothing_is_done_twice() -> None:
    cluster = serving()
    host = Host(cluster, "a1")
    host.step()
    effects = host.executor.take(cluster.state, host.now_ns)
    assert (effects.kernel, effects.enforced_epoch, effects.proposals, effects.operations) == (None, None, [], [])


def test_a_node_that_leaves_drains_its_slots_to_the_others_before_it_has_left() -> None:
    cluster = serving()
    hosts = {name: Host(cluster, name) for name in ("a1", "a2", "a3", "a4")}
    for host in hosts.values():
        host.step()
    cluster.request(Leave("a1", INCARNATION), "a1")
    leaver = hosts["a1"].executor
    for _ in range(6):
        assert held_by(cluster, "a1") or leaver.has_left(cluster.state, SECOND_NS)
        for host in hosts.values():
            host.step()
        for number in held_by(cluster, "a1"):
            leaver.slots.flows_left(cluster.state, "VIP", number, 0, SECOND_NS)
    assert leaver.has_left(cluster.state, SECOND_NS)
    assert hosts["a1"].kernel == {}
    assert len(cluster.state.slots["VIP"]) == 4


def test_a_silenced_node_wants_nothing_of_its_kernel_and_its_slots_count_as_closed() -> None:
    cluster = serving()
    hosts = [Host(cluster, name) for name in ("a1", "a2", "a3", "a4")]
    for one in hosts:
        one.step()
    host = hosts[0]
    held = held_by(cluster, "a1")
    host.executor.slots.silenced = True
    host.step()
    assert host.kernel == {}
    cluster.request(Leave("a1", INCARNATION), "a1")
    for _ in range(3):
        host.step()
    assert held
    assert not held_by(cluster, "a1"), "no flow is waited for: nobody serves them any more"
    host.executor.slots.silenced = False
    cluster.request(Return("a1", INCARNATION), "a1")
    for _ in range(3):
        host.step()
    assert host.executor.slots.want


def test_a_return_of_a_process_that_is_gone_means_nothing() -> None:
    cluster = serving()
    cluster.request(Leave("a1", INCARNATION), "a1")
    cluster.request(Return("a1", INCARNATION - 1), "a1")
    assert cluster.state.nodes["a1"].leaving


def test_a_new_process_of_a_node_that_had_left_takes_part_again() -> None:
    cluster = serving()
    cluster.request(Leave("a1", INCARNATION), "a1")
    cluster.admit("a1", INCARNATION + 1)
    assert not cluster.state.nodes["a1"].leaving


def test_a_move_that_a_new_hash_interrupts_goes_on_by_the_old_one_until_every_slot_is_closed() -> None:
    cluster, old, new, number = moving()
    old.step()
    new.step()
    before = new.kernel["VIP"].definition
    assert new.slot(number) is SlotState.OPENING
    cluster.edit(shared(clusterip_hash="sourceip-sourceport"))
    new.step()
    assert new.slot(number) is SlotState.OPENING
    assert new.kernel["VIP"].definition == before, "packets of two hashes must never meet"


def test_another_seed_closes_the_slots_first_too() -> None:
    cluster = serving()
    cluster.edit(shared(hash_seed="7"))
    assert {slot.phase for slot in cluster.state.slots["VIP"].values()} == {Phase.CLOSING}


def test_a_new_process_tells_the_kernel_what_it_wants_even_if_that_is_nothing() -> None:
    cluster = Cluster(Configuration())
    reborn = Executor("a1", INCARNATION, 60_000)
    effects = reborn.take(cluster.state, SECOND_NS)
    assert effects.kernel == {}, "a former process may have left slots open, and a grant would revive them"
    assert effects.enforced_epoch is None


def test_a_drain_that_was_taken_back_and_begun_again_is_told_under_its_new_generation() -> None:
    cluster, old, _, number = moving()
    effects = old.executor.take(cluster.state, old.now_ns)
    assert effects.kernel is not None
    old.executor.kernel_did(cluster.state, effects.kernel, {})
    cluster.lose("a4")
    cluster.admit("a4", INCARNATION)
    cluster.probed("VIP")
    cluster.ready("a4")
    assert cluster.state.slots["VIP"][number].phase is Phase.DRAINING
    effects = old.executor.take(cluster.state, old.now_ns)
    assert effects.kernel is None, "the kernel holds that already"
    (report,) = [c for c in effects.proposals if isinstance(c, Slots) and c.what == "drained"]
    assert report.generations == {number: cluster.state.slots["VIP"][number].generation}


def test_an_address_that_cannot_be_served_here_is_told_once_however_often_it_is_tried() -> None:
    cluster = serving()
    host = Host(cluster, "a1")
    before = cluster.state.index
    for _ in range(50):
        host.executor.slots.retry()
        effects = host.executor.take(cluster.state, host.now_ns)
        if effects.kernel is not None:
            host.executor.kernel_did(cluster.state, {}, {"VIP": "no interface eth9"})
        for command in effects.proposals:
            cluster.request(command, "a1")
            host.executor.proposal_ended(command)
    assert cluster.state.index - before <= 2


def test_a_forwarder_that_is_gone_makes_the_addresses_fail_here() -> None:
    cluster = serving()
    host = Host(cluster, "a1")
    host.step()
    host.executor.slots.ailment = "no forwarder is running"
    (report,) = [c for c in host.step() if c.what == "failed"]
    assert report.reason == "no forwarder is running"
    assert "a1" not in cluster.state.plan.slots["VIP"].values()


def test_what_waits_for_a_helper_is_asked_for_again_when_it_said_so() -> None:
    cluster = serving()
    host = Host(cluster, "a1")
    host.step()
    cluster.lose("a4")
    assert host.executor.take(cluster.state, host.now_ns).kernel is not None
    soon_ns = SECOND_NS // 20
    host.executor.kernel_refused(host.now_ns, soon_ns)
    assert host.executor.take(cluster.state, host.now_ns + soon_ns - 1).kernel is None
    due_ns = host.executor.deadline_ns(cluster.state, host.now_ns)
    assert due_ns is not None
    assert due_ns <= host.now_ns + soon_ns
    assert host.executor.take(cluster.state, host.now_ns + soon_ns).kernel is not None


def test_no_epoch_is_offered_on_a_kernel_that_broke_off() -> None:
    cluster = serving()
    host = Host(cluster, "a1")
    host.step()
    offered = list(host.epochs)
    cluster.lose("a4")
    effects = host.executor.take(cluster.state, host.now_ns)
    assert effects.kernel is not None
    host.executor.kernel_refused(host.now_ns)
    cluster.lose("a1")
    cluster.admit("a1")
    assert host.executor.take(cluster.state, host.now_ns).enforced_epoch is None
    host.now_ns += SECOND_NS
    host.step()
    assert host.epochs[len(offered) :] == [cluster.state.nodes["a1"].epoch]


def test_a_successor_opens_before_anything_is_planned_by_the_entry_that_lets_it() -> None:
    """A plan takes as long as the configuration is, and SYNs that are held wait for the kernel alone."""
    cluster = serving()
    hosts = {node: Host(cluster, node) for node in ("a1", "a2", "a3", "a4")}
    for host in hosts.values():
        host.step()
    cluster.request(Leave("a1", INCARNATION))
    (number,) = held_by(cluster, "a1")
    slot = cluster.state.slots["VIP"][number]
    assert slot.phase is Phase.DRAINING
    assert slot.successor is not None
    new = hosts[slot.successor]
    new.step()
    assert new.executor.hasten(cluster.state, new.now_ns).kernel is None

    entered = cluster.enter(Slots("a1", INCARNATION, "VIP", "drained", {number: slot.generation}), "a1")
    assert entered.outcome.splits
    for node in ("a2", "a3", "a4"):
        host = hosts[node]
        kernel = host.executor.hasten(cluster.state, host.now_ns).kernel
        assert (kernel is not None) == (node == slot.successor), node
        if kernel is not None:
            assert kernel["VIP"].states[number] is SlotState.OPENING
            host.executor.kernel_did(cluster.state, kernel, {})
    cluster.state.conclude(entered)
    assert new.executor.take(cluster.state, new.now_ns).kernel is None, "it has it already"


def test_a_host_that_lacks_something_says_that_its_slots_are_closed_only_once_its_kernel_has_said_so() -> None:
    cluster, old, _, number = moving()
    old.step()
    assert old.slot(number) is SlotState.DRAINING
    old.executor.slots.lost(["VIP"])
    effects = old.executor.take(cluster.state, old.now_ns)
    assert effects.kernel is not None
    assert effects.proposals == []
    old.executor.kernel_refused(old.now_ns)
    old.now_ns += 10 * SECOND_NS
    again = old.executor.take(cluster.state, old.now_ns)
    assert again.kernel is not None
    assert again.proposals == []
    old.executor.kernel_did(cluster.state, {}, {"VIP": "no interface eth0"})
    reports = [
        report for report in old.executor.take(cluster.state, old.now_ns).proposals if isinstance(report, Slots)
    ]
    assert ("closed", [number]) in [(report.what, list(report.generations)) for report in reports]
