"""Edits beyond what the differential tests with pcs can show: refusals, completeness, references."""

import pytest

from daemon.model.changes import describe_change, removed_constraints
from daemon.model.cib import read_configuration
from daemon.model.configuration import Clone, Configuration, Group, Location, Order, Primitive
from daemon.model.edits import (
    clones,
    colocation,
    constraints,
    groups,
    location,
    moves,
    nodes,
    order,
    resources,
    standing,
)
from daemon.model.edits.constraints import SetRequest
from daemon.model.edits.operations import OperationRequest
from daemon.model.findings import Refused
from daemon.model.initial import initial_configuration

START = initial_configuration("lab", ["a1", "a2"])


def with_dummies(*names: str) -> Configuration:
    configuration = START
    for name in names:
        configuration = resources.create_resource(configuration, resource=name, agent="ocf:heartbeat:Dummy")
    return configuration


def primitive(configuration: Configuration, name: str) -> Primitive:
    found = configuration.find(name)
    assert isinstance(found, Primitive)
    return found


def test_everything_wrong_with_a_request_is_told_at_once() -> None:
    with pytest.raises(Refused) as caught:
        resources.create_resource(
            START,
            resource="v",
            agent="IPaddr2",
            options={"ip": "1.2.3", "cidr_netmsk": "24"},
            meta={"target-rol": "Started", "priority": "high"},
            operations=[OperationRequest("monitor", {"intervall": "10s"})],
        )
    said = str(caught.value)
    assert said.count("Error:") == 5
    assert "did you mean 'cidr_netmask'" in said
    assert "did you mean 'target-role'" in said


def test_an_unknown_name_can_be_forced_but_a_wrong_value_cannot() -> None:
    forced = resources.create_resource(
        START,
        resource="v",
        agent="IPaddr2",
        options={"ip": "192.0.2.1", "own": "1"},
        meta={"mine": "2"},
        force=True,
    )
    assert primitive(forced, "v").meta[0].values == {"mine": "2"}
    with pytest.raises(Refused, match="is not the IPv4 or IPv6 address"):
        resources.update_resource(forced, resource="v", options={"ip": "x"}, force=True)


@pytest.mark.parametrize(
    "agent", ["", ":", "ocf", "ocf:heartbeat", "ocf:a:b:c", "x:y", "ocf:a b:c", "nonsense", "systemd:"]
)
def test_what_is_no_agent_is_refused(agent: str) -> None:
    with pytest.raises(Refused):
        resources.create_resource(START, resource="r", agent=agent)


@pytest.mark.parametrize("name", ["", "1a", "a b", "a:b", "\x1b[2J", b"\xff".decode(errors="surrogateescape")])
def test_a_name_that_xml_does_not_allow_is_refused_in_printable_words(name: str) -> None:
    with pytest.raises(Refused, match="invalid resource name") as caught:
        resources.create_resource(START, resource=name, agent="ocf:heartbeat:Dummy")
    assert str(caught.value).isprintable()
    assert str(caught.value).encode()


def test_a_short_name_is_looked_up_among_installed_agents_too() -> None:
    made = resources.create_resource(START, resource="r", agent="frob", installed=["ocf:acme:frob"])
    assert primitive(made, "r").agent == "ocf:acme:frob"


def test_errors_that_were_there_before_do_not_stand_in_the_way() -> None:
    broken = START.model_copy(update={"constraints": (Order(id="o", first="gone", then="lost"),)})
    repaired = constraints.delete_constraints(
        resources.create_resource(broken, resource="a", agent="ocf:heartbeat:Dummy"), constraints=["o"]
    )
    assert repaired.constraints == ()


def test_orders_that_would_wait_for_each_other_are_refused() -> None:
    configuration = order.add_order(with_dummies("a", "b"), first="a", then="b")
    with pytest.raises(Refused, match="wait for each other: start"):
        order.add_order(configuration, first="b", then="a")
    assert len(order.add_order(configuration, first="b", then="a", options={"kind": "Optional"}).constraints) == 2


def test_cloning_renames_the_child_in_sets_too() -> None:
    configuration = order.add_order_sets(with_dummies("a", "b"), sets=[SetRequest(["a", "b"])])
    cloned = clones.clone_resource(configuration, resource="a")
    assert cloned.constraints[0].sets[0].resources == ("a-clone", "b")


def test_a_member_that_is_cloned_leaves_its_group_and_an_empty_group_goes() -> None:
    configuration = groups.add_to_group(with_dummies("a", "b"), group="g", resources=["a", "b"])
    once = clones.clone_resource(configuration, resource="a")
    group = once.find("g")
    assert isinstance(group, Group)
    assert [member.id for member in group.members] == ["b"]
    assert clones.clone_resource(once, resource="b").find("g") is None


def test_a_clone_of_a_clone_is_refused() -> None:
    configuration = clones.clone_resource(with_dummies("a"), resource="a")
    for name in ("a", "a-clone"):
        with pytest.raises(Refused, match="is already a clone"):
            clones.clone_resource(configuration, resource=name)


def test_deleting_the_last_member_takes_group_clone_and_their_constraints_along() -> None:
    configuration = groups.add_to_group(with_dummies("a", "b"), group="g", resources=["a"])
    configuration = clones.clone_resource(configuration, resource="g")
    configuration = colocation.add_colocation(configuration, resource="b", with_resource="g-clone")
    remaining = resources.delete_resource(configuration, resource="a")
    assert [one.id for one in remaining.walk()] == ["b"]
    assert [one.id for one in removed_constraints(configuration, remaining)] == ["colocation-b-g-clone-INFINITY"]


