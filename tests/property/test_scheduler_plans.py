"""What holds for every plan: it leads somewhere, keeps what is mandatory, and does not depend on any order."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.model.configuration import AnyConstraint, AnyResource, Clone, Colocation, Group, Location, Order
from daemon.scheduler import plan
from daemon.scheduler.slots import shares, spread
from tests.unit.scheduler.worlds import (
    World,
    attributes,
    clone,
    colocation,
    group,
    location,
    order,
    primitive,
    shuffled,
)

NODES = ("a1", "a2", "a3")

relaxed = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def resources(draw: st.DrawFn) -> tuple[AnyResource, ...]:
    found: list[AnyResource] = []
    for number in range(draw(st.integers(1, 4))):
        name = f"r{number}"
        kind = draw(st.sampled_from(["primitive", "group", "clone", "unique", "cloned group"]))
        if kind == "primitive":
            found.append(primitive(name, **draw(st.sampled_from([{}, {"resource_stickiness": "100"}]))))
        elif kind == "group":
            found.append(group(name, f"{name}a", f"{name}b"))
        elif kind == "unique":
            meta = {"globally_unique": "true", "clone_max": str(draw(st.integers(1, 5)))}
            found.append(clone(name, primitive(f"{name}a"), **meta, clone_node_max=str(draw(st.integers(1, 2)))))
        else:
            child = primitive(f"{name}a") if kind == "clone" else group(f"{name}g", f"{name}a", f"{name}b")
            found.append(clone(name, child, interleave=draw(st.sampled_from(["true", "false"]))))
    return tuple(found)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    made = draw(resources())
    names = [resource.id for resource in made]
    constraints: dict[str, AnyConstraint] = {}
    for _ in range(draw(st.integers(0, 3))):
        score = draw(st.sampled_from(["INFINITY", "-INFINITY", "100", "-20"]))
        constraint = location(draw(st.sampled_from(names)), draw(st.sampled_from(NODES)), score)
        constraints[constraint.id] = constraint
    for _ in range(draw(st.integers(0, 3))):
        # later ones depend on earlier ones, so that nothing goes in a circle
        one = draw(st.integers(0, len(names) - 1))
        two = draw(st.integers(0, len(names) - 1))
        if one < two:
            choices: list[Order | Colocation] = [
                order(names[one], names[two]),
                order(names[one], names[two], "Optional"),
                colocation(names[two], names[one]),
                colocation(names[two], names[one], "-INFINITY"),
                colocation(names[two], names[one], "50"),
            ]
            made_one = draw(st.sampled_from(choices))
            constraints[f"{type(made_one).__name__}-{one}-{two}"] = made_one
    world = World(made, tuple(constraints.values()), nodes=NODES)
    world.standby = set(draw(st.lists(st.sampled_from(NODES), max_size=1)))
    return world


@relaxed
@given(worlds())
def test_carrying_out_any_plan_comes_to_rest_and_leaves_nothing_to_do(world: World) -> None:
    settled = world.settle()
    assert not settled.actions
    for name, hosts in settled.placement.items():
        assert set(hosts) >= set(world.places(name)), f"{name} runs where the plan does not want it"


@relaxed
@given(worlds())
def test_limits_and_bans_are_kept(world: World) -> None:
    world.settle()
    for resource in world.resources:
        _check_limits(world, resource)
    for constraint in world.constraints:
        if isinstance(constraint, Location) and constraint.score == "-INFINITY":
            for name in _instances(world, str(constraint.resource)):
                assert constraint.node not in world.places(name)
    assert not {node for node, _ in world.running} & world.standby


def _instances(world: World, resource_id: str) -> list[str]:
    found = world.configuration.find(resource_id)
    inner = found.child if isinstance(found, Clone) else found
    members = [m.id for m in inner.members] if isinstance(inner, Group) else [inner.id] if inner else []
    running = {name for _, name in world.running}
    return [name for name in running if name.partition(":")[0] in members]


def _check_limits(world: World, resource: AnyResource) -> None:
    names = _instances(world, resource.id)
    if isinstance(resource, Clone):
        meta = resource.meta[0].values if resource.meta else {}
        most = int(meta.get("clone-node-max", "1"))
        for node in world.nodes:
            here = [name for name in names if node in world.places(name)]
            bases = {name.partition(":")[0] for name in here}
            assert all(sum(n.partition(":")[0] == base for n in here) <= most for base in bases)
        return
    assert all(len(world.places(name)) <= 1 for name in names)
    if isinstance(resource, Group):
        assert len({node for name in names for node in world.places(name)}) <= 1


@relaxed
@given(worlds())
def test_mandatory_colocations_of_single_resources_are_kept(world: World) -> None:
    world.settle()
    single = {r.id for r in world.resources if r.kind == "primitive"}
    for constraint in world.constraints:
        if not isinstance(constraint, Colocation) or {constraint.resource, constraint.with_resource} - single:
            continue
        here, there = world.places(str(constraint.resource)), world.places(str(constraint.with_resource))
        if constraint.score == "INFINITY" and here:
            assert here == there
        if constraint.score == "-INFINITY" and here:
            assert here != there


@relaxed
@given(worlds())
def test_the_order_of_dictionaries_changes_nothing(world: World) -> None:
    for _ in ("as configured", "settled"):
        one, other = plan(world.view()), plan(shuffled(world.view()))
        assert one == other
        assert one.reasons == other.reasons
        world.settle()


@relaxed
@given(worlds(), st.sampled_from(NODES))
def test_losing_and_regaining_a_node_comes_to_rest(world: World, node: str) -> None:
    world.settle()
    world.lose(node)
    world.settle()
    assert node not in {place for place, _ in world.running}
    world.offline.clear()
    world.settle()


@relaxed
@given(resources(), st.sampled_from(NODES))
def test_losing_and_regaining_a_node_moves_only_what_must(made: tuple[AnyResource, ...], node: str) -> None:
    sticky = tuple(_sticky(resource) for resource in made)
    world = World(sticky, nodes=NODES)
    world.settle()
    survivors = {(place, name) for place, name in world.running if place != node}
    world.lose(node)
    world.settle()
    assert survivors <= set(world.running), "what ran elsewhere has moved for it"
    present = set(world.running)
    world.offline.clear()
    world.settle()
    assert present <= set(world.running), "what ran has moved because a node is back"


def _sticky(resource: AnyResource) -> AnyResource:
    values = {**(resource.meta[0].values if resource.meta else {}), "resource-stickiness": "100"}
    return resource.model_copy(update={"meta": attributes(resource.id, values)})


# ---- slots


@given(
    st.integers(0, 300),
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 5), min_size=1),
    st.integers(0, 60),
)
def test_slots_are_shared_by_weight_and_only_what_must_moves(
    count: int, weights: dict[str, int], most: int
) -> None:
    hosts = sorted(weights)
    owners = {slot: hosts[(slot * 7 + len(hosts)) % len(hosts)] for slot in range(count)}
    held = {host: sum(owner == host for owner in owners.values()) for host in hosts}
    quota = shares(count, hosts, weights, held, most)
    able = [host for host in hosts if weights[host] > 0 and most > 0]
    assert sum(quota.values()) == min(count, most * len(able))
    assert all(quota[host] <= most for host in hosts)
    plan_of_slots = spread(count, owners, quota)
    given_out = {host: sum(owner == host for owner in plan_of_slots.values()) for host in hosts}
    assert given_out == quota
    kept = sum(plan_of_slots.get(slot) == owner for slot, owner in owners.items())
    assert kept == sum(min(held[host], quota[host]) for host in hosts), "more moved than the quota asks for"


@given(st.integers(1, 200), st.integers(1, 8))
def test_equal_hosts_differ_by_one_slot_at_most(count: int, number: int) -> None:
    hosts = [f"a{n}" for n in range(number)]
    quota = shares(count, hosts, dict.fromkeys(hosts, 1), {}, count)
    assert max(quota.values()) - min(quota.values()) <= 1
