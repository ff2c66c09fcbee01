"""What holds for the state after any sequence of entries, sensible or not."""

from __future__ import annotations

import msgspec
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from daemon.cli.history import versions
from daemon.cluster.records import Admit, Command, LogEntry, Lost, Member, Noop, Request, Restart, Roster
from daemon.definition import define
from daemon.model.configuration import Configuration, Group
from daemon.state.commands import (
    Cleanup,
    Drain,
    Edit,
    Leave,
    Refresh,
    RemoveNode,
    Result,
    Slots,
    StateCommand,
    Tick,
)
from daemon.state.frozen import decode
from daemon.state.slots import Phase
from daemon.state.state import State
from datapath.engine import SlotState
from tests.simulation.invariants import drains
from tests.unit.state.cluster import NODES, VIP, VIP_CLONE, WEB, WEB_CLONE, primitive, together

CONFIGURATIONS = (
    Configuration(resources=(VIP, WEB)),
    Configuration(resources=(VIP_CLONE, WEB), constraints=together("webserver", "VIP-clone")),
    Configuration(resources=(VIP_CLONE, WEB_CLONE), constraints=together("webserver-clone", "VIP-clone")),
    Configuration(),
    Configuration(resources=(VIP_CLONE, primitive("webserver", "apache", configfile="/etc/apache2/other.conf"))),
    Configuration(resources=(VIP, Group(id="group", members=(WEB, primitive("ghost", "Dummy"))))),
)

nodes = st.sampled_from([*NODES, "stranger"])
incarnations = st.integers(1, 2)


def _edit(configuration: Configuration, base_epoch: int | None = None) -> Edit:
    return Edit(base_epoch, configuration.model_dump_json().encode(), "root", "edit")


state_commands: st.SearchStrategy[StateCommand] = st.one_of(
    st.builds(_edit, st.sampled_from(CONFIGURATIONS), st.sampled_from([None, None, 0, 5, 10, 12])),
    st.builds(
        Result,
        node=nodes,
        incarnation=incarnations,
        instance=st.sampled_from(["VIP", "webserver", "ghost"]),
        operation=st.sampled_from(["monitor", "monitor", "start", "stop"]),
        interval_ms=st.sampled_from([0, 10_000]),
        exit_code=st.sampled_from([0, 7, 1, 5]),
        status=st.sampled_from(["done", "done", "timeout"]),
        reason=st.just(""),
        duration_ms=st.just(1),
        definition=st.just(""),
    ),
    st.builds(
        Slots,
        node=nodes,
        incarnation=incarnations,
        address=st.sampled_from(["VIP", "ghost"]),
        what=st.sampled_from(["ready", "opened", "drained", "closed", "failed", "nonsense"]),
        generations=st.dictionaries(st.integers(0, 5), st.integers(0, 30), max_size=3),
    ),
    st.builds(Cleanup, st.sampled_from([None, "webserver"]), st.none(), st.just("root")),
    st.builds(Refresh, st.none(), st.none(), st.just("root")),
    st.builds(Leave, nodes, incarnations),
    st.builds(RemoveNode, nodes, st.just("root")),
    st.builds(
        Drain,
        st.one_of(st.none(), nodes),
        st.sampled_from([None, None, "VIP", "VIP-clone", "ghost"]),
        st.sampled_from([None, None, 0, 3, 7]),
        st.booleans(),
        st.just("root"),
    ),
    st.just(Tick()),
)

entries: st.SearchStrategy[Command] = st.one_of(
    st.builds(Admit, st.sampled_from(NODES), incarnations, st.just("boot")),
    st.builds(Lost, st.sampled_from(NODES)),
    st.builds(Restart, nodes, incarnations, st.just(1_000)),
    st.just(Noop()),
    st.builds(
        Roster,
        st.lists(
            st.builds(Member, nodes, st.just(""), st.booleans(), st.sampled_from([False, False, True])),
            min_size=1,
            max_size=5,
            unique_by=lambda member: member.name,
        ).map(tuple),
        why=st.just("as it pleases"),
    ),
    st.tuples(nodes, st.integers(1, 40), state_commands).map(
        lambda made: Request(made[0], 1, made[1], msgspec.msgpack.encode(made[2]))
    ),
    st.tuples(nodes, st.integers(1, 40), st.binary(max_size=40)).map(
        lambda made: Request(made[0], 1, made[1], made[2])
    ),
)

