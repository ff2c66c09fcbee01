"""What runs where, read from the results of operations by the scheduler's own eyes."""

from __future__ import annotations

from typing import Any

from daemon.control.resourcetree import read, resources, resources_at_rest
from daemon.control.schema import InstanceStatus, ResourceStatus, SlotStatus
from daemon.model.configuration import (
    AnyResource,
    AttributeSet,
    Clone,
    Configuration,
    Group,
    NodeEntry,
    Primitive,
)
from daemon.scheduler.view import Action, NodeView, OperationView, SlotsView, View

HOSTS = ("a1", "a2", "a3")


def primitive(name: str, **meta: str) -> Primitive:
    return Primitive(id=name, standard="ocf", provider="x", type="thing", meta=attributes(name, meta))


def attributes(name: str, values: dict[str, str]) -> tuple[AttributeSet, ...]:
    named = {key.replace("_", "-"): value for key, value in values.items()}
    return (AttributeSet(id=f"{name}-meta", values=named),) if named else ()


def clone(child: Primitive | Group, **meta: str) -> Clone:
    return Clone(id=f"{child.id}-clone", child=child, meta=attributes(f"{child.id}-clone", meta))


class World:
    """A view that results are added to in their order."""

    def __init__(self, *tree: AnyResource, **fields: Any) -> None:
        self.tree = tree
        self.fields = fields
        self.results: list[OperationView] = []

    def ran(self, node: str, instance: str, operation: str, code: int = 0, interval_ms: int = 0) -> None:
        expected = 7 if operation == "monitor" and not interval_ms else 0
        number = len(self.results) + 1
        self.results.append(
            OperationView(node, instance, operation, interval_ms, code, "done", expected, number, number)
        )

    def view(self) -> View:
        nodes = {name: NodeView(name, online=True) for name in HOSTS}
        configuration = Configuration(resources=self.tree)
        return View(configuration, nodes, tuple(self.results), defaults={"stonith-enabled": "false"}, **self.fields)


def only(tree: tuple[ResourceStatus, ...]) -> ResourceStatus:
    (resource,) = tree
    return resource


def test_a_resource_that_nobody_started_is_stopped() -> None:
    assert only(resources(read(World(primitive("web")).view()))).instances == (InstanceStatus("web", "Stopped"),)


def test_a_resource_runs_where_its_last_start_succeeded() -> None:
    world = World(primitive("web"))
    world.ran("a1", "web", "start")
    assert only(resources(read(world.view()))).instances == (InstanceStatus("web", "Started", "a1"),)
    world.ran("a1", "web", "stop")
    assert only(resources(read(world.view()))).instances == (InstanceStatus("web", "Stopped"),)


def test_a_resource_that_a_monitor_missed_has_failed() -> None:
    world = World(primitive("web"))
    world.ran("a1", "web", "start")
    world.ran("a1", "web", "monitor", 1, 10_000)
    (instance,) = only(resources(read(world.view()))).instances
    assert (instance.role, instance.node, instance.failed) == ("FAILED", "a1", True)


def test_what_is_being_done_is_shown() -> None:
    world = World(primitive("web"))
    starting = Action("web_start_0@a2", "a2", "web", "start")
    assert only(resources(read(world.view()), [starting])).instances == (InstanceStatus("web", "Starting", "a2"),)
    world.ran("a2", "web", "start")
    stopping = Action("web_stop_0@a2", "a2", "web", "stop")
    assert only(resources(read(world.view()), [stopping])).instances == (InstanceStatus("web", "Stopping", "a2"),)


def test_a_probe_is_not_shown_as_a_start() -> None:
    probe = Action("web_monitor_0@a2", "a2", "web", "monitor")
    assert only(resources(read(World(primitive("web")).view()), [probe])).instances[0].role == "Stopped"


def test_an_anonymous_clone_has_an_entry_for_every_node() -> None:
    world = World(clone(primitive("web")))
    world.ran("a2", "web", "start")
    tree = only(resources(read(world.view())))
    assert (tree.kind, tree.unique) == ("clone", False)
    assert [(i.node, i.role) for i in tree.members[0].instances] == [
        ("a1", "Stopped"),
        ("a2", "Started"),
        ("a3", "Stopped"),
    ]


def test_a_unique_clone_numbers_its_instances() -> None:
    world = World(clone(primitive("web"), globally_unique="true", clone_max="2", clone_node_max="2"))
    world.ran("a2", "web:1", "start")
    assert only(resources(read(world.view()))).members[0].instances == (
        InstanceStatus("web:0", "Stopped"),
        InstanceStatus("web:1", "Started", "a2"),
    )


def test_a_cloned_group_keeps_its_members_apart() -> None:
    group = Group(id="site", members=(primitive("ip"), primitive("web")))
    world = World(clone(group))
    world.ran("a1", "ip", "start")
    (told,) = only(resources(read(world.view()))).members
    assert (told.kind, [member.id for member in told.members]) == ("group", ["ip", "web"])
    assert [i.role for i in told.members[0].instances] == ["Started", "Stopped", "Stopped"]
    assert [i.role for i in told.members[1].instances] == ["Stopped"] * 3


def test_the_instances_of_a_shared_address_are_its_slots() -> None:
    address = clone(primitive("VIP"), globally_unique="true", clone_max="4", clone_node_max="4")
    world = World(address, slots={"VIP": SlotsView("VIP", {}, {})})
    slots = (
        SlotStatus(0, "a1", "open"),
        SlotStatus(1, "a1", "draining", "a2"),
        SlotStatus(2, "a3", "open", opened=False),
    )
    instances = only(resources(read(world.view()), slots={"VIP": slots})).members[0].instances
    assert [(i.id, i.role, i.node, i.successor, i.phase) for i in instances] == [
        ("VIP:0", "Started", "a1", None, "open"),
        ("VIP:1", "Started", "a1", "a2", "draining"),
        ("VIP:2", "Starting", "a3", None, "open"),
        ("VIP:3", "Stopped", None, None, "free"),
    ]


def test_what_is_configured_no_more_is_shown_while_it_runs() -> None:
    world = World()
    world.ran("a1", "old", "start")
    tree = only(resources(read(world.view())))
    assert (tree.id, tree.orphan, tree.instances[0].role) == ("old", True, "Started")
    world.ran("a1", "old", "stop")
    assert resources(read(world.view())) == ()


def test_resources_come_in_the_order_of_the_administrator_whatever_their_priority() -> None:
    world = World(primitive("b", priority="1"), primitive("a", priority="9"))
    assert [resource.id for resource in resources(read(world.view()))] == ["b", "a"]


def test_disabled_and_unmanaged_resources_say_so() -> None:
    tree = only(resources(read(World(primitive("web", target_role="Stopped", is_managed="false")).view())))
    assert (tree.target_role, tree.managed, tree.instances[0].managed) == ("Stopped", False, False)


def test_of_a_file_nothing_runs() -> None:
    nodes = tuple(NodeEntry(id=str(number), name=name) for number, name in enumerate(HOSTS))
    tree = resources_at_rest(Configuration(nodes=nodes, resources=(clone(primitive("web")), primitive("db"))))
    assert [i.role for i in tree[0].members[0].instances] == ["Stopped"] * 3
    assert tree[1].instances == (InstanceStatus("db", "Stopped"),)
