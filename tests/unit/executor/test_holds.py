"""Holder and successor of moving slots: what they say, wait for and ask of their engines, and what a loss costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from daemon.cluster.messages import Hold, HoldTaken
from daemon.executor import Executor
from daemon.executor.holds import (
    GUARD_NS,
    LIST_PATIENCE_NS,
    PATIENCE_NS,
    PREPARING_NS,
    SKEW_NS,
    Deed,
    HoldDuty,
    Spoken,
    Task,
)
from daemon.executor.slots import Wanted
from daemon.state.commands import Slots
from daemon.state.slots import Phase, Slot
from datapath.engine import SlotState, Taken
from tests.unit.executor.cluster import INCARNATION, Cluster, shared

SECOND_NS = 1_000_000_000
STEP_NS = 500_000
TOLD = Taken(frozenset({b"\x0a\x50\x00\x01" + bytes(8)}), frozenset({b"\x0a\x50\x00\x02" + bytes(4)}))
Word = tuple[str, str, Spoken]


class Host:
    """An executor, a kernel that does as it is told, and an engine that can do what it is asked for."""

    def __init__(self, cluster: Cluster, node: str) -> None:
        self.cluster = cluster
        self.node = node
        self.executor = Executor(node, INCARNATION, 60_000, HoldDuty(node, INCARNATION))
        self.executor.lease(10**18)
        self.kernel: Wanted = {}
        self.history: list[object] = []
        """slot states and deeds, in order"""
        self.tasks: list[Task] = []
        self.able = True
        self.prepares_at_once = True
        self.preparing: list[Task] = []

    def step(self, now_ns: int) -> list[Word]:
        """Everything that there is to do now; reports that are made are applied at once."""
        words: list[Word] = []
        for _ in range(20):
            effects = self.executor.take(self.cluster.state, now_ns)
            if effects.kernel is not None:
                before, self.kernel = self.slot(), effects.kernel
                self.history += [self.slot()] if self.slot() is not before else []
                self.executor.kernel_did(self.cluster.state, effects.kernel, {})
            for task in effects.holding:
                if task.deed is Deed.SERVES_UDP:
                    self.executor.held(task, False)
                    continue
                if task.deed is Deed.PREPARE:
                    self.preparing.append(task)
                    if self.prepares_at_once:
                        self.prepared()
                    continue
                self.tasks.append(task)
                self.history.append(task.deed)
                self.executor.held(task, TOLD if self.able else None)
            words += [(self.node, word.to, word.message) for word in effects.words]
            for command in effects.proposals:
                if isinstance(command, Slots):
                    self.cluster.request(command, command.node)
                    self.executor.proposal_ended(command)
            if effects.kernel is None and not effects.proposals and not effects.holding:
                return words
        raise AssertionError("the executor does not come to rest")

    def prepared(self) -> None:
        (task,) = self.preparing
        self.preparing.clear()
        self.executor.held(task, answer=True)

    def slot(self) -> SlotState:
        """Of slot 0."""
        want = self.kernel.get("VIP")
        return SlotState.CLOSED if want is None else want.states.get(0, SlotState.CLOSED)


class Pair:
    """a1 holds slot 0, a2 is to have it; messages arrive at the next step, unless `lose` says otherwise."""

    def __init__(self) -> None:
        self.cluster = Cluster(shared(slots=1), nodes=("a1", "a2"))
        self.cluster.probed("VIP")
        self.cluster.ready("a1", "a2")
        (self.slot,) = self.cluster.state.slots["VIP"].values()
        names = (self.slot.holder, "a2" if self.slot.holder == "a1" else "a1")
        self.old, self.new = (Host(self.cluster, name) for name in names)
        self.now_ns = SECOND_NS
        self.lose: Callable[[Spoken], bool] = lambda _message: False
        self.said: list[Spoken] = []
        self._on_their_way: list[Word] = []
        self.run(5 * STEP_NS)
        self.old.history.clear()
        self.new.history.clear()

    def begin(self) -> None:
        """The move is in the log; the address has come up on its successor before."""
        self.cluster.state.ready["VIP"].add(self.new.node)
        held = self.cluster.state.slots["VIP"][0]
        self.cluster.state.index += 1
        self.cluster.state.slots["VIP"][0] = held.move(self.new.node, self.cluster.state.index)

    def put(self, slot: Slot) -> None:
        self.cluster.state.index += 1
        self.cluster.state.slots["VIP"][0] = replace(slot, generation=self.cluster.state.index)

    def run(self, duration_ns: int) -> None:
        end_ns = self.now_ns + duration_ns
        while self.now_ns < end_ns:
            self.now_ns += STEP_NS
            words, self._on_their_way = self._on_their_way, []
            for sender, to, message in words:
                self.said.append(message)
                if not self.lose(message):
                    self.host(to).executor.heard(sender, message, self.cluster.state, self.now_ns)
            for host in (self.old, self.new):
                self._on_their_way += host.step(self.now_ns)

    def host(self, name: str) -> Host:
        return self.old if self.old.node == name else self.new

    def phase(self) -> Phase:
        return self.cluster.state.slots["VIP"][0].phase


@pytest.fixture
def pair() -> Pair:
    return Pair()


def says(what: str) -> Callable[[Spoken], bool]:
    return lambda message: isinstance(message, Hold) and message.what == what


def is_list(message: Spoken) -> bool:
    return isinstance(message, HoldTaken)


def test_a_move_goes_step_by_step(pair: Pair) -> None:
    pair.begin()
    pair.run(4 * SKEW_NS)
    assert pair.old.history == [SlotState.NOTING, SlotState.DRAINING, Deed.TELL]
    assert pair.new.history == [Deed.LISTEN, Deed.REFUSE, SlotState.OPENING, Deed.RELEASE]
    assert [task.taken for task in pair.new.tasks if task.deed is Deed.REFUSE] == [TOLD]


def test_each_step_waits_for_the_skew_between_hosts(pair: Pair) -> None:
    pair.begin()
    began_ns = pair.now_ns
    while pair.new.history != [Deed.LISTEN]:
        pair.run(STEP_NS)
    assert pair.now_ns - began_ns >= SKEW_NS
    listened_ns = pair.now_ns
    assert pair.old.slot() is SlotState.NOTING
    while pair.old.slot() is SlotState.NOTING:
        pair.run(STEP_NS)
    assert pair.now_ns - listened_ns >= SKEW_NS
    closed_ns = pair.now_ns
    while Deed.TELL not in pair.old.history:
        pair.run(STEP_NS)
    assert pair.now_ns - closed_ns >= GUARD_NS


def test_a_successor_that_does_not_answer_delays_a_move_by_the_patience_alone(pair: Pair) -> None:
    pair.lose = lambda _message: True
    pair.begin()
    pair.run(PATIENCE_NS - 2 * STEP_NS)
    assert pair.old.slot() is SlotState.NOTING
    assert pair.phase() is Phase.DRAINING
    pair.run(4 * STEP_NS)
    assert pair.old.slot() is SlotState.DRAINING
    assert pair.new.slot() is SlotState.OPENING
    assert pair.new.history == [SlotState.OPENING]


def test_an_old_owner_with_many_connections_closes_once_they_are_listed(pair: Pair) -> None:
    pair.old.prepares_at_once = False
    pair.begin()
    pair.run(2 * PATIENCE_NS)
    assert pair.old.history == [SlotState.NOTING]
    assert pair.new.history == [Deed.LISTEN]
    pair.old.prepared()
    pair.run(2 * SKEW_NS)
    assert pair.old.history == [SlotState.NOTING, SlotState.DRAINING, Deed.TELL]
    assert pair.new.history == [Deed.LISTEN, Deed.REFUSE, SlotState.OPENING, Deed.RELEASE]


def test_an_old_owner_that_is_ready_waits_for_a_new_one_that_lists_for_a_while(pair: Pair) -> None:
    pair.old.prepares_at_once = pair.new.prepares_at_once = False
    pair.begin()
    pair.run(2 * PATIENCE_NS)
    pair.old.prepared()
    pair.run(PATIENCE_NS // 2)
    pair.new.prepared()
    pair.run(4 * SKEW_NS)
    assert pair.new.history == [Deed.LISTEN, Deed.REFUSE, SlotState.OPENING, Deed.RELEASE]


def test_a_listing_that_never_ends_does_not_keep_the_slot(pair: Pair) -> None:
    pair.old.prepares_at_once = False
    pair.begin()
    pair.run(PREPARING_NS + 2 * STEP_NS)
    assert pair.old.slot() is SlotState.DRAINING


def test_a_new_owner_listens_once_it_has_listed_what_it_has_left(pair: Pair) -> None:
    pair.new.prepares_at_once = False
    pair.begin()
    pair.run(4 * SKEW_NS)
    assert pair.new.history == []
    assert pair.old.history == [SlotState.NOTING]
    pair.new.prepared()
    pair.run(3 * SKEW_NS)
    assert pair.new.history == [Deed.LISTEN, Deed.REFUSE, SlotState.OPENING, Deed.RELEASE]


def test_a_new_owner_that_lists_for_longer_than_the_patience_is_waited_for(pair: Pair) -> None:
    pair.new.prepares_at_once = False
    pair.begin()
    pair.run(4 * PATIENCE_NS)
    assert pair.phase() is Phase.DRAINING
    assert pair.old.slot() is SlotState.NOTING
    pair.new.prepared()
    pair.run(4 * SKEW_NS)
    assert Deed.RELEASE in pair.new.history


def test_what_is_lost_once_is_said_again(pair: Pair) -> None:
    lost: list[object] = []

    def lose_the_first_of_each(message: Spoken) -> bool:
        kind = message.what if isinstance(message, Hold) else "list"
        lost.append(kind)
        return lost.count(kind) == 1

    pair.lose = lose_the_first_of_each
    pair.begin()
    pair.run(8 * SKEW_NS)
    assert set(lost) == {"noting", "listening", "list", "asking"}
    assert pair.old.history == [SlotState.NOTING, SlotState.DRAINING, Deed.TELL]
    assert pair.new.history == [Deed.LISTEN, Deed.REFUSE, SlotState.OPENING, Deed.RELEASE]


def test_without_the_list_the_successor_opens_after_its_patience_and_takes_nothing_in(pair: Pair) -> None:
    pair.lose = is_list
    pair.begin()
    pair.run(3 * SKEW_NS)
    assert pair.phase() is Phase.SPLIT
    assert pair.new.slot() is SlotState.CLOSED
    pair.run(LIST_PATIENCE_NS)
    assert pair.new.history == [Deed.LISTEN, SlotState.LEAVING_UDP, Deed.FORGET]


def test_a_holder_that_cannot_tell_says_so_and_nobody_waits_for_its_list(pair: Pair) -> None:
    pair.old.able = False
    pair.begin()
    pair.run(4 * SKEW_NS)
    assert pair.new.history == [Deed.LISTEN, SlotState.OPENING, Deed.FORGET]


def test_a_successor_that_cannot_listen_gets_its_slots_all_the_same(pair: Pair) -> None:
    pair.new.able = False
    pair.begin()
    pair.run(PATIENCE_NS + 2 * STEP_NS)
    assert pair.new.history == [Deed.LISTEN, SlotState.OPENING]


@pytest.mark.parametrize("moment_ns", range(0, 4 * SKEW_NS, 5 * STEP_NS))
def test_when_the_old_owner_is_lost_the_new_one_opens_at_whatever_moment(pair: Pair, moment_ns: int) -> None:
    pair.begin()
    pair.run(moment_ns)
    pair.put(Slot(pair.new.node, 0))
    pair.run(3 * STEP_NS)
    assert pair.new.slot() is SlotState.OPEN
    listened, ended = Deed.LISTEN in pair.new.history, {Deed.FORGET, Deed.RELEASE} & set(pair.new.history)
    assert bool(ended) == listened


@pytest.mark.parametrize("moment_ns", range(0, 4 * SKEW_NS, 5 * STEP_NS))
def test_when_the_new_owner_is_lost_the_old_one_keeps_the_slot_at_whatever_moment(
    pair: Pair, moment_ns: int
) -> None:
    pair.begin()
    pair.run(moment_ns)
    pair.put(Slot(pair.old.node, 0))
    pair.run(3 * STEP_NS)
    assert pair.old.slot() is SlotState.OPEN


def test_what_has_drained_for_a_generation_notes_nothing_under_it_again(pair: Pair) -> None:
    """Rule 26: a state that is older than the report must not reopen it."""
    pair.begin()
    draining = pair.cluster.state.slots["VIP"][0]
    pair.run(3 * SKEW_NS)
    assert pair.phase() is Phase.SPLIT
    pair.cluster.state.index += 1
    pair.cluster.state.slots["VIP"][0] = draining
    pair.run(STEP_NS)
    assert pair.old.slot() is SlotState.DRAINING


def test_words_of_a_former_process_or_of_a_stranger_mean_nothing(pair: Pair) -> None:
    pair.begin()
    pair.lose = lambda _message: True
    pair.run(2 * STEP_NS)
    generation = pair.cluster.state.slots["VIP"][0].generation
    good = Hold(INCARNATION, "VIP", generation, "listening")
    holder, name = pair.old.executor, pair.new.node
    holder.heard(name, replace_incarnation(good, INCARNATION - 1), pair.cluster.state, pair.now_ns)
    holder.heard("mallory", good, pair.cluster.state, pair.now_ns)
    holder.heard(pair.old.node, good, pair.cluster.state, pair.now_ns)
    pair.run(2 * SKEW_NS)
    assert pair.old.slot() is SlotState.NOTING
    holder.heard(name, good, pair.cluster.state, pair.now_ns)
    pair.run(SKEW_NS + STEP_NS)
    assert pair.old.slot() is SlotState.DRAINING


def replace_incarnation(message: Hold, incarnation: int) -> Hold:
    return Hold(incarnation, message.address, message.generation, message.what)


@pytest.mark.parametrize(
    ("client_bytes", "syns", "flows"),
    [
        (4, bytes(11), b""),
        (4, b"", bytes(7)),
        (16, bytes(12), b""),
        (5, bytes(13), b""),
        (-4, b"", b""),
        (0, bytes(8), b""),
    ],
)
def test_a_list_that_makes_no_sense_is_none(pair: Pair, client_bytes: int, syns: bytes, flows: bytes) -> None:
    pair.lose = is_list
    pair.begin()
    pair.run(2 * SKEW_NS + 8 * STEP_NS)
    generation = pair.cluster.state.slots["VIP"][0].generation
    wrong = HoldTaken(INCARNATION, "VIP", generation, True, client_bytes, syns, flows)
    pair.new.executor.heard(pair.old.node, wrong, pair.cluster.state, pair.now_ns)
    pair.run(2 * STEP_NS)
    assert Deed.REFUSE not in pair.new.history
    assert pair.new.slot() is SlotState.OPENING
