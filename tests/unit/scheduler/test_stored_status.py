"""What a CIB's status section may hold beside the ordinary, each in a small CIB."""

from __future__ import annotations

import pytest

from daemon.scheduler.cibstatus import read_view
from daemon.scheduler.simulate import simulate

MEMBER = 'in_ccm="true" crmd="online" join="member" expected="member"'
DUMMY = 'class="ocf" provider="heartbeat" type="Dummy"'


def ended(task: str, code: int = 0, expected: int = 0, call: int = 1, **more: str) -> str:
    """A result in a node's history."""
    name, stamps = more.pop("name"), more.pop("stamps", 'last-rc-change="100"')
    extra = " ".join(f'{key}="{value}"' for key, value in more.items())
    return (
        f'<lrm_rsc_op id="{name}_{task}_0" operation="{task}" interval="0" call-id="{call}" op-status="0" {stamps} '
        f'rc-code="{code}" transition-key="1:1:{expected}:x" transition-magic="0:{code};1:1:{expected}:x" {extra}/>'
    )


def history(name: str, *operations: str, kind: str = DUMMY) -> str:
    return f'<lrm_resource id="{name}" {kind}>{"".join(operations)}</lrm_resource>'


def started(name: str, kind: str = DUMMY) -> str:
    return history(name, ended("start", name=name), kind=kind)


def placed(
    resources: str,
    histories: dict[str, str],
    properties: dict[str, str] | None = None,
    nodes: str = "",
    constraints: str = "",
    quorum: bool = True,
) -> dict[str, dict[str, list[str]]]:
    """Where everything is after the transition; the nodes are those with a history."""
    pairs = "".join(
        f'<nvpair id="p-{name}" name="{name}" value="{value}"/>'
        for name, value in ({"stonith-enabled": "false"} | (properties or {})).items()
    )
    entries = nodes or "".join(f'<node id="{name}" uname="{name}"/>' for name in histories)
    states = "".join(
        f'<node_state id="{name}" uname="{name}" {MEMBER}><lrm id="{name}"><lrm_resources>{known}</lrm_resources>'
        "</lrm></node_state>"
        for name, known in histories.items()
    )
    return simulate(
        read_view(
            f'<cib validate-with="pacemaker-3.7" have-quorum="{int(quorum)}" execution-date="1000"><configuration>'
            f'<crm_config><cluster_property_set id="o">{pairs}</cluster_property_set></crm_config>'
            f"<nodes>{entries}</nodes><resources>{resources}</resources><constraints>{constraints}</constraints>"
            f"</configuration><status>{states}</status></cib>",
            now_ms=0,
        )
    )


def test_a_number_beyond_clone_max_is_still_an_instance_of_the_anonymous_clone() -> None:
    clone = f'<clone id="c"><primitive id="p" {DUMMY}/></clone>'
    found = placed(clone, {"n1": started("p:4"), "n2": started("p:0")})
    assert found["placement"] == {"p": ["n1", "n2"]}


def test_a_fencing_device_that_is_configured_no_more_fences_until_it_is_gone() -> None:
    device = 'class="stonith" type="fence_dummy"'
    histories = {"n1": started("device", device), "n2": history("a", ended("monitor", 7, 7, name="a"))}
    found = placed(f'<primitive id="a" {DUMMY}/>', histories, {"stonith-enabled": "true"})
    # without any device nothing would be started or stopped
    assert found["placement"].get("device", []) == []
    assert len(found["placement"]["a"]) == 1


def test_what_a_node_entry_scores_is_added_for_everything_that_may_run_there() -> None:
    nodes = '<node id="n1" uname="n1"/><node id="n2" uname="n2" score="100"/><node id="n3" uname="n3" score="-5"/>'
    found = placed(f'<primitive id="a" {DUMMY}/>', {"n1": "", "n2": "", "n3": ""}, nodes=nodes)
    assert found["placement"]["a"] == ["n2"]


@pytest.mark.parametrize(
    ("first", "second", "host"), [("1.0", "2.0", "n2"), ("2.0", "1.0", "n1"), ("+3", "x", "n1")]
)
def test_a_stored_priority_counts_as_the_number_that_it_begins_with(first: str, second: str, host: str) -> None:
    resources = "".join(
        f'<primitive id="{name}" {DUMMY}><meta_attributes id="m-{name}">'
        f'<nvpair id="v-{name}" name="priority" value="{value}"/></meta_attributes></primitive>'
        for name, value in (("a", first), ("b", second))
    )
    # who chooses first takes the first host
    assert placed(resources, {"n1": "", "n2": ""})["placement"]["a"] == [host]