START: tuple[Command, ...] = (
    *(Admit(node, 1, "boot") for node in NODES),
    Request("a1", 1, 1_000, msgspec.msgpack.encode(_edit(CONFIGURATIONS[2]))),
    *(
        Request(node, 1, 1_001, msgspec.msgpack.encode(Result(node, 1, "VIP", "monitor", 0, 7, "done", "", 1, "")))
        for node in NODES
    ),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(entries, max_size=25))
def test_any_entries_leave_a_sound_state_and_the_same_one_everywhere(commands: list[Command]) -> None:
    one, two = State(NODES), State(NODES)
    for index, command in enumerate((*START, *commands), 1):
        entry = LogEntry(index, 1, 1_000 * index, command)
        drained = set(one.drains)
        outcome = one.apply(entry)
        assert outcome == two.apply(entry)
        _check(one)
        drains.check(drained, one.drains, outcome.slots_changed)
    assert one.digest() == two.digest()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(entries, max_size=25), st.integers(0, 25 + len(START)))
def test_a_thawed_state_goes_on_as_the_one_that_was_frozen(commands: list[Command], at: int) -> None:
    lasting, thawed = State(NODES), State(NODES)
    for index, command in enumerate((*START, *commands), 1):
        if index == at:
            frozen = thawed.freeze()
            thawed = State.thaw(frozen)
            assert thawed.freeze() == frozen
            assert thawed.digest() == lasting.digest()
            assert thawed.plan == lasting.plan
        entry = LogEntry(index, 1, 1_000 * index, command)
        assert lasting.apply(entry) == thawed.apply(entry)
        for node in NODES:
            assert thawed.wishes(node) == lasting.wishes(node)
            for instance in ("VIP", "webserver", "ghost"):
                known, same = (one.definable(node, instance, "stop") for one in (lasting, thawed))
                assert define(known, instance, "stop", 0) == define(same, instance, "stop", 0)
    assert thawed.digest() == lasting.digest()
    assert thawed.freeze() == lasting.freeze()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(entries, max_size=25), st.integers(0, len(START)))
@example([Request("a1", 1, 1, b"\x91\xad" + bytes(12) + b"\x80")], 0)  # a tag that is no text
def test_the_history_has_the_edits_that_the_state_has_accepted(commands: list[Command], at: int) -> None:
    state, start, accepted = State(NODES), State(NODES).freeze(), []
    log = [LogEntry(index, 1, 1_000 * index, command) for index, command in enumerate((*START, *commands), 1)]
    for entry in log:
        state.apply(entry)
        if entry.index == at:
            start = state.freeze()
        elif entry.index > at and state.configuration_epoch == entry.index:
            accepted.append(entry.index)
    made = versions(decode(start), iter(log[at:]))
    assert [version.epoch for version in made] == accepted


def _check(state: State) -> None:
    assert state.retired <= state.nodes.keys()
    for slots in state.slots.values():
        for number, slot in slots.items():
            assert state.nodes[slot.holder].admitted, "a node that is lost holds nothing"
            assert slot.successor is None or state.nodes[slot.successor].admitted
            assert slot.successor != slot.holder
            assert slot.generation <= state.index
            assert slot.phase in (Phase.DRAINING, Phase.SPLIT) or slot.successor is None
            wishes = {node: state.wishes(node).get("VIP", {}).get(number, SlotState.CLOSED) for node in NODES}
            taking = [node for node, wish in wishes.items() if wish in (SlotState.OPEN, SlotState.OPENING)]
            keeping = [node for node, wish in wishes.items() if wish in (SlotState.OPEN, SlotState.DRAINING)]
            assert len(taking) <= 1, "two nodes take new connections of one slot"
            assert len(keeping) <= 1, "two nodes keep the old connections of one slot"
    for address, slots in state.slots.items():
        running = {n for n in NODES if state.results.standing(n, address) == "running"}
        holders = {
            slot.holder for slot in slots.values() if slot.generation == state.index and slot.phase is Phase.OPEN
        }
        fresh = holders & running
        assert not fresh or any(s.successor is None for s in slots.values()), "a plain run and a slot on one node"
