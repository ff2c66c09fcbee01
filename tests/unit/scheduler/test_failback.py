"""How a node that is back gets its share of the slots: policy, weights, slow start."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from daemon.model.configuration import Configuration, NodeEntry
from daemon.scheduler import Plan, plan
from daemon.scheduler.view import NodeView, SlotsView, View
from tests.unit.scheduler.worlds import attributes, clone, primitive

NOW_MS = 10_000_000
NODES = ("a1", "a2", "a3")


def view(back_ms: int = NOW_MS, slots: int = 12, weights: dict[str, str] | None = None, **meta: str) -> View:
    """a3 came back at `back_ms`; a1 and a2, which were always there, own all slots."""
    given = {"globally_unique": "true", "clone_max": str(slots), "clone_node_max": str(slots), **meta}
    entries = tuple(
        NodeEntry(id=str(number), name=name, attributes=attributes(name, _weight(weights, name)))
        for number, name in enumerate(NODES, 1)
    )
    return View(
        Configuration(nodes=entries, resources=(clone("VIP-clone", primitive("VIP", "IPaddr2"), **given),)),
        {name: NodeView(name, online=True, since_ms=back_ms if name == "a3" else 0) for name in NODES},
        (),
        slots={"VIP": SlotsView("VIP", {slot: NODES[slot % 2] for slot in range(slots)})},
        ready={"VIP": frozenset(NODES)},
        now_ms=NOW_MS,
        defaults={"stonith-enabled": "false"},
    )


def _weight(weights: dict[str, str] | None, name: str) -> dict[str, str]:
    return {"slot-weight": weights[name]} if weights and name in weights else {}


def held(planned: Plan) -> dict[str, int]:
    return dict(sorted(Counter(planned.slots["VIP"].values()).items()))


def moved(before: View, planned: Plan) -> int:
    return sum(planned.slots["VIP"][slot] != owner for slot, owner in before.slots["VIP"].owners.items())


def test_by_default_a_node_that_is_back_gets_its_share_by_the_fewest_moves() -> None:
    before = view()
    planned = plan(before)
    assert held(planned) == {"a1": 4, "a2": 4, "a3": 4}
    assert moved(before, planned) == 4


def test_a_hold_time_keeps_it_waiting_and_says_when_it_is_over() -> None:
    waiting = view(back_ms=NOW_MS - 1_000, failback="5min")
    planned = plan(waiting)
    assert held(planned) == {"a1": 6, "a2": 6}
    assert planned.recheck_ms == NOW_MS - 1_000 + 300_000
    assert held(plan(replace(waiting, now_ms=planned.recheck_ms))) == {"a1": 4, "a2": 4, "a3": 4}


def test_by_hand_means_until_an_administrator_says_so() -> None:
    manual = plan(view(failback="manual"))
    assert held(manual) == {"a1": 6, "a2": 6}
    assert manual.recheck_ms is None
    assert held(plan(view(failback="manual", failback_at=str(NOW_MS // 1_000)))) == {"a1": 4, "a2": 4, "a3": 4}
    assert held(plan(view(failback="manual", failback_at=str(NOW_MS // 1_000 - 1)))) == {"a1": 6, "a2": 6}


def test_a_node_that_waits_keeps_what_it_has_been_given_meanwhile() -> None:
    waiting = view(failback="manual")
    owners = {slot: "a3" if slot < 2 else NODES[slot % 2] for slot in range(12)}
    planned = plan(replace(waiting, slots={"VIP": SlotsView("VIP", owners)}))
    assert planned.slots["VIP"] == owners


def test_no_slot_is_without_an_owner_because_of_the_policy() -> None:
    waiting = view(failback="manual")
    alone = {name: replace(node, online=name == "a3") for name, node in waiting.nodes.items()}
    assert held(plan(replace(waiting, nodes=alone))) == {"a3": 12}
    small = view(failback="manual", clone_node_max="5")
    assert sum(held(plan(small)).values()) == 12


def test_shares_follow_weights() -> None:
    assert held(plan(view(weights={"a3": "2"}))) == {"a1": 3, "a2": 3, "a3": 6}
    assert held(plan(view(weights={"a1": "0"}))) == {"a2": 6, "a3": 6}
    assert held(plan(view(weights={"a1": "many"}))) == {"a1": 4, "a2": 4, "a3": 4}


def test_a_slow_start_grows_in_tenths_and_only_moves_towards_the_node() -> None:
    present = view(slots=300, slow_start="10min")
    seen = []
    while True:
        planned = plan(present)
        seen.append(held(planned).get("a3", 0))
        if planned.recheck_ms is None:
            break
        assert planned.recheck_ms > present.now_ms
        slots = {"VIP": SlotsView("VIP", planned.slots["VIP"])}
        present = replace(present, now_ms=planned.recheck_ms, slots=slots)
    assert seen == sorted(seen)
    assert len(seen) == 10
    assert seen[0] == 14
    assert seen[-1] == 100
    assert present.now_ms == NOW_MS + 9 * 60_000


def test_a_slow_start_begins_when_the_hold_time_is_over() -> None:
    present = view(slots=300, failback="1min", slow_start="10min")
    later = replace(present, now_ms=NOW_MS + 60_000)
    assert "a3" not in held(plan(present))
    assert held(plan(later))["a3"] == 14


def test_by_hand_it_waits_in_a_cluster_where_nobody_was_ever_released() -> None:
    before = view(failback="manual")
    founders = {name: replace(node, since_ms=node.since_ms or 5_000) for name, node in before.nodes.items()}
    founded = replace(before, nodes=founders)
    assert held(plan(founded)) == {"a1": 6, "a2": 6}
    lost = replace(founded, slots={"VIP": SlotsView("VIP", dict.fromkeys(range(6), "a2"))})
    assert held(plan(lost)) == {"a2": 12}
    at_first = replace(founded, slots={"VIP": SlotsView("VIP", {})})
    assert held(plan(at_first)) == {"a1": 4, "a2": 4, "a3": 4}


def why_not(planned: Plan, node: str, slot: int = 0) -> str:
    return next(reason for reason in planned.reasons if reason.instance == f"VIP:{slot}").rejected[node]


def test_a_node_without_a_slot_is_told_why() -> None:
    early = {"back_ms": NOW_MS - 1_000}
    assert why_not(plan(view()), "a3") == "it has its share, 4 of 12 slots"
    assert why_not(plan(view(failback="manual")), "a3") == (
        "it is back and waits for 'vipcast resource failback VIP-clone' (failback is manual)"
    )
    assert why_not(plan(view(**early, failback="5min")), "a3") == (
        "it is back and has to stay for 5min first (failback)"
    )
    slow = plan(view(**early, slow_start="100s"))
    assert why_not(slow, "a3").endswith("slots, and a slow start counts 10 % of its weight")
    assert why_not(plan(view(weights={"a3": "0"})), "a3") == "its slot-weight is 0"
    assert why_not(plan(view(weights={"a3": "3"})), "a3").endswith("by its slot-weight of 3")
