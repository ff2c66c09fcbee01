"""`vipcast doctor`: each check meets its fault, planted in namespaces, mounts and files of the test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from daemon.cluster.timers import Timers
from daemon.control.schema import DatapathStatus, DuplicateStatus, LatenessStatus, LinkPeerStatus, LinkStatus
from daemon.doctor.daemon import of_status
from daemon.doctor.host import clock, sysctls
from tests.unit.control.living import StateBackend, settings_of

pytestmark = pytest.mark.root

ROOT = Path(__file__).parents[3]
SETTINGS = """
[cluster]
name = "demo"
[node]
name = "a1"
[[link]]
interface = "{interface}"
group = "239.255.42.1"
[paths]
authkey = "{folder}/authkey"
state = "{folder}/state"
run = "{folder}/run"
"""
WIRE = "ip link add eth0 type veth peer name wire && ip address add 192.168.110.121/24 dev eth0 && ip link set eth0 up;"


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """The settings of a host that is well, but that no daemon runs there."""
    (tmp_path / "state").mkdir()
    (tmp_path / "authkey").write_bytes(bytes(range(32)))
    (tmp_path / "authkey").chmod(0o600)
    file = tmp_path / "vipcast.toml"
    file.write_text(SETTINGS.format(interface="eth0", folder=tmp_path))
    return file


def complaints(
    file: Path, fault: str = "", wrapper: tuple[str, ...] = (), except_for: str = "clock"
) -> dict[str, dict[str, Any]]:
    """By check, of a doctor in a network and a mount namespace of its own, after the commands of `fault`.

    The machine's own clock is nobody's here: what is told of it does not count, unless a test has another one.
    """
    program = (
        f"{sys.executable} -m daemon.cli.main doctor --json --settings {file} --socket {file.parent}/none.sock"
    )
    ended = subprocess.run(
        ["unshare", "--net", "--mount", *wrapper, "sh", "-c", f"ip link set lo up; {WIRE} {fault}\n{program}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stderr == "", ended.stderr
    told: list[dict[str, Any]] = json.loads(ended.stdout)
    assert all(one["mend"] for one in told if one["severity"] != "unchecked")
    return {one["check"]: one for one in told if one["check"] not in {"daemon", except_for}}


def test_a_host_that_is_well_is_not_complained_of_but_for_its_daemon(host: Path) -> None:
    assert complaints(host) == {}


def test_a_key_that_others_may_read(host: Path) -> None:
    (host.parent / "authkey").chmod(0o644)
    found = complaints(host)["settings"]
    assert found["severity"] == "error"
    assert "chmod" in found["mend"]


def test_a_disk_that_is_nearly_full(host: Path) -> None:
    found = complaints(host, f"mount -t tmpfs -o size=8m none {host.parent}/state;")["disk"]
    assert found["severity"] == "error"
    assert "takes no changes" in found["causes"]


def test_a_disk_without_room_for_another_file(host: Path) -> None:
    full = f"mount -t tmpfs -o nr_inodes=2 none {host.parent}/state && touch {host.parent}/state/last;"
    found = complaints(host, full)["disk"]
    assert (found["severity"], "no inode left" in found["wrong"]) == ("error", True)


@pytest.mark.parametrize(("status", "is_told"), [(0x40, True), (0x2001, False)])
def test_a_clock_that_nobody_keeps_right(host: Path, status: int, is_told: bool) -> None:
    """STA_UNSYNC, as the kernel would tell it: the machine's own clock is left alone."""
    kernel = host.parent / "kernel.c"
    kernel.write_text(
        f"#include <sys/timex.h>\nint adjtimex(struct timex *asked) {{ asked->status = {status}; return 0; }}\n"
    )
    library = kernel.with_suffix(".so")
    subprocess.run(["clang", "-shared", "-fPIC", "-o", str(library), str(kernel)], check=True, timeout=60)
    told = complaints(host, f"export LD_PRELOAD={library};", except_for="")
    assert ("clock" in told) is is_told
    if is_told:
        assert told["clock"]["mend"] == "apt install chrony"


def test_an_interface_that_takes_no_multicast(host: Path) -> None:
    assert complaints(host, "ip link set eth0 multicast off;")["multicast"]["mend"] == (
        "ip link set dev eth0 multicast on"
    )


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("ip link set eth0 down;", "eth0 is down"),
        ("ip address flush dev eth0;", "no IPv4 address"),
        ("ip link delete eth0;", "no interface eth0"),
    ],
)
def test_a_link_that_cannot_work(host: Path, fault: str, words: str) -> None:
    assert words in complaints(host, fault)["link"]["wrong"]


FIREWALL = (
    "nft add table inet filter;"
    "nft 'add chain inet filter input {{ type filter hook input priority 0; policy drop; }}';"
    "nft add rule inet filter input ct state established accept; nft add rule inet filter input {rule};"
)


@pytest.mark.parametrize(
    "rule", ["tcp dport 22 accept", "tcp dport 5405 accept", "udp dport 5404 accept", "iifname lo accept"]
)
def test_a_firewall_that_lets_no_heartbeat_in(host: Path, rule: str) -> None:
    found = complaints(host, FIREWALL.format(rule=f"'{rule}'"))["firewall"]
    assert "5405" in found["wrong"]
    mended = complaints(host, FIREWALL.format(rule=f"'{rule}'") + found["mend"].partition("#")[0] + ";")
    assert mended == {}


