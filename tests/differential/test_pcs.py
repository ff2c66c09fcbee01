"""The same edits by the real `pcs -f FILE` and by ours: the resulting configurations are equal, ids included.

Needs Debian's pcs, pacemaker-cli-utils and resource-agents.  No service is started: pcs only edits a file.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.model.cib import read_cib, read_configuration, write_cib
from daemon.model.configuration import AttributeSet, Configuration
from daemon.model.edits import (
    clones,
    colocation,
    constraints,
    groups,
    location,
    moves,
    nodes,
    operations,
    order,
    resources,
    settings,
    standing,
)
from daemon.model.edits.constraints import SetRequest
from daemon.model.edits.operations import OperationRequest
from daemon.model.findings import Refused
from daemon.model.initial import initial_configuration

START = initial_configuration("lab", ["a1", "a2", "a3", "a4"])
Edit = Callable[[Configuration], Configuration]
Step = tuple[str, Edit]


def pcs(cib: Path, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["pcs", "-f", str(cib), *command.split()], capture_output=True, text=True, check=False, timeout=60
    )


def edit(function: Callable[..., Configuration], **arguments: Any) -> Edit:
    return lambda configuration: function(configuration, **arguments)


def dummy(name: str) -> Step:
    return f"resource create {name} ocf:heartbeat:Dummy", edit(
        resources.create_resource, resource=name, agent="ocf:heartbeat:Dummy"
    )


def op(name: str, **options: str) -> OperationRequest:
    return OperationRequest(name, {key.replace("_", "-"): value for key, value in options.items()})


def semantic(configuration: Configuration) -> dict[str, Any]:
    """The tree without what means nothing: empty sets of values (pcs leaves them behind)."""

    def pruned(value: Any) -> Any:
        match value:
            case dict():
                return {name: pruned(part) for name, part in value.items() if name != "pair_ids"}
            case list() | tuple():
                return [pruned(part) for part in value if not _is_empty_set(part)]
            case _:
                return value

    return pruned(configuration.model_dump())  # type: ignore[no-any-return]


def _is_empty_set(value: object) -> bool:
    return isinstance(value, dict) and value.keys() == AttributeSet.model_fields.keys() and not value["values"]


VIP = (
    "resource create VIP ocf:heartbeat:IPaddr2 ip=192.168.110.120 cidr_netmask=24 op monitor interval=10s",
    edit(
        resources.create_resource,
        resource="VIP",
        agent="ocf:heartbeat:IPaddr2",
        options={"ip": "192.168.110.120", "cidr_netmask": "24"},
        operations=[op("monitor", interval="10s")],
    ),
)
WEBSERVER = (
    "resource create webserver ocf:heartbeat:apache configfile=/etc/apache2/apache2.conf op monitor interval=10s",
    edit(
        resources.create_resource,
        resource="webserver",
        agent="ocf:heartbeat:apache",
        options={"configfile": "/etc/apache2/apache2.conf"},
        operations=[op("monitor", interval="10s")],
    ),
)
TOGETHER = (
    "constraint colocation add webserver with VIP INFINITY",
    edit(colocation.add_colocation, resource="webserver", with_resource="VIP", score="INFINITY"),
)
IN_ORDER = ("constraint order VIP then webserver", edit(order.add_order, first="VIP", then="webserver"))

SCENARIOS: dict[str, list[Step]] = {
    "the runbook of the four hosts": [
        VIP,
        WEBSERVER,
        TOGETHER,
        IN_ORDER,
        (
            "resource clone VIP clone-max=4 clone-node-max=4 globally-unique=true",
            edit(
                clones.clone_resource,
                resource="VIP",
                meta={"clone-max": "4", "clone-node-max": "4", "globally-unique": "true"},
            ),
        ),
        (
            "resource update VIP clusterip_hash=sourceip",
            edit(resources.update_resource, resource="VIP", options={"clusterip_hash": "sourceip"}),
        ),
        ("resource clone webserver", edit(clones.clone_resource, resource="webserver")),
        ("resource unclone webserver", edit(clones.unclone_resource, resource="webserver")),
        ("resource delete webserver", edit(resources.delete_resource, resource="webserver")),
        ("resource delete VIP", edit(resources.delete_resource, resource="VIP")),
    ],
    "operations given, advised and updated": [
        (
            "resource create a ocf:heartbeat:Dummy op monitor timeout=5s op stop timeout=7 on-fail=block",
            edit(
                resources.create_resource,
                resource="a",
                agent="ocf:heartbeat:Dummy",
                operations=[op("monitor", timeout="5s"), op("stop", timeout="7", on_fail="block")],
            ),
        ),
        (
            "resource create b ocf:heartbeat:Dummy op monitor interval=30 OCF_CHECK_LEVEL=10 meta priority=5",
            edit(
                resources.create_resource,
                resource="b",
                agent="ocf:heartbeat:Dummy",
                operations=[OperationRequest("monitor", {"interval": "30", "OCF_CHECK_LEVEL": "10"})],
                meta={"priority": "5"},
            ),
        ),
        (
            "resource create c ocf:pacemaker:Stateful",
            edit(resources.create_resource, resource="c", agent="ocf:pacemaker:Stateful"),
        ),
        (
            "resource create d ocf:heartbeat:nginx",
            edit(resources.create_resource, resource="d", agent="ocf:heartbeat:nginx"),
        ),
        (
            "resource create e systemd:no-such-unit --force",
            edit(resources.create_resource, resource="e", agent="systemd:no-such-unit"),
        ),
        (
            "resource update a state=/run/x fake=1",
            edit(resources.update_resource, resource="a", options={"state": "/run/x", "fake": "1"}),
        ),
        (
            "resource update a fake= op monitor interval=20s timeout=4s op start timeout=9 meta priority=3",
            edit(
                resources.update_resource,
                resource="a",
                options={"fake": ""},
                operations=[op("monitor", interval="20s", timeout="4s"), op("start", timeout="9")],
                meta={"priority": "3"},
            ),
        ),
        (
            "resource op add a monitor interval=44s role=Unpromoted",
            edit(operations.add_operation, resource="a", request=op("monitor", interval="44s", role="Unpromoted")),
        ),
        (
            "resource update a op monitor interval=50s role=Unpromoted",
            edit(
                resources.update_resource,
                resource="a",
                operations=[op("monitor", interval="50s", role="Unpromoted")],
            ),
        ),
        (
            "resource op remove a monitor interval=50s role=Unpromoted",
            edit(
                operations.remove_operation, resource="a", request=op("monitor", interval="50s", role="Unpromoted")
            ),
        ),
    ],
    "groups": [
        *(dummy(name) for name in "ABCDE"),
        ("constraint order E then A", edit(order.add_order, first="E", then="A")),
        ("resource group add G A B", edit(groups.add_to_group, group="G", resources=["A", "B"])),
        (
            "resource group add G C --before A",
            edit(groups.add_to_group, group="G", resources=["C"], before="A"),
        ),
        ("resource group add G D --after A", edit(groups.add_to_group, group="G", resources=["D"], after="A")),
        ("resource group add G B --before C", edit(groups.add_to_group, group="G", resources=["B"], before="C")),
        ("resource group remove G A", edit(groups.remove_from_group, group="G", resources=["A"])),
        ("resource group add H A B", edit(groups.add_to_group, group="H", resources=["A", "B"])),
        (
            "constraint location G prefers a1",
            edit(location.prefer_nodes, resource="G", scores={"a1": "INFINITY"}),
        ),
        (
            "resource clone G interleave=true",
            edit(clones.clone_resource, resource="G", meta={"interleave": "true"}),
        ),
        ("resource delete C", edit(resources.delete_resource, resource="C")),
        ("resource delete G", edit(resources.delete_resource, resource="G")),
        ("resource ungroup H", edit(groups.remove_from_group, group="H")),
    ],
    "standing of resources": [
        *(dummy(name) for name in "ABCD"),
        ("resource group add G A B", edit(groups.add_to_group, group="G", resources=["A", "B"])),
        ("resource clone G", edit(clones.clone_resource, resource="G")),
        (
            "resource clone C named notify=true clone-max=2",
            edit(clones.clone_resource, resource="C", clone="named", meta={"notify": "true", "clone-max": "2"}),
        ),
        ("resource disable A C D", edit(standing.disable, resources=["A", "C", "D"])),
        ("resource disable named G G-clone", edit(standing.disable, resources=["named", "G", "G-clone"])),
        ("resource enable C A", edit(standing.enable, resources=["C", "A"])),
        ("resource enable G-clone", edit(standing.enable, resources=["G-clone"])),
        ("resource unmanage G-clone D", edit(standing.unmanage, resources=["G-clone", "D"])),
        ("resource manage A D", edit(standing.manage, resources=["A", "D"])),
        (
            "resource meta named interleave=true",
            edit(resources.set_meta, resource="named", meta={"interleave": "true"}),
        ),
        (
            "resource update named clone-max=3",
            edit(resources.update_resource, resource="named", options={"clone-max": "3"}),
        ),
        ("resource meta D target-role=", edit(resources.set_meta, resource="D", meta={"target-role": ""})),
    ],
    "constraints": [
        *(dummy(name) for name in ("Alpha", "Beta", "Gamma", "D2")),
        (
            "constraint location Alpha prefers a1 a2=50",
            edit(location.prefer_nodes, resource="Alpha", scores={"a1": "INFINITY", "a2": "50"}),
        ),
        (
            "constraint location Alpha avoids a1=20 a3",
            edit(location.avoid_nodes, resource="Alpha", scores={"a1": "20", "a3": "INFINITY"}),
        ),
        (
            "constraint location regexp%vm.* prefers a1=7",
            edit(location.prefer_nodes, resource="regexp%vm.*", scores={"a1": "7"}),
        ),
        (
            "constraint location Beta rule role=Promoted score=100 #uname eq a1 and defined pingd",
            edit(
                location.add_location_rule,
                resource="Beta",
                options={"role": "Promoted", "score": "100"},
                expression=["#uname", "eq", "a1", "and", "defined", "pingd"],
            ),
        ),
        (
            "constraint location Beta rule pingd gt integer 1 or ( date gt 2020-01-01 and #uname ne a1 )",
            edit(
                location.add_location_rule,
                resource="Beta",
                expression=[
                    "pingd",
                    "gt",
                    "integer",
                    "1",
                    "or",
                    "(",
                    "date",
                    "gt",
                    "2020-01-01",
                    "and",
                    "#uname",
                    "ne",
                    "a1",
                    ")",
                ],
            ),
        ),
        (
            "constraint location Beta rule id=own date-spec hours=9-17 weekdays=1-5",
            edit(
                location.add_location_rule,
                resource="Beta",
                options={"id": "own"},
                expression=["date-spec", "hours=9-17", "weekdays=1-5"],
            ),
        ),
        (
            "constraint location Beta rule "
            "a eq 1 or b eq 2 and c eq string 3 and d gt 4 or ( defined e or defined f )",
            edit(
                location.add_location_rule,
                resource="Beta",
                expression=["a eq 1 or b eq 2 and c eq string 3 and d gt 4 or (defined e or defined f)"],
            ),
        ),
        (
            "constraint location Beta rule date in_range 2026-01-01 to duration months=3",
            edit(
                location.add_location_rule,
                resource="Beta",
                expression=["date", "in_range", "2026-01-01", "to", "duration", "months=3"],
            ),
        ),
        (
            "constraint colocation add Alpha with Beta 50",
            edit(colocation.add_colocation, resource="Alpha", with_resource="Beta", score="50"),
        ),
        (
            "constraint colocation add Promoted Gamma with Started Beta id=mine",
            edit(
                colocation.add_colocation,
                resource="Gamma",
                with_resource="Beta",
                role="Promoted",
                with_role="Started",
                constraint="mine",
            ),
        ),
        (
            "constraint colocation set Alpha Beta sequential=false set Gamma D2 setoptions score=5",
            edit(
                colocation.add_colocation_sets,
                sets=[SetRequest(["Alpha", "Beta"], {"sequential": "false"}), SetRequest(["Gamma", "D2"])],
                options={"score": "5"},
            ),
        ),
        ("constraint order Alpha then Beta", edit(order.add_order, first="Alpha", then="Beta")),
        (
            "constraint order stop Beta then start Gamma kind=Optional symmetrical=false",
            edit(
                order.add_order,
                first="Beta",
                then="Gamma",
                first_action="stop",
                then_action="start",
                options={"kind": "Optional", "symmetrical": "false"},
            ),
        ),
        (
            "constraint order set Alpha Gamma sequential=false require-all=false set D2 setoptions kind=Optional",
            edit(
                order.add_order_sets,
                sets=[
                    SetRequest(["Alpha", "Gamma"], {"sequential": "false", "require-all": "false"}),
                    SetRequest(["D2"]),
                ],
                options={"kind": "Optional"},
            ),
        ),
        ("constraint delete mine", edit(constraints.delete_constraints, constraints=["mine"])),
        ("resource delete Gamma", edit(resources.delete_resource, resource="Gamma")),
        ("resource delete Alpha", edit(resources.delete_resource, resource="Alpha")),
        ("resource delete D2", edit(resources.delete_resource, resource="D2")),
    ],
    "moves by hand": [
        *(dummy(name) for name in "AB"),
        ("resource ban A a1", edit(moves.ban, resource="A", node="a1")),
        ("resource ban A a2", edit(moves.ban, resource="A", node="a2")),
        ("resource ban A a1", edit(moves.ban, resource="A", node="a1")),
        ("resource move-with-constraint A a2", edit(moves.move, resource="A", node="a2")),
        ("resource move-with-constraint A a3", edit(moves.move, resource="A", node="a3")),
        ("resource move-with-constraint B a3", edit(moves.move, resource="B", node="a3")),
        ("resource clear A a1", edit(moves.clear, resource="A", node="a1")),
        ("resource clear B", edit(moves.clear, resource="B")),
        ("resource clear A", edit(moves.clear, resource="A")),
    ],
    "settings and nodes": [
        dummy("A"),
        (
            "property set no-quorum-policy=ignore maintenance-mode=true",
            edit(settings.set_properties, properties={"no-quorum-policy": "ignore", "maintenance-mode": "true"}),
        ),
        ("property set no-quorum-policy=", edit(settings.set_properties, properties={"no-quorum-policy": ""})),
        ("property unset maintenance-mode", edit(settings.unset_properties, names=["maintenance-mode"])),
        (
            "resource defaults update resource-stickiness=100 migration-threshold=3",
            edit(
                settings.set_resource_defaults,
                values={"resource-stickiness": "100", "migration-threshold": "3"},
            ),
        ),
        (
            "resource defaults update migration-threshold=",
            edit(settings.set_resource_defaults, values={"migration-threshold": ""}),
        ),
        (
            "resource op defaults update timeout=30s",
            edit(settings.set_operation_defaults, values={"timeout": "30s"}),
        ),
        ("node standby a1", edit(nodes.standby, nodes=["a1"])),
        ("node maintenance a2 a3", edit(nodes.maintenance, nodes=["a2", "a3"])),
        ("node attribute a1 rack=7", edit(nodes.set_attributes, nodes=["a1"], attributes={"rack": "7"})),
        (
            "node utilization a1 cpu=4 memory=100",
            edit(nodes.set_node_utilization, node="a1", utilization={"cpu": "4", "memory": "100"}),
        ),
        (
            "resource utilization A cpu=1",
            edit(nodes.set_resource_utilization, resource="A", utilization={"cpu": "1"}),
        ),
        ("node unstandby a1", edit(nodes.unstandby, nodes=["a1"])),
        ("node unmaintenance a3", edit(nodes.unmaintenance, nodes=["a3"])),
        ("node attribute a1 rack=", edit(nodes.set_attributes, nodes=["a1"], attributes={"rack": ""})),
    ],
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_pcs_and_vipcast_make_the_same_of_the_same_edits(name: str, tmp_path: Path) -> None:
    cib = tmp_path / "cib.xml"
    cib.write_bytes(write_cib(START, epoch=5))
    ours = START
    for command, change in SCENARIOS[name]:
        done = pcs(cib, command)
        assert done.returncode == 0, f"pcs {command}: {done.stderr}"
        ours = change(ours)
        assert semantic(ours) == semantic(read_configuration(cib.read_bytes())), command
    assert read_cib(cib.read_bytes()).base_epoch == 5, "pcs' edits leave the epoch of the export readable"


def test_pcs_edits_what_vipcast_wrote_and_the_other_way_round(tmp_path: Path) -> None:
    cib = tmp_path / "cib.xml"
    cib.write_bytes(write_cib(START, epoch=5))
    for turn, (command, change) in enumerate(SCENARIOS["the runbook of the four hosts"][:7]):
        if turn % 2:
            assert pcs(cib, command).returncode == 0, command
        else:
            file = read_cib(cib.read_bytes())
            cib.write_bytes(file.edited(change(file.configuration)))
    listed = pcs(cib, "constraint").stdout
    assert "webserver-clone with VIP-clone (score:INFINITY)" in listed
    assert "start VIP-clone then start webserver-clone (kind:Mandatory)" in listed


def test_an_order_is_announced_in_the_words_of_pcs(tmp_path: Path) -> None:
    cib = tmp_path / "cib.xml"
    cib.write_bytes(write_cib(START, epoch=5))
    for command, _change in (VIP, WEBSERVER):
        assert pcs(cib, command).returncode == 0
    for words, arguments in (
        ("VIP then webserver", {}),
        (
            "stop VIP then webserver kind=Optional",
            {"first_action": "stop", "options": {"kind": "Optional"}},
        ),
        (
            "webserver then promote VIP id=x score=0",
            {"first_action": "start", "then_action": "promote", "options": {"id": "x", "score": "0"}},
        ),
    ):
        said = pcs(cib, f"constraint order {words}")
        first, then = ("webserver", "VIP") if words.startswith("webserver") else ("VIP", "webserver")
        announced = order.order_announcement(first=first, then=then, **arguments)  # type: ignore[arg-type]
        assert announced in (said.stdout + said.stderr).splitlines()


REFUSALS: list[Step] = [
    (
        "resource create VIP ocf:heartbeat:Dummy",
        edit(resources.create_resource, resource="VIP", agent="ocf:heartbeat:Dummy"),
    ),
    (
        "resource create 1x ocf:heartbeat:Dummy",
        edit(resources.create_resource, resource="1x", agent="ocf:heartbeat:Dummy"),
    ),
    ("resource create d Dummy", edit(resources.create_resource, resource="d", agent="Dummy")),
    (
        "resource create v ocf:heartbeat:IPaddr2",
        edit(resources.create_resource, resource="v", agent="ocf:heartbeat:IPaddr2"),
    ),
    (
        "resource create v ocf:heartbeat:IPaddr2 ip=192.0.2.1 foo=bar",
        edit(
            resources.create_resource,
            resource="v",
            agent="ocf:heartbeat:IPaddr2",
            options={"ip": "192.0.2.1", "foo": "bar"},
        ),
    ),
    (
        "resource create d ocf:heartbeat:Dummy op monitor interval=10s op monitor interval=10",
        edit(
            resources.create_resource,
            resource="d",
            agent="ocf:heartbeat:Dummy",
            operations=[op("monitor", interval="10s"), op("monitor", interval="10")],
        ),
    ),
    (
        "resource create d ocf:heartbeat:Dummy op monitor foo=1",
        edit(
            resources.create_resource,
            resource="d",
            agent="ocf:heartbeat:Dummy",
            operations=[op("monitor", foo="1")],
        ),
    ),
    ("resource update nope x=1", edit(resources.update_resource, resource="nope", options={"x": "1"})),
    (
        "resource update VIP op monitor on-fail=foo",
        edit(resources.update_resource, resource="VIP", operations=[op("monitor", on_fail="foo")]),
    ),
    ("resource delete nope", edit(resources.delete_resource, resource="nope")),
    ("resource clone nope", edit(clones.clone_resource, resource="nope")),
    ("resource clone webserver", edit(clones.clone_resource, resource="webserver")),
    ("resource unclone VIP", edit(clones.unclone_resource, resource="VIP")),
    ("resource enable nope nope2", edit(standing.enable, resources=["nope", "nope2"])),
    ("resource meta nope a=b", edit(resources.set_meta, resource="nope", meta={"a": "b"})),
    ("resource group add G nope", edit(groups.add_to_group, group="G", resources=["nope"])),
    ("resource group add G webserver", edit(groups.add_to_group, group="G", resources=["webserver"])),
    ("resource ban VIP nope", edit(moves.ban, resource="VIP", node="nope")),
    (
        "constraint colocation add VIP with nope",
        edit(colocation.add_colocation, resource="VIP", with_resource="nope"),
    ),
    (
        "constraint colocation add VIP with webserver",
        edit(colocation.add_colocation, resource="VIP", with_resource="webserver"),
    ),
    (
        "constraint colocation add webserver-clone with VIP 5",
        edit(colocation.add_colocation, resource="webserver-clone", with_resource="VIP", score="5"),
    ),
    ("constraint order VIP then webserver-clone", edit(order.add_order, first="VIP", then="webserver-clone")),
    (
        "constraint order VIP then webserver-clone kind=Foo",
        edit(order.add_order, first="VIP", then="webserver-clone", options={"kind": "Foo"}),
    ),
    ("constraint order VIP then nope", edit(order.add_order, first="VIP", then="nope")),
    ("constraint delete nope1 nope2", edit(constraints.delete_constraints, constraints=["nope1", "nope2"])),
    ("constraint location VIP prefers a1=x", edit(location.prefer_nodes, resource="VIP", scores={"a1": "x"})),
    (
        "constraint location VIP rule #uname is a1",
        edit(location.add_location_rule, resource="VIP", expression=["#uname", "is", "a1"]),
    ),
    ("property set foo=bar", edit(settings.set_properties, properties={"foo": "bar"})),
    ("property set no-quorum-policy=bad", edit(settings.set_properties, properties={"no-quorum-policy": "bad"})),
    (
        "property set cluster-recheck-interval=xx",
        edit(settings.set_properties, properties={"cluster-recheck-interval": "xx"}),
    ),
    ("property unset maintenance-mode", edit(settings.unset_properties, names=["maintenance-mode"])),
    ("node standby nope", edit(nodes.standby, nodes=["nope"])),
    ("node utilization a1 cpu=x", edit(nodes.set_node_utilization, node="a1", utilization={"cpu": "x"})),
]


@pytest.fixture(scope="module")
def runbook_cib(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cib = tmp_path_factory.mktemp("pcs") / "cib.xml"
    cib.write_bytes(write_cib(_runbook(), epoch=5))
    return cib


def _runbook() -> Configuration:
    configuration = START
    for _command, change in (VIP, WEBSERVER, TOGETHER, IN_ORDER):
        configuration = change(configuration)
    return clones.clone_resource(configuration, resource="webserver")


@pytest.mark.parametrize("step", REFUSALS, ids=[command for command, _edit in REFUSALS])
def test_what_pcs_refuses_vipcast_refuses_too_and_changes_nothing(step: Step, runbook_cib: Path) -> None:
    command, change = step
    before = runbook_cib.read_bytes()
    done = pcs(runbook_cib, command)
    assert done.returncode != 0, f"pcs takes it: {done.stdout}{done.stderr}"
    assert runbook_cib.read_bytes() == before
    with pytest.raises(Refused) as caught:
        change(_runbook())
    assert all(finding.message and finding.where is not None for finding in caught.value.findings)