def test_a_resource_with_a_tag_is_not_deleted() -> None:
    tagged = read_configuration(
        '<cib epoch="1"><configuration><resources><primitive id="a" class="ocf" provider="x" type="y"/></resources>'
        '<tags><tag id="t"><obj_ref id="a"/></tag></tags></configuration></cib>'
    )
    with pytest.raises(Refused, match="referenced in the tag: 't'"):
        resources.delete_resource(tagged, resource="a")


def test_what_refers_to_a_set_follows_its_changes_and_keeps_it_from_going() -> None:
    shared = read_configuration(
        '<cib epoch="1"><configuration><resources>'
        '<primitive id="a" class="ocf" provider="x" type="y">'
        '<meta_attributes id="m"><nvpair id="n" name="priority" value="1"/></meta_attributes></primitive>'
        '<primitive id="b" class="ocf" provider="x" type="y"><meta_attributes id-ref="m"/></primitive>'
        "</resources></configuration></cib>"
    )
    followed = resources.set_meta(shared, resource="a", meta={"priority": "7"})
    assert primitive(followed, "b").meta[0].values == {"priority": "7"}
    own = resources.set_meta(followed, resource="b", meta={"priority": "9"})
    assert primitive(own, "a").meta[0].values == {"priority": "7"}
    assert primitive(own, "b").meta[0].id == "b-meta_attributes"
    with pytest.raises(Refused, match="of that id does not exist"):
        resources.delete_resource(followed, resource="a")


def test_a_constraint_inside_a_clone_is_refused_with_the_clones_name_unless_forced() -> None:
    configuration = clones.clone_resource(with_dummies("a", "b"), resource="a")
    with pytest.raises(Refused, match="use the clone id 'a-clone'"):
        colocation.add_colocation(configuration, resource="b", with_resource="a")
    forced = colocation.add_colocation(configuration, resource="b", with_resource="a", force=True)
    assert len(forced.constraints) == 1


def test_a_node_that_nobody_lists_is_refused_unless_forced() -> None:
    configuration = with_dummies("a")
    with pytest.raises(Refused, match="does not seem to be in the cluster"):
        location.prefer_nodes(configuration, resource="a", scores={"a9": "5"})
    assert len(location.prefer_nodes(configuration, resource="a", scores={"a9": "5"}, force=True).constraints) == 1


def test_avoiding_turns_the_sign() -> None:
    assert [location.negated(text) for text in ("INFINITY", "5", "+5", "-5")] == ["-INFINITY", "-5", "-5", "5"]


def test_a_rule_can_be_deleted_alone_and_the_last_one_takes_its_constraint_along() -> None:
    configuration = location.add_location_rule(with_dummies("a"), resource="a", expression=["#uname eq a1"])
    assert constraints.delete_constraints(configuration, constraints=["location-a-rule"]).constraints == ()


def test_a_move_for_a_time_ends_by_a_rule() -> None:
    moved = moves.move(with_dummies("a"), resource="a", node="a1", until="2030-01-01 00:00:00Z")
    made = moved.constraints[0]
    assert isinstance(made, Location)
    assert [expression.end for expression in made.rules[0].expressions] == ["", "2030-01-01 00:00:00Z"]
    assert moves.clear(moved, resource="a", node="a2").constraints == moved.constraints
    assert moves.clear(moved, resource="a", node="a1").constraints == ()


def test_members_of_a_cloned_group_leave_only_together() -> None:
    configuration = groups.add_to_group(with_dummies("a", "b"), group="g", resources=["a", "b"])
    configuration = clones.clone_resource(configuration, resource="g")
    with pytest.raises(Refused, match="cloned group"):
        groups.remove_from_group(configuration, group="g", resources=["a"])
    assert not any(isinstance(one, Clone) for one in groups.remove_from_group(configuration, group="g").walk())


def test_monitors_are_disabled_and_enabled_again_with_unmanage() -> None:
    configuration = standing.disable_monitors(with_dummies("a"), resources=["a"])
    states = [
        one.options.get("enabled") for one in primitive(configuration, "a").operations if one.name == "monitor"
    ]
    assert states == ["false"]
    assert standing.enable_monitors(configuration, resources=["a"]) == with_dummies("a")


def test_nodes_are_listed_once_with_free_numbers() -> None:
    grown = nodes.list_nodes(START, names=["a2", "b1", "b1", "b2"])
    assert [(node.id, node.name) for node in grown.nodes] == [("1", "a1"), ("2", "a2"), ("3", "b1"), ("4", "b2")]


def test_a_change_is_told_in_sentences() -> None:
    old = order.add_order(with_dummies("a", "b"), first="a", then="b")
    new = clones.clone_resource(old, resource="a", meta={"clone-max": "2"})
    new = standing.disable(new, resources=["b"])
    new = nodes.standby(new, nodes=["a1"])
    assert describe_change(old, new) == [
        "attribute standby of node a1 set to on",
        "meta attribute target-role of b set to Stopped",
        "clone a-clone of a created with clone-max=2",
        "order order-a-b-mandatory changed to: start a-clone then start b (kind:Mandatory)",
    ]
    assert describe_change(old, old) == []


def test_a_group_is_not_cloned_while_a_constraint_names_one_of_its_members() -> None:
    configuration = groups.add_to_group(with_dummies("one"), group="G", resources=["one"])
    configuration = location.prefer_nodes(configuration, resource="one", scores={"a1": "50"})
    with pytest.raises(Refused, match="names 'one', a member of group 'G'"):
        clones.clone_resource(configuration, resource="G")


def test_nothing_is_ordered_after_itself_not_even_optionally() -> None:
    with pytest.raises(Refused, match="after itself"):
        order.add_order(with_dummies("one"), first="one", then="one", options={"kind": "Optional"})