@pytest.mark.parametrize(
    "rule", ["udp dport 5405 accept", "udp dport 5400-5410 accept", "udp dport { 53, 5405 } accept"]
)
def test_a_firewall_that_does(host: Path, rule: str) -> None:
    assert complaints(host, FIREWALL.format(rule=f"'{rule}'")) == {}


REFUSES_AT_ITS_END = (
    "nft add table inet filter; nft 'add chain inet filter input { type filter hook input priority 0; }';"
    "nft add rule inet filter input tcp dport 22 accept; nft add rule inet filter input {refusal};"
)


@pytest.mark.parametrize("refusal", ["counter reject", "counter drop", "meta l4proto udp drop"])
def test_a_firewall_that_refuses_by_a_rule(host: Path, refusal: str) -> None:
    rules = REFUSES_AT_ITS_END.replace("{refusal}", refusal)
    found = complaints(host, rules)["firewall"]
    assert "ends by refusing everything" in found["wrong"]
    assert complaints(host, rules + found["mend"].partition("#")[0] + ";") == {}


def test_a_firewall_that_refuses_something_else_is_not_in_the_way(host: Path) -> None:
    assert complaints(host, REFUSES_AT_ITS_END.replace("{refusal}", "tcp dport 80 drop")) == {}


def test_a_host_whose_kernel_has_nothing_for_the_engine(host: Path) -> None:
    """A process that may not touch nf_tables is refused by the kernel, as one is that has no nf_tables."""
    host.write_text(host.read_text() + '[datapath]\nengine = "nft"\n')
    refused = "setpriv --bounding-set -net_admin,-bpf,-perfmon --inh-caps -net_admin \\"  # and the doctor behind it
    found = complaints(host, refused)["kernel"]
    assert found["wrong"].startswith("the engine nft cannot work here: ")
    assert found["mend"] == 'engine = "auto" below [datapath] in vipcast.toml'


def test_a_host_where_real_time_is_refused(host: Path) -> None:
    fault = "ulimit -r 0;"
    found = complaints(host, fault, ("setpriv", "--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice"))
    assert "SCHED_RR is refused" in found["real-time"]["wrong"]


def test_settings_of_sysctl_that_undo_ours(tmp_path: Path) -> None:
    folder = tmp_path / "etc/sysctl.d"
    folder.mkdir(parents=True)
    (folder / "90-arp.conf").write_text(
        "# mine\nnet.ipv4.conf.all.arp_ignore = 0\nnet.ipv4.conf.all.arp_announce=2\n"
    )
    (found,) = sysctls(settings_of("a1", ("a1",)), tmp_path)
    assert found.wrong == "/etc/sysctl.d/90-arp.conf:2 sets arp_ignore to 0"


def test_what_mends_one_line_of_a_file_leaves_the_numbers_of_the_others(tmp_path: Path) -> None:
    folder = tmp_path / "etc/sysctl.d"
    folder.mkdir(parents=True)
    (folder / "a.conf").write_text(
        "net.ipv4.conf.all.arp_ignore=0\nvm.swappiness=1\nnet.ipv4.conf.all.arp_announce=0\nkernel.panic=9\n"
    )
    found = list(sysctls(settings_of("a1", ("a1",)), tmp_path))
    assert len(found) == 2
    for complaint in found:
        subprocess.run(complaint.mend.replace(" /etc", f" {tmp_path}/etc"), shell=True, check=True)
    assert list(sysctls(settings_of("a1", ("a1",)), tmp_path)) == []
    assert [line for line in (folder / "a.conf").read_text().splitlines() if not line.startswith("#")] == [
        "vm.swappiness=1",
        "kernel.panic=9",
    ]


def test_a_time_daemon_that_may_pull_the_clock_too_fast(tmp_path: Path) -> None:
    (tmp_path / "etc/chrony").mkdir(parents=True)
    (tmp_path / "etc/chrony/chrony.conf").write_text("maxslewrate 200000\n")
    assert Timers().drift < 0.4
    found = [one for one in clock(settings_of("a1", ("a1",)), tmp_path) if "chronyd" in one.wrong]
    assert "maxslewrate" in found[0].mend


def test_what_the_daemon_knows_of_its_links_and_its_lateness_is_passed_on() -> None:
    status = StateBackend().status()
    peer = LinkPeerStatus("a2", 30, None, 10, "heard by unicast, but not by the group: IGMP snooping?")
    stranger = DuplicateStatus("192.0.2.7", "52:54:00:00:00:01", "eth0", "", "52:54:00:00:00:02", 9, 3, 2)
    told = status.__class__(
        **{
            **{name: getattr(status, name) for name in status.__struct_fields__},
            "links": (LinkStatus("eth0", "239.255.42.1:5405", "the cable is out", {}, (peer,), "eth0"),),
            "lateness": LatenessStatus("SCHED_OTHER", "SCHED_RR is refused", 1, 1, 80.0, {}, 1),
            "alarms": ("fire",),
            "datapath": DatapathStatus(duplicates=(stranger,)),
        }
    )
    found = {complaint.check: complaint for complaint in of_status(told)}
    assert list(found) == ["link", "snooping", "real-time", "lateness", "duplicate", "alarm"]
    assert "mcast_querier 1" in found["snooping"].mend
    assert "52:54:00:00:00:02" in found["duplicate"].mend


def test_without_a_file_of_settings_it_says_how_to_make_one(tmp_path: Path) -> None:
    found = complaints(tmp_path / "vipcast.toml")
    assert "vipcast cluster init" in found["settings"]["mend"]
    assert os.listdir(tmp_path) == []
