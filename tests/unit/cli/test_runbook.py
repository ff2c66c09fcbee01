"""The old runbook, line by line, over a real socket and a real State: what it prints and what it changes."""

from __future__ import annotations

from tests.unit.cli.conftest import Shell

CREATE_VIP = "resource create VIP ocf:heartbeat:IPaddr2 ip=192.168.110.120 cidr_netmask=24 op monitor interval=10s"
CREATE_WEB = (
    "resource create webserver ocf:heartbeat:apache configfile=/etc/apache2/apache2.conf op monitor interval=10s"
)


def test_the_transcript_from_two_resources_to_a_load_balanced_cluster(shell: Shell) -> None:
    assert shell.done(CREATE_VIP) == []
    assert shell.done(CREATE_WEB) == []
    lines = shell.done("resource")
    assert lines == [
        " VIP  (ocf::heartbeat:IPaddr2):  Started a1",
        " webserver  (ocf::heartbeat:apache):  Started a2",
    ]

    assert shell.done("constraint colocation add webserver with VIP INFINITY") == []
    assert shell.done("constraint order VIP then webserver") == [
        "Adding VIP webserver (kind: Mandatory) (Options: first-action=start then-action=start)"
    ]
    nodes = {line.rsplit(" ", 1)[1] for line in shell.done("resource")}
    assert len(nodes) == 1

    assert shell.done("cluster cib loadbalance_cfg") == []
    options = "clone-max=4 clone-node-max=4 globally-unique=true"
    assert shell.done(f"-f loadbalance_cfg resource clone VIP {options}") == []
    assert shell.done("-f loadbalance_cfg resource update VIP clusterip_hash=sourceip") == []
    assert "Clone Set" not in "".join(shell.done("resource"))
    assert shell.done("cluster cib-push loadbalance_cfg") == ["CIB updated"]

    assert shell.done("cluster cib active_cfg") == []
    assert shell.done("-f active_cfg resource clone webserver") == []
    assert shell.done("-f active_cfg constraint") == [
        "Location Constraints:",
        "Ordering Constraints:",
        "  start VIP-clone then start webserver-clone (kind:Mandatory)",
        "Colocation Constraints:",
        "  webserver-clone with VIP-clone (score:INFINITY)",
        "Ticket Constraints:",
    ]
    assert shell.done("cluster cib-push active_cfg") == ["CIB updated"]
    lines = shell.done("resource")
    assert lines[0] == " Clone Set: VIP-clone [VIP] (unique)"
    assert [line[:-3] for line in lines[1:5]] == [
        f"     VIP:{k}  (ocf::heartbeat:IPaddr2):  Started" for k in range(4)
    ]
    assert sorted(line.rsplit(" ", 1)[1] for line in lines[1:5]) == ["a1", "a2", "a3", "a4"]
    assert lines[5:] == [
        " Clone Set: webserver-clone [webserver]",
        "     Started: [ a1 a2 a3 a4 ]",
    ]
