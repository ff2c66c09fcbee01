"""Golden layouts of `vipcast resource`."""

from __future__ import annotations

from daemon.cli.layout.resources import agent, resources
from daemon.control.schema import InstanceStatus, ResourceStatus

IPADDR2 = "ocf:heartbeat:IPaddr2"
APACHE = "ocf:heartbeat:apache"


def slot(number: int, node: str | None, successor: str | None = None) -> InstanceStatus:
    return InstanceStatus(
        f"VIP:{number}",
        "Started" if node else "Stopped",
        node,
        slot=number,
        successor=successor,
        phase="draining" if successor else "open",
    )


def primitive(name: str, kind: str, *instances: InstanceStatus, target_role: str = "Started") -> ResourceStatus:
    return ResourceStatus("primitive", name, kind, instances=instances, target_role=target_role)


def clone(child: ResourceStatus, *, unique: bool = False, target_role: str = "Started") -> ResourceStatus:
    return ResourceStatus("clone", f"{child.id}-clone", unique=unique, members=(child,), target_role=target_role)


def shown(*tree: ResourceStatus) -> list[str]:
    return list(resources(tree))


def test_plain_resources_are_a_line_each() -> None:
    assert shown(
        primitive("VIP", IPADDR2, InstanceStatus("VIP", "Started", "a1")),
        primitive("webserver", APACHE, InstanceStatus("webserver", "Stopped")),
    ) == [
        " VIP  (ocf::heartbeat:IPaddr2):  Started a1",
        " webserver  (ocf::heartbeat:apache):  Stopped",
    ]


def test_a_shared_address_shows_each_slot_and_an_anonymous_clone_its_nodes() -> None:
    address = primitive("VIP", IPADDR2, *(slot(number, f"a{number + 1}") for number in range(4)))
    web = primitive("webserver", APACHE, *(InstanceStatus("webserver", "Started", f"a{n}") for n in (1, 2, 3, 4)))
    assert shown(clone(address, unique=True), clone(web)) == [
        " Clone Set: VIP-clone [VIP] (unique)",
        "     VIP:0  (ocf::heartbeat:IPaddr2):  Started a1",
        "     VIP:1  (ocf::heartbeat:IPaddr2):  Started a2",
        "     VIP:2  (ocf::heartbeat:IPaddr2):  Started a3",
        "     VIP:3  (ocf::heartbeat:IPaddr2):  Started a4",
        " Clone Set: webserver-clone [webserver]",
        "     Started: [ a1 a2 a3 a4 ]",
    ]


def test_a_slot_that_moves_says_where_to_and_one_without_a_host_is_stopped() -> None:
    address = primitive("VIP", IPADDR2, slot(0, "a1", "a4"), slot(1, None))
    assert shown(clone(address, unique=True))[1:] == [
        "     VIP:0  (ocf::heartbeat:IPaddr2):  Started a1, moving to a4 (draining)",
        "     VIP:1  (ocf::heartbeat:IPaddr2):  Stopped",
    ]


def test_instances_of_a_clone_that_are_not_well_have_lines_of_their_own() -> None:
    web = primitive(
        "webserver",
        APACHE,
        InstanceStatus("webserver", "Started", "a1"),
        InstanceStatus("webserver", "FAILED", "a2", failed=True),
        InstanceStatus("webserver", "Starting", "a3"),
        InstanceStatus("webserver", "Stopped", "a4"),
    )
    assert shown(clone(web)) == [
        " Clone Set: webserver-clone [webserver]",
        "     webserver  (ocf::heartbeat:apache):  FAILED a2",
        "     webserver  (ocf::heartbeat:apache):  Starting a3",
        "     Started: [ a1 ]",
        "     Stopped: [ a4 ]",
    ]


def test_nodes_are_sorted_by_the_numbers_in_their_names() -> None:
    nodes = ("a10", "a2", "a1")
    web = primitive("web", APACHE, *(InstanceStatus("web", "Started", node) for node in nodes))
    assert shown(clone(web))[1] == "     Started: [ a1 a2 a10 ]"


def test_groups_show_their_members_and_a_disabled_resource_says_so() -> None:
    group = ResourceStatus(
        "group",
        "site",
        members=(
            primitive("ip", IPADDR2, InstanceStatus("ip", "Started", "a1")),
            primitive("db", "systemd:postgresql", InstanceStatus("db", "Stopped"), target_role="Stopped"),
        ),
    )
    assert shown(group) == [
        " Resource Group: site",
        "     ip  (ocf::heartbeat:IPaddr2):  Started a1",
        "     db  (systemd:postgresql):  Stopped (disabled)",
    ]


def test_a_clone_of_a_group_counts_a_node_only_when_every_member_runs_there() -> None:
    nodes = ("a1", "a2")
    ip = primitive("ip", IPADDR2, *(InstanceStatus("ip", "Started", node) for node in nodes))
    web = primitive("web", APACHE, InstanceStatus("web", "Started", "a1"), InstanceStatus("web", "Stopped", "a2"))
    group = ResourceStatus("group", "site", members=(ip, web))
    assert shown(ResourceStatus("clone", "site-clone", members=(group,))) == [
        " Clone Set: site-clone [site]",
        "     Started: [ a1 ]",
        "     Stopped: [ a2 ]",
    ]


def test_promoted_instances_have_a_list_of_their_own() -> None:
    db = primitive(
        "db", "ocf:x:db", InstanceStatus("db", "Promoted", "a1"), InstanceStatus("db", "Unpromoted", "a2")
    )
    tree = ResourceStatus("clone", "db-clone", promotable=True, members=(db,))
    assert shown(tree) == [" Master/Slave Set: db-clone [db]", "     Masters: [ a1 ]", "     Slaves: [ a2 ]"]


def test_resources_that_the_cluster_leaves_alone_are_unmanaged() -> None:
    web = primitive("web", APACHE, InstanceStatus("web", "Started", "a1", managed=False))
    assert shown(web) == [" web  (ocf::heartbeat:apache):  Started a1 (unmanaged)"]


def test_an_empty_cluster_says_that_it_is_empty() -> None:
    assert shown() == ["NO resources configured"]


def test_agents_are_written_as_crm_mon_writes_them() -> None:
    assert agent("ocf:heartbeat:IPaddr2") == "ocf::heartbeat:IPaddr2"
    assert agent("systemd:nginx") == "systemd:nginx"


def test_colours_surround_words_and_change_no_text() -> None:
    web = primitive("web", APACHE, InstanceStatus("web", "Started", "a1"))
    painted = next(resources([web], lambda text, what: f"<{what}>{text}</>"))
    assert painted == " web  (ocf::heartbeat:apache):  <good>Started</> a1"