@pytest.mark.parametrize(("managed", "hosts"), [("true", ["n1"]), ("false", [])])
def test_where_a_migration_that_nobody_timed_may_have_arrived_is_where_it_starts(
    managed: str, hosts: list[str]
) -> None:
    vm = (
        f'<primitive id="vm" {DUMMY}><meta_attributes id="m">'
        f'<nvpair id="v" name="is-managed" value="{managed}"/></meta_attributes></primitive>'
    )
    left = history(
        "vm",
        ended("start", name="vm", call=2),
        ended("migrate_to", 1, 0, 3, name="vm", stamps="", migrate_source="n2", migrate_target="n1"),
        ended("stop", name="vm", call=4, stamps=""),
    )
    found = placed(vm, {"n1": history("vm", ended("monitor", 7, 7, name="vm")), "n2": left})
    assert found["placement"]["vm"] == hosts, (
        "a probe has found nothing there, and nobody starts what is not managed"
    )


PROMOTABLE = (
    '<clone id="c"><meta_attributes id="m"><nvpair id="v" name="promotable" value="true"/></meta_attributes>'
    '<primitive id="p" class="ocf" provider="pacemaker" type="Stateful"/></clone>'
)
LOCATION = '<rsc_location id="l" rsc="c"><rule id="r" role="Promoted" score="100"><expression id="x" \
attribute="#uname" operation="eq" value="n1"/></rule></rsc_location>'


@pytest.mark.parametrize(("policy", "runs", "promoted"), [("demote", ["n1"], []), ("stop", [], [])])
def test_without_quorum_what_has_roles_is_demoted_or_stopped(
    policy: str, runs: list[str], promoted: list[str]
) -> None:
    known = history("p", ended("start", name="p"), ended("promote", name="p", call=2)) + started("a")
    found = placed(
        PROMOTABLE + f'<primitive id="a" {DUMMY}/>',
        {"n1": known},
        {"no-quorum-policy": policy},
        constraints=LOCATION,
        quorum=False,
    )
    assert found["placement"].get("p", []) == runs
    assert found["promoted"].get("p", []) == promoted
    assert found["placement"].get("a", []) == [], "what has no roles stops"


def test_with_quorum_it_stays_promoted() -> None:
    known = history("p", ended("start", name="p"), ended("promote", name="p", call=2))
    found = placed(PROMOTABLE, {"n1": known}, {"no-quorum-policy": "demote"}, constraints=LOCATION)
    assert found["promoted"]["p"] == ["n1"]


def with_meta(name: str, values: dict[str, str], body: str = "") -> str:
    pairs = "".join(f'<nvpair id="{name}-{key}" name="{key}" value="{value}"/>' for key, value in values.items())
    return (
        f'<primitive id="{name}" {DUMMY}><meta_attributes id="{name}-m">{pairs}</meta_attributes>{body}</primitive>'
    )


def placed_in(document: str) -> dict[str, list[str]]:
    return simulate(read_view(document, now_ms=0))["placement"]


def two_nodes(properties: dict[str, str], resources: str, constraints: str, states: str, nodes: str = "") -> str:
    pairs = "".join(
        f'<nvpair id="p-{name}" name="{name}" value="{value}"/>'
        for name, value in ({"stonith-enabled": "false"} | properties).items()
    )
    entries = nodes or '<node id="n1" uname="n1"/><node id="n2" uname="n2"/>'
    return (
        f'<cib validate-with="pacemaker-3.7" have-quorum="1" execution-date="1000"><configuration><crm_config>'
        f'<cluster_property_set id="o">{pairs}</cluster_property_set></crm_config><nodes>{entries}</nodes>'
        f"<resources>{resources}</resources><constraints>{constraints}</constraints></configuration>"
        f"<status>{states}</status></cib>"
    )


UP = "".join(f'<node_state id="{name}" uname="{name}" {MEMBER}/>' for name in ("n1", "n2"))


def gone(name: str, lock: int) -> str:
    return (
        f'<node_state id="{name}" uname="{name}" in_ccm="false" crmd="offline" join="down" expected="down">'
        f'<lrm id="{name}"><lrm_resources><lrm_resource id="a" {DUMMY} shutdown-lock="{lock}"/></lrm_resources></lrm>'
        "</node_state>"
    )


@pytest.mark.parametrize(
    ("lock", "limit", "place"), [(900, "0", []), (900, "50s", ["n2"]), (900, "5min", []), (0, "0", ["n2"])]
)
def test_what_is_locked_waits_for_its_host_until_the_limit(lock: int, limit: str, place: list[str]) -> None:
    properties = {"shutdown-lock": "true", "shutdown-lock-limit": limit}
    states = gone("n1", lock) + f'<node_state id="n2" uname="n2" {MEMBER}/>'
    assert placed_in(two_nodes(properties, f'<primitive id="a" {DUMMY}/>', "", states))["a"] == place


