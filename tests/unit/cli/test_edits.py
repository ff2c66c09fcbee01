"""Every command that edits: what it prints, what the configuration is afterwards, and that -f does the same."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from daemon.cli.layout.configuration import values_of
from daemon.model.cib import read_configuration
from daemon.model.configuration import Clone, Colocation, Configuration, Group, Location, Order, Primitive
from daemon.state.commands import Result
from tests.unit.cli.conftest import Shell
from tests.unit.cli.console import vipcast

ADDRESS = "resource create VIP ocf:heartbeat:IPaddr2 ip=192.168.110.120 cidr_netmask=24"
WEB = "resource create web ocf:heartbeat:apache op monitor interval=10s timeout=20s"
DB = "resource create db systemd:postgresql"


def now(shell: Shell) -> Configuration:
    return shell.cluster.backend.state.configuration


def primitive(shell: Shell, name: str) -> Primitive:
    found = now(shell).find(name)
    assert isinstance(found, Primitive)
    return found


@pytest.fixture
def site(shell: Shell) -> Shell:
    for line in (ADDRESS, WEB, DB):
        assert shell.done(line) == []
    return shell


def test_a_resource_is_created_with_options_operations_and_meta_attributes(shell: Shell) -> None:
    shell.done(f"{ADDRESS} op monitor interval=5s start timeout=30s op stop timeout=40s meta priority=5 --disabled")
    vip = primitive(shell, "VIP")
    assert vip.agent == "ocf:heartbeat:IPaddr2"
    assert values_of(vip.instance) == {"ip": "192.168.110.120", "cidr_netmask": "24"}
    assert values_of(vip.meta) == {"priority": "5", "target-role": "Stopped"}
    timed = {operation.name: (operation.interval, operation.timeout) for operation in vip.operations}
    assert timed["monitor"][0] == "5s"
    assert timed["start"][1] == "30s"
    assert timed["stop"][1] == "40s"
    assert shell.done("resource") == [" VIP  (ocf::heartbeat:IPaddr2):  Stopped (disabled)"]


def test_a_resource_is_created_inside_a_clone_or_a_group(shell: Shell) -> None:
    shell.done(f"{WEB} clone clone-max=2 interleave=true")
    shell.done(f"{DB} --group site")
    shell.done("resource create log systemd:rsyslog --group site --before db")
    clone, group = now(shell).resources
    assert isinstance(clone, Clone)
    assert clone.id == "web-clone"
    assert values_of(clone.meta) == {"clone-max": "2", "interleave": "true"}
    assert isinstance(group, Group)
    assert [member.id for member in group.members] == ["log", "db"]


def test_a_promotable_clone_may_be_asked_for_in_all_the_ways_of_pcs(shell: Shell) -> None:
    shell.done("resource create a ocf:pacemaker:Stateful promotable")
    shell.done("resource create b ocf:pacemaker:Stateful master promoted-max=1")
    for name in ("a-clone", "b-clone"):
        clone = now(shell).find(name)
        assert clone is not None
        assert values_of(clone.meta)["promotable"] == "true"


def test_options_meta_attributes_and_operations_are_updated_and_removed(site: Shell) -> None:
    site.done("resource update VIP clusterip_hash=sourceip cidr_netmask= op monitor interval=7s meta priority=1")
    vip = primitive(site, "VIP")
    assert values_of(vip.instance) == {"ip": "192.168.110.120", "clusterip_hash": "sourceip"}
    assert values_of(vip.meta) == {"priority": "1"}
    assert [o.interval for o in vip.operations if o.name == "monitor"] == ["7s"]
    site.done("resource meta VIP priority= migration-threshold=3")
    assert values_of(primitive(site, "VIP").meta) == {"migration-threshold": "3"}


def test_operations_are_added_and_removed_by_what_they_are_or_by_their_ids(site: Shell) -> None:
    site.done("resource op add web monitor interval=60s")
    added = [o for o in primitive(site, "web").operations if o.interval == "60s"]
    assert len(added) == 1
    site.done(f"resource op remove {added[0].id}")
    assert all(o.interval != "60s" for o in primitive(site, "web").operations)
    site.done("resource op remove web monitor interval=10s")
    assert all(o.name != "monitor" for o in primitive(site, "web").operations)
    assert "unable to find operation id: nothing" in site.refused("resource op remove nothing")


def test_clones_are_made_and_taken_off(site: Shell) -> None:
    site.done("resource clone web farm clone-max=2")
    assert isinstance(now(site).find("farm"), Clone)
    site.done("resource unclone farm")
    assert now(site).find("farm") is None
    assert now(site).find("web") is not None


def test_groups_are_made_listed_and_dissolved(site: Shell) -> None:
    site.done("resource group add stack VIP web")
    site.done("resource group add stack db --after VIP")
    assert site.done("resource group list") == ["stack: VIP db web"]
    site.done("resource group remove stack db")
    assert site.done("resource group list") == ["stack: VIP web"]
    site.done("resource ungroup stack")
    assert site.done("resource group list") == []
    assert {resource.id for resource in now(site).resources} == {"VIP", "web", "db"}


def test_a_deleted_resource_goes_with_its_constraints(site: Shell) -> None:
    site.done("constraint colocation add web with VIP")
    assert site.done("resource delete web") == [
        "Removing Constraint - colocation-web-VIP-INFINITY",
        "Deleting Resource - web",
    ]
    assert now(site).find("web") is None
    assert now(site).constraints == ()


def test_disabled_resources_stop_and_enabled_ones_start(site: Shell) -> None:
    site.done("resource disable web db")
    assert "Stopped (disabled)" in site.done("resource status web")[0]
    site.done("resource enable web")
    assert "Started" in site.done("resource status web")[0]
    assert "Stopped (disabled)" in site.done("resource status db")[0]


def test_unmanaged_resources_are_left_alone(site: Shell) -> None:
    site.done("resource unmanage web --monitor")
    assert site.done("resource status web")[0].endswith("(unmanaged)")
    assert all(
        o.options.get("enabled") == "false" for o in primitive(site, "web").operations if o.name == "monitor"
    )
    site.done("resource manage web --monitor")
    assert "unmanaged" not in site.done("resource status web")[0]
    assert all("enabled" not in o.options for o in primitive(site, "web").operations)


def where(shell: Shell, name: str) -> str:
    return shell.done(f"resource status {name}")[0].rsplit(" ", 1)[1]


def test_a_resource_moves_is_banned_and_let_go_again(site: Shell) -> None:
    site.done("resource move web a4")
    assert where(site, "web") == "a4"
    (warning,) = site.done("resource ban web")
    assert "cli-ban-web-on-a4 with a score of -INFINITY" in warning
    assert where(site, "web") != "a4"
    assert site.done("resource clear web") == [
        "Removing constraint: cli-prefer-web",
        "Removing constraint: cli-ban-web-on-a4",
    ]
    assert now(site).constraints == ()


def test_a_ban_may_end_by_itself(site: Shell) -> None:
    site.done("resource ban web a3 lifetime=PT1H")
    (constraint,) = now(site).constraints
    assert isinstance(constraint, Location)
    (rule,) = constraint.rules
    assert any(expression.kind == "date" and expression.end for expression in rule.expressions)
    assert "lifetime=soon" in site.refused("resource ban web a2 lifetime=soon", code=2)


def test_banning_what_runs_in_several_places_asks_where(site: Shell) -> None:
    site.done("resource clone web")
    assert "name the node: 'web-clone' runs on a1, a2, a3, a4" in site.refused("resource ban web-clone")


def test_locations_prefer_avoid_and_follow_rules(site: Shell) -> None:
    site.done("constraint location web prefers a1=100 a2")
    site.done("constraint location db avoids a3")
    site.done("constraint location add mine VIP a4 50")
    site.done("constraint location VIP rule score=500 #uname eq a1")
    assert site.done("constraint location config") == [
        "Location Constraints:",
        "  Resource: web",
        "    Enabled on: a1 (score:100)",
        "    Enabled on: a2 (score:INFINITY)",
        "  Resource: db",
        "    Disabled on: a3 (score:-INFINITY)",
        "  Resource: VIP",
        "    Enabled on: a4 (score:50)",
        "    Constraint: location-VIP",
        "      Rule: score=500",
        "        Expression: #uname eq a1",
    ]
    assert "a9" in site.refused("constraint location web prefers a9")
    site.done("constraint location remove mine")
    assert "mine" not in {constraint.id for constraint in now(site).constraints}


def test_colocations_have_scores_roles_options_and_sets(site: Shell) -> None:
    site.done("constraint colocation add web with VIP -INFINITY id=apart")
    site.done("constraint colocation add started db with started web 10")
    site.done("constraint colocation set VIP db sequential=true set web setoptions score=5")
    lines = site.done("constraint colocation config --full")
    assert lines[:3] == [
        "Colocation Constraints:",
        "  web with VIP (score:-INFINITY) (id:apart)",
        "  db with web (score:10) (rsc-role:Started) (with-rsc-role:Started) (id:colocation-db-web-10)",
    ]
    assert lines[3] == "  Resource Sets:"
    assert lines[4].startswith("    set VIP db sequential=true (id:")
    assert "setoptions score=5" in lines[4]
    site.done("constraint colocation remove VIP web")
    assert "apart" not in {constraint.id for constraint in now(site).constraints}
    assert "no colocation of 'VIP' with 'web'" in site.refused("constraint colocation remove VIP web")


def test_orders_have_actions_kinds_and_sets(site: Shell) -> None:
    assert site.done("constraint order stop web then start db kind=Optional symmetrical=false") == [
        "Adding web db (kind: Optional) (Options: first-action=stop then-action=start symmetrical=false)"
    ]
    site.done("constraint order VIP then web")
    site.done("constraint order set VIP db action=start set web setoptions kind=Mandatory")
    assert site.done("constraint order config")[:4] == [
        "Ordering Constraints:",
        "  stop web then start db (kind:Optional) (non-symmetrical)",
        "  start VIP then start web (kind:Mandatory)",
        "  Resource Sets:",
    ]
    assert site.done("constraint ref VIP")[0] == "Resource: VIP"
    site.done("constraint order remove VIP")
    kinds = [one for one in now(site).constraints if isinstance(one, Order)]
    named = {name for one in kinds for stated in one.sets for name in stated.resources}
    assert "VIP" not in named | {one.first or "" for one in kinds}
    assert "no order names resource 'VIP'" in site.refused("constraint order remove VIP")


def test_constraints_are_removed_by_id_all_or_none(site: Shell) -> None:
    site.done("constraint colocation add web with VIP id=one")
    site.done("constraint order VIP then web id=two")
    assert "unable to find constraint 'three'" in site.refused("constraint remove one three")
    site.done("constraint remove one two")
    assert now(site).constraints == ()


def test_properties_are_set_listed_and_unset(shell: Shell) -> None:
    shell.done("property set no-quorum-policy=freeze stonith-enabled=false")
    assert shell.done("property") == [
        "Cluster Properties:",
        " no-quorum-policy: freeze",
        " stonith-enabled: false",
    ]
    assert shell.done("property config stonith-enabled")[1:] == [" stonith-enabled: false"]
    assert shell("property list --json").json == {"no-quorum-policy": "freeze", "stonith-enabled": "false"}
    shell.done("property unset no-quorum-policy")
    assert shell.done("property list") == ["Cluster Properties:", " stonith-enabled: false"]
    assert "it is not set" in shell.refused("property unset no-quorum-policy")
    assert "no-quorum-polcy" in shell.refused("property set no-quorum-polcy=stop")


def test_defaults_are_set_and_shown(shell: Shell) -> None:
    assert shell.done("resource defaults") == ["No defaults set"]
    shell.done("resource defaults resource-stickiness=100")
    shell.done("resource op defaults update timeout=90s")
    assert shell.done("resource defaults") == ["resource-stickiness: 100"]
    assert shell.done("resource op defaults") == ["timeout: 90s"]
    shell.done("resource defaults resource-stickiness=")
    assert shell.done("resource defaults") == ["No defaults set"]


def test_nodes_go_to_standby_and_maintenance_and_back(site: Shell) -> None:
    site.done("node standby a1 a2")
    assert site.done("status nodes") == ["Node a1: standby", "Node a2: standby", "Online: [ a3 a4 ]"]
    assert {where(site, name) for name in ("VIP", "web", "db")} <= {"a3", "a4"}
    site.done("node unstandby --all")
    site.done("node maintenance")
    assert site.done("status nodes") == ["Node a1: maintenance", "Online: [ a2 a3 a4 ]"]
    site.done("node unmaintenance a1")
    assert site.done("status nodes") == ["Online: [ a1 a2 a3 a4 ]"]
    assert "node 'a9'" in site.refused("node standby a9")


def test_nodes_offer_and_resources_use(site: Shell) -> None:
    site.done("node utilization a2 memory=4096")
    assert site.done("node utilization a2") == ["Node Utilization:", " a2: memory=4096"]
    site.done("resource utilization web memory=512 cpu=1")
    assert site.done("resource utilization web") == ["Resource Utilization:", " web: memory=512 cpu=1"]
    assert site("resource utilization web --json").json == {"web": {"memory": "512", "cpu": "1"}}
    assert "must be integer" in site.refused("node utilization a2 memory=lots")
    assert "no primitive 'nothing'" in site.refused("resource utilization nothing")


def test_the_whole_configuration_is_on_one_page(site: Shell) -> None:
    site.done("constraint order VIP then web")
    site.done("property set maintenance-mode=false")
    lines = site.done("config")
    headings = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert headings == [
        "Nodes:",
        "Resources:",
        "Location Constraints:",
        "Ordering Constraints:",
        "Colocation Constraints:",
        "Ticket Constraints:",
        "Resources Defaults:",
        "Operations Defaults:",
        "Cluster Properties:",
    ]
    assert " maintenance-mode: false" in lines
    assert site("config --json").json["constraints"][0]["first"] == "VIP"


def test_show_is_the_status_without_words_and_the_configuration_with_them(site: Shell) -> None:
    assert site.done("resource show") == site.done("resource")
    assert site.done("resource show VIP") == site.done("resource config VIP")
    assert site.done("resource show --full") == site.done("resource config")


def test_a_ban_may_concern_the_promoted_instance_alone(site: Shell) -> None:
    site.done("resource ban web a3 --master")
    (constraint,) = now(site).constraints
    assert isinstance(constraint, Location)
    assert constraint.role == "Promoted"


def test_failcounts_are_shown_and_forgotten(site: Shell) -> None:
    def fail() -> None:
        backend = site.cluster.backend
        backend.request(Result("a1", 1, "web", "monitor", 10_000, 1, "done", "it broke", 3, ""))

    assert site.done("resource failcount") == ["No failcounts"]
    site.cluster.on_loop(fail)
    assert site.done("resource failcount show web") == ["Failcounts for resource 'web'", "  a1: 1"]
    assert site("resource failcount --json").json == {"web": {"a1": 1}}
    assert site.done("resource cleanup web --node a1") == ["Cleaned up web on a1"]
    assert site.done("resource failcount show web") == ["No failcounts for resource 'web'"]
    assert site.done("resource refresh") == ["Cleaned up all resources on all nodes, to be probed again"]


@pytest.mark.parametrize("line", ["node add a5", "auth a1 a2", "start --all", "destroy --all"])
def test_what_an_old_runbook_does_elsewhere_is_told(site: Shell, line: str) -> None:
    assert "does nothing: " in site.refused(f"cluster {line}")


def agent_file(folder: Path, provider: str, kind: str) -> None:
    file = folder / "resource.d" / provider / kind
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)


def test_agents_of_this_host_are_listed_and_known_by_their_short_names(shell: Shell) -> None:
    root = shell.folder / "ocf"
    agent_file(root, "acme", "rocket")
    environment = {"OCF_ROOT": str(root)}
    socket = ("--socket", str(shell.cluster.path))
    assert "ocf:acme:rocket" in vipcast("resource", "agents", environment=environment).lines
    assert vipcast("resource", "list", "rocket", environment=environment).lines == ["ocf:acme:rocket"]
    assert vipcast("resource", "agents", "no such", environment=environment).code == 1
    ran = vipcast("resource", "create", "r", "rocket", "pad=39A", *socket, environment=environment)
    assert (ran.code, ran.stderr) == (0, "")
    assert primitive(shell, "r").agent == "ocf:acme:rocket"


def test_an_agent_that_nobody_knows_is_refused_unless_forced(shell: Shell) -> None:
    told = shell.refused("resource create x ocf:nowhere:nothing")
    assert "Agent 'ocf:nowhere:nothing' is not installed or does not provide valid metadata" in told
    assert "use --force to override" in told
    ran = shell("resource create x ocf:nowhere:nothing --force")
    assert ran.code == 0
    assert "Warning: Agent 'ocf:nowhere:nothing' is not installed" in ran.stderr


def test_every_reason_of_a_refusal_is_a_line_of_its_own(site: Shell) -> None:
    told = site.refused("constraint colocation add nobody with noone").splitlines()
    assert told == [
        "Error: resource 'nobody' does not exist",
        "Error: resource 'noone' does not exist",
        "Nothing has changed.",
    ]
    document = msgspec.json.decode(site.refused("constraint colocation add nobody with noone --json"))
    assert document["code"] == "refused"
    assert [finding["where"] for finding in document["findings"]] == ["nobody", "noone"]


def test_nodes_have_attributes(shell: Shell) -> None:
    shell.done("node attribute a2 rack=7 weight=2")
    assert shell.done("node attribute") == ["Node Attributes:", " a2: rack=7 weight=2"]
    shell.done("node attribute a2 rack=")
    assert shell.done("node attribute a2") == ["Node Attributes:", " a2: weight=2"]


def test_the_configuration_of_a_resource_is_shown_as_pcs_does(site: Shell) -> None:
    site.done("resource group add stack VIP web")
    lines = site.done("resource show VIP")
    assert lines[:2] == [
        " Resource: VIP (class=ocf provider=heartbeat type=IPaddr2)",
        "  Attributes: cidr_netmask=24 ip=192.168.110.120",
    ]
    assert any("monitor interval=" in line and "(VIP-monitor-interval-" in line for line in lines)
    assert site.done("resource config stack")[:2] == [
        " Group: stack",
        "  Resource: VIP (class=ocf provider=heartbeat type=IPaddr2)",
    ]
    assert "resource 'nothing' does not exist" in site.refused("resource config nothing")


def test_an_edit_that_changes_nothing_makes_no_entry(site: Shell) -> None:
    before = len(site.cluster.backend.entries)
    site.done("resource update VIP ip=192.168.110.120")
    assert len(site.cluster.backend.entries) == before


def test_an_edit_is_told_to_programs(site: Shell) -> None:
    document = site("constraint order VIP then web --json").json
    assert document["changed"] is True
    assert document["epoch"] == document["index"] == site.cluster.backend.state.configuration_epoch
    assert document["messages"] == [
        "Adding VIP web (kind: Mandatory) (Options: first-action=start then-action=start)"
    ]


def test_an_edit_may_wait_until_the_cluster_has_carried_it_out(site: Shell) -> None:
    assert site.done("resource disable web --wait=5") == []


def test_every_edit_is_logged_as_it_was_typed(site: Shell) -> None:
    texts = [entry.text for entry in site.cluster.client.log().entries]
    assert any("vipcast resource create db systemd:postgresql" in text for text in texts)


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("resource create VIP ocf:heartbeat:IPaddr2 ip=10.0.0.1", 1, "'VIP' already exists"),
        ("resource create 1x ocf:heartbeat:apache", 1, "1x"),
        ("resource create x ocf:heartbeat:apache configfile", 2, "missing value of 'configfile' option"),
        ("resource create x ocf:heartbeat:apache =a", 2, "missing key in '=a' option"),
        ("resource create x ocf:heartbeat:apache a=1 a=2", 2, "duplicate option 'a'"),
        ("resource create x ocf:heartbeat:apache op", 2, "'op' needs the name of an operation"),
        ("resource create x ocf:heartbeat:apache op interval=1s", 2, "where the name of an operation belongs"),
        ("resource create x ocf:heartbeat:apache --before y", 2, "name it with --group"),
        ("resource create x ocf:heartbeat:apache clone --group g", 2, "not both"),
        ("resource create x ocf:heartbeat:IPaddr2 ipp=10.0.0.1", 1, "ipp"),
        ("resource update nothing a=1", 1, "resource 'nothing' does not exist"),
        ("resource clone nothing", 1, "resource 'nothing' does not exist"),
        ("resource clone web a b", 2, "'b' is neither the clone's name nor option=value"),
        ("resource unclone web", 1, "'web' is not a clone"),
        ("resource delete nothing", 1, "resource 'nothing' does not exist"),
        ("resource cleanup nothing", 1, "there is no resource 'nothing'"),
        ("resource refresh web node=a9", 1, "there is no node 'a9'"),
        ("resource cleanup web a1", 2, "'a1' is not understood here"),
        ("resource move nothing a1", 1, "resource 'nothing' does not exist"),
        ("resource ban nothing", 1, "resource 'nothing' does not exist"),
        ("constraint colocation add web VIP db", 2, "'with' belongs between the two resources"),
        ("constraint colocation add web with nothing", 1, "resource 'nothing' does not exist"),
        ("constraint colocation add web with VIP lots", 1, "lots"),
        ("constraint colocation add web with VIP x=1", 2, "invalid colocation option 'x'"),
        ("constraint colocation set", 2, "needs more than that"),
        ("constraint order VIP before web", 2, "'then' belongs between the two resources"),
        ("constraint order VIP then web sometimes=1", 1, "invalid order option 'sometimes'"),
        ("constraint location web likes a1", 2, "neither prefers nor avoids nor rule"),
        ("constraint location web prefers a1=much", 1, "much"),
        ("constraint location add x web a1 5 y=1", 2, "invalid location option 'y'"),
        ("node standby a1 --all", 2, "not both"),
        ("property set maintenance-mode", 2, "missing value of 'maintenance-mode' option"),
        ("resource disable web --wait=soon", 2, "--wait"),
        ("resource status nothing", 1, "resource 'nothing' does not exist"),
        ("status slots VIP", 1, "no address 'VIP' is shared"),
        ("explain nothing", 1, "'nothing' is no resource"),
        ("who 10.0.0.7", 1, "no address is shared"),
    ],
)
def test_what_is_wrong_is_named_and_changes_nothing(site: Shell, line: str, code: int, told: str) -> None:
    assert told in site.refused(line, code)


def test_the_same_edits_on_a_file_leave_the_cluster_alone(site: Shell) -> None:
    site.done("cluster cib work_cfg")
    before = site.cluster.backend.state.digest()
    lines = (
        "resource clone web clone-max=2",
        "constraint order VIP then web-clone",
        "property set maintenance-mode=true",
        "node standby a1",
        "resource delete db",
        "constraint location VIP prefers a2",
    )
    for line in lines:
        site.done(f"-f work_cfg {line}")
    assert site.cluster.backend.state.digest() == before
    edited = read_configuration((site.folder / "work_cfg").read_bytes())
    assert edited.find("web-clone") is not None
    assert edited.find("db") is None
    assert len(edited.constraints) == 2
    site.done("cluster cib-push work_cfg")
    assert now(site) == edited


def test_of_a_file_resources_constraints_and_properties_are_shown(site: Shell) -> None:
    site.done("cluster cib work_cfg")
    site.done("-f work_cfg resource clone web")
    assert site.done("-f work_cfg resource") == [
        " VIP  (ocf::heartbeat:IPaddr2):  Stopped",
        " db  (systemd:postgresql):  Stopped",
        " Clone Set: web-clone [web]",
        "     Stopped: [ a1 a2 a3 a4 ]",
    ]
    assert site.done("-f work_cfg resource group list") == []
    assert "cannot work on a file" in site.refused("-f work_cfg cluster status")


def test_a_file_is_replaced_in_one_step_and_keeps_its_mode(site: Shell) -> None:
    site.done("cluster cib work_cfg")
    file = site.folder / "work_cfg"
    file.chmod(0o640)
    node = file.stat().st_ino
    site.done("-f work_cfg resource delete db")
    assert file.stat().st_mode & 0o777 == 0o640
    assert file.stat().st_ino != node
    assert [path.name for path in Path(site.folder).iterdir()] == ["work_cfg"]


def test_colocated_resources_are_found_together(site: Shell) -> None:
    site.done("constraint colocation add web with VIP")
    (constraint,) = now(site).constraints
    assert isinstance(constraint, Colocation)
    assert where(site, "web") == where(site, "VIP")
