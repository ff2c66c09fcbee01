"""`vipcast cluster init`, `token` and `join`, as far as one machine goes: files, refusals, and what is said."""

from __future__ import annotations

import json
import os
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from daemon import interfaces, keys, places
from daemon.cluster.enrolment.token import Token, parse
from daemon.cluster.identity import is_id
from daemon.cluster.keyring import Keyring, RingKey
from daemon.cluster.records import Member, Roster
from daemon.cluster.store import Store
from daemon.control.access import Access
from daemon.hostfiles import group_of
from daemon.keys import write_ring
from daemon.settings import Paths, load
from tests.unit.cli.conftest import Shell
from tests.unit.cli.console import Ran, vipcast
from tests.unit.control.living import living

LAN = interfaces.Interface("eth0", (IPv4Interface("192.0.2.11/24"),))


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings of a host n1 with one interface, with nothing of vipcast on it."""
    nowhere = tmp_path / "system"
    system = places.Places(nowhere / "vipcast.toml", nowhere / "authkey", nowhere / "state", nowhere / "run")
    monkeypatch.setattr(places, "SYSTEM", system)
    monkeypatch.setattr(interfaces, "of_this_host", lambda: [LAN])
    monkeypatch.setattr(interfaces, "default_route", lambda: "eth0")
    monkeypatch.setattr("socket.gethostname", lambda: "n1.example.com")
    return tmp_path / "etc" / "vipcast.toml"


def run(line: str, file: Path) -> Ran:
    return vipcast(*line.split(), "--settings", str(file))


def test_init_makes_a_cluster_whose_only_node_is_named_by_its_store_and_not_by_its_settings(file: Path) -> None:
    ran = run("cluster init web", file)
    assert ran.code == 0, ran
    assert ran.lines[0] == "Cluster 'web' is made; n1 is its first node."
    assert "eth0 (192.0.2.11/24), since it has the default route" in ran.stdout
    assert "systemctl enable --now vipcast-runner vipcastd" in ran.stderr
    assert "vipcast cluster token" in ran.stderr
    loaded = load(file)
    assert loaded.founders == ()
    store = Store.open(places.SYSTEM.state)
    store.close()
    (entry,) = store.saved.entries
    cluster_id = store.saved.cluster_id
    assert is_id(cluster_id)
    member = Member("n1", store.saved.store_id, True)
    assert entry.command == Roster((member,), why="n1 founds the cluster", cluster_id=cluster_id)
    assert (loaded.links[0].interface, loaded.links[0].group, loaded.links[0].port) == (
        "eth0",
        group_of("web"),
        5405,
    )
    assert len(loaded.key()) == keys.KEY_BYTES


def test_everything_that_init_chooses_can_be_said(file: Path) -> None:
    line = "cluster init web --name a1 --link eth0 --group 239.192.9.9 --port 6000 --profile fast --json"
    ran = run(line, file)
    assert ran.code == 0, ran
    assert ran.json["links"] == [{"interface": "eth0", "group": "239.192.9.9", "port": 6000}]
    loaded = load(file)
    assert (loaded.node.name, loaded.timers.heartbeat_ms, loaded.links[0].port) == ("a1", 20, 6000)


@pytest.mark.parametrize("line", ["cluster setup web", "cluster setup --name web n1", "cluster setup web n1"])
def test_the_words_of_pcs_make_a_cluster_of_this_host(file: Path, line: str) -> None:
    assert run(line, file).code == 0
    assert (load(file).cluster.name, load(file).node.name) == ("web", "n1")


def test_other_hosts_on_the_line_of_pcs_are_told_how_they_join(file: Path) -> None:
    ran = run("cluster setup web n1 n2 n3 --start --enable", file)
    assert ran.code == 1
    assert "Others (n2, n3) join from their own side" in ran.stderr
    assert not file.exists()


def test_files_that_are_there_are_replaced_only_by_force(file: Path) -> None:
    assert run("cluster init web", file).code == 0
    before = (file.read_bytes(), (file.parent / "authkey").read_bytes())
    for line in ("cluster init web", "cluster join web --key /nonexistent"):
        ran = run(line, file)
        assert ran.code == 1
        assert f"this host is a member already: {file} has node n1 of cluster 'web'" in ran.stderr
    assert (file.read_bytes(), (file.parent / "authkey").read_bytes()) == before
    assert run("cluster init other --force", file).code == 0
    assert load(file).cluster.name == "other"
    assert (file.parent / "authkey.old").read_bytes() == before[1]


def test_a_host_with_the_memory_of_a_cluster_has_to_be_reset_first(file: Path) -> None:
    places.SYSTEM.state.mkdir(parents=True)
    (places.SYSTEM.state / "cluster.db").touch()
    for line in ("cluster init web", "cluster init web --force"):
        ran = run(line, file)
        assert ran.code == 1
        assert "vipcast node reset" in ran.stderr
        assert not file.exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("cluster init no/good", "'no/good' is no name for a cluster"),
        ("cluster init web --name -x", "'-x' is no name for a node"),
        ("cluster init web --link eth7", "there is no interface 'eth7' on this host; there are: eth0"),
        ("cluster init web --group 10.0.0.1", "'10.0.0.1' is no IPv4 multicast group"),
        ("cluster join vipcast-abc", "the token is cut off"),
        ("cluster join web", "this is no token"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(file: Path, line: str, said: str) -> None:
    ran = run(line, file)
    assert ran.code == 1, ran
    assert said in ran.stderr
    assert not file.exists()
    assert not file.parent.exists() or not list(file.parent.iterdir())


def test_a_host_without_an_obvious_interface_is_asked_to_name_one(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = interfaces.Interface("eth1", (IPv4Interface("10.0.0.11/24"),))
    monkeypatch.setattr(interfaces, "of_this_host", lambda: [LAN, other])
    monkeypatch.setattr(interfaces, "default_route", lambda: None)
    ran = run("cluster init web", file)
    assert ran.code == 1
    assert "Name one with --link; there are: eth0 (192.0.2.11/24); eth1 (10.0.0.11/24)" in ran.stderr
    foreign = Token(IPv4Address("239.192.1.1"), IPv4Address("203.0.113.5"), 5405, bytes(16))
    assert (
        "no interface of this host is on the network of 203.0.113.5" in run(f"cluster join {foreign}", file).stderr
    )


def test_who_may_not_write_the_system_s_files_is_told_so(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "is_writable", lambda _: False)
    for line in ("cluster init web", "cluster join web --key /k"):
        ran = run(line, file)
        assert ran.code == 1
        assert "run this as root" in ran.stderr


def test_a_host_joins_by_the_key_s_file_and_the_cluster_s_name(file: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    keys.write(key, keys.generate())
    ran = run(f"cluster join web --key {key} --name a2", file)
    assert ran.code == 0, ran
    loaded = load(file)
    assert (loaded.cluster.name, loaded.node.name, loaded.founders) == ("web", "a2", ())
    assert loaded.links[0].group == group_of("web")
    assert loaded.key() == key.read_bytes()


def test_a_token_is_one_line_and_the_rest_is_for_the_person(shell: Shell, tmp_path: Path) -> None:
    key = tmp_path / "key"
    keys.write(key, keys.generate())
    enrolling = shell.cluster.backend.enrolling
    object.__setattr__(enrolling.settings, "paths", Paths(authkey=key))
    ran = shell("cluster token --ttl 90s --uses 3")
    assert ran.code == 0, ran
    (line,) = ran.lines
    token = parse(line)
    assert str(token.group) == enrolling.settings.links[0].group
    assert "Good for 90s and 3 hosts, as long as vipcastd on a1 runs" in ran.stderr
    assert f"vipcast cluster join {line}" in ran.stderr
    document = json.loads(shell("cluster token --json").stdout)
    assert (document["expires_in_ms"], document["uses"]) == (600_000, 1)


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("cluster token --ttl 25h", 1, "a token lasts from 1 s to 24 h"),
        ("cluster token --ttl soon", 2, "--ttl"),
        ("cluster token --uses 0", 2, "--uses takes a number from 1 to 64"),
    ],
)
def test_a_token_without_bounds_is_refused(shell: Shell, line: str, code: int, said: str) -> None:
    assert said in shell.refused(line, code)


def test_without_quorum_or_key_there_is_no_token(shell: Shell) -> None:
    assert "cannot read its key" in shell.refused("cluster token")
    shell.cluster.backend.quorate = False
    assert "sees no quorum now" in shell.refused("cluster token")


def test_while_a_key_replaces_another_there_is_no_token(shell: Shell, tmp_path: Path) -> None:
    """A host that came in with the old one would never be heard again: what follows it goes to members alone."""
    path = tmp_path / "authkey"
    ring = Keyring.of(bytes(32)).with_pending(RingKey(bytes([1] * 32)))
    write_ring(path, ring)
    object.__setattr__(shell.cluster.backend.enrolling.settings, "paths", Paths(authkey=path))
    assert "the cluster's key is being replaced; try again in some seconds" in shell.refused("cluster token")
    write_ring(path, ring.activated(now_s=1))
    assert shell("cluster token").code == 0


def test_root_alone_may_have_a_token(tmp_path: Path) -> None:
    with living(access=Access(frozenset({54321}), os.getegid(), None)) as cluster:
        ran = vipcast("cluster", "token", "--socket", str(cluster.path))
    assert ran.code == 1
    assert "only root may do it" in ran.stderr