def test_without_the_property_a_lock_means_nothing() -> None:
    states = gone("n1", 900) + f'<node_state id="n2" uname="n2" {MEMBER}/>'
    assert placed_in(two_nodes({}, f'<primitive id="a" {DUMMY}/>', "", states))["a"] == ["n2"]


TICKET = '<rsc_ticket id="t" rsc="a" ticket="site"/>'


@pytest.mark.parametrize(
    ("state", "runs"),
    [
        ("", False),
        ('<tickets><ticket_state id="site" granted="false"/></tickets>', False),
        ('<tickets><ticket_state id="site" granted="true"/></tickets>', True),
        ('<tickets><ticket_state id="site" granted="true" standby="true"/></tickets>', False),
        ('<tickets><ticket_state id="other" granted="true"/></tickets>', False),
    ],
)
def test_what_needs_a_ticket_runs_only_with_it(state: str, runs: bool) -> None:
    found = placed_in(two_nodes({}, f'<primitive id="a" {DUMMY}/>', TICKET, UP + state))
    assert bool(found["a"]) is runs


@pytest.mark.parametrize(("policy", "stays"), [("stop", False), ("freeze", True), ("demote", False)])
def test_a_ticket_that_is_lost_stops_or_freezes_what_runs(policy: str, stays: bool) -> None:
    states = (
        f'<node_state id="n1" uname="n1" {MEMBER}><lrm id="n1"><lrm_resources>{started("a")}</lrm_resources></lrm>'
        f'</node_state><node_state id="n2" uname="n2" {MEMBER}/>'
    )
    constraint = f'<rsc_ticket id="t" rsc="a" ticket="site" loss-policy="{policy}"/>'
    found = placed_in(two_nodes({}, f'<primitive id="a" {DUMMY}/>', constraint, states))
    assert found["a"] == (["n1"] if stays else [])


def ill(n1: str, n2: str) -> str:
    return "".join(
        f'<node id="{name}" uname="{name}"><instance_attributes id="i{name}">'
        f'<nvpair id="h{name}" name="#health-disk" value="{value}"/></instance_attributes></node>'
        for name, value in (("n1", n1), ("n2", n2))
    )


@pytest.mark.parametrize(
    ("strategy", "n1", "n2", "place"),
    [
        ("none", "red", "green", ["n1"]),
        ("migrate-on-red", "red", "green", ["n2"]),
        ("migrate-on-red", "yellow", "green", ["n1"]),
        ("only-green", "yellow", "green", ["n2"]),
        ("only-green", "yellow", "red", []),
        ("progressive", "-5", "0", ["n2"]),
        ("progressive", "-5", "-3", []),
        ("progressive", "10", "20", ["n2"]),
    ],
)
def test_the_health_of_nodes_moves_what_runs_there(strategy: str, n1: str, n2: str, place: list[str]) -> None:
    document = two_nodes({"node-health-strategy": strategy}, f'<primitive id="a" {DUMMY}/>', "", UP, ill(n1, n2))
    assert placed_in(document)["a"] == place


def test_what_is_allowed_on_unhealthy_nodes_stays_on_a_red_one() -> None:
    document = two_nodes(
        {"node-health-strategy": "migrate-on-red"},
        with_meta("a", {"allow-unhealthy-nodes": "true"}),
        "",
        UP,
        ill("red", "red"),
    )
    assert placed_in(document)["a"] == ["n1"]


def test_worths_of_colours_count_under_progressive_and_so_does_the_base() -> None:
    properties = {"node-health-strategy": "progressive", "node-health-yellow": "-10", "node-health-base": "5"}
    assert placed_in(two_nodes(properties, f'<primitive id="a" {DUMMY}/>', "", UP, ill("yellow", "0")))["a"] == [
        "n2"
    ]


@pytest.mark.parametrize(("dependent", "primary", "together"), [("t1", "t2", 1), ("t1", "b", 0), ("a", "t2", 0)])
def test_a_colocation_of_two_templates_is_ignored_as_in_pacemaker(
    dependent: str, primary: str, together: int
) -> None:
    resources = "".join(f'<template id="{name}" {DUMMY}/>' for name in ("t1", "t2"))
    resources += '<primitive id="a" template="t1"/><primitive id="b" template="t2"/>'
    colocation = f'<rsc_colocation id="c" rsc="{dependent}" with-rsc="{primary}" score="INFINITY"/>'
    found = placed(resources, {"n1": "", "n2": ""}, constraints=colocation)["placement"]
    assert len({*found["a"], *found["b"]}) == 1 + together
