"""Every mistake in vipcast.toml is named with file, line and remedy, all of them at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon import keys, linksettings
from daemon.linksettings import Link
from daemon.settings import SettingsError, check, load

GOOD = """\
[cluster]
name = "demo"
nodes = ["a1", "a2", "a3", "a4"]
[node]
name = "a2"
[[link]]
interface = "eth0"
group = "239.192.110.1"
port = 5405
"""


Written = Callable[[str], Path]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    def write(text: str) -> Path:
        path = tmp_path / "vipcast.toml"
        path.write_text(text)
        return path

    return write


def refusals(path: Path) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(path)
    return str(caught.value).replace(f"{path}", "FILE").splitlines()


def test_the_shortest_good_file_has_every_default(written: Written) -> None:
    loaded = load(written(GOOD))
    assert loaded.cluster.nodes == ("a1", "a2", "a3", "a4")
    assert loaded.founders == ("a1", "a2", "a3", "a4")
    assert (loaded.timers.heartbeat_ms, loaded.timers.lease_ms) == (50, 350)
    assert loaded.paths.authkey == Path("/etc/vipcast/authkey")
    assert loaded.paths.control_socket == Path("/run/vipcast/control.sock")
    assert loaded.paths.agents == (Path("/usr/lib/ocf"),)
    assert loaded.datapath.engine == "auto"
    assert loaded.realtime.scheduling == "auto"
    assert loaded.warnings == ()


def test_the_cipher_can_be_chosen(written: Written) -> None:
    assert load(written(GOOD)).cluster.cipher == "aes-256-gcm"
    chosen = GOOD.replace('name = "demo"', 'name = "demo"\ncipher = "chacha20-poly1305"')
    assert load(written(chosen)).cluster.cipher == "chacha20-poly1305"


def test_a_profile_is_taken_and_single_timers_override_it(written: Written) -> None:
    loaded = load(written(GOOD + '[timers]\nprofile = "fast"\nlease_ms = 200\ndrift = 0.1\n'))
    assert (loaded.timers.heartbeat_ms, loaded.timers.leadership_lease_ms, loaded.timers.lease_ms) == (20, 50, 200)
    assert loaded.timers.drift == 0.1


def test_every_path_can_be_moved(written: Written) -> None:
    moved = '[paths]\nrun = "/tmp/r"\nstate = "/tmp/s"\nauthkey = "/k"\nagents = ["/o", "/p"]\n'
    loaded = load(written(GOOD + moved))
    assert (loaded.paths.state, loaded.paths.authkey) == (Path("/tmp/s"), Path("/k"))
    assert loaded.paths.runner_socket == Path("/tmp/r-runner/runner.sock")
    assert loaded.paths.agents == (Path("/o"), Path("/p"))


def test_all_unknown_keys_and_bad_values_are_named_at_once_with_line_and_remedy(written: Written) -> None:
    text = (
        GOOD.replace("port = 5405", 'port = "5405"') + '[timers]\nheartbeet_ms = 50\n[datapath]\nengine = "xdp"\n'
    )
    assert refusals(written(text)) == [
        "FILE:9: link[0].port: Error: '5405' cannot be used: write a whole number, for example port = 5405",
        "FILE:11: timers.heartbeet_ms: Error: unknown key 'heartbeet_ms', did you mean 'heartbeat_ms'?",
        "FILE:13: datapath.engine: Error: 'xdp' cannot be used: input should be 'auto', 'nft', 'raw' or 'bpf', "
        'for example engine = "auto"',
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cluster = 1\n", "FILE:1: cluster: Error: 1 cannot be used: this is a table, not a value, for example"),
        ('link = "eth0"\n', "FILE:1: link: Error: 'eth0' cannot be used: write a list, in square brackets"),
        ("[cluster]\nname = 5\n", "FILE:2: cluster.name: Error: 5 cannot be used: write it in quotes"),
        ('[paths]\nrun = ["x"]\n', "FILE:2: paths.run: Error: ['x'] cannot be used: write a path, in quotes"),
    ],
)
def test_a_value_of_the_wrong_kind_is_said_plainly(written: Written, text: str, said: str) -> None:
    assert any(line.startswith(said) for line in refusals(written(text)))


def test_a_node_that_joins_names_no_founders(written: Written) -> None:
    loaded = load(written(GOOD.replace('nodes = ["a1", "a2", "a3", "a4"]\n', "")))
    assert loaded.founders == ()
    assert loaded.node.name == "a2"


def test_an_empty_list_of_founders_is_a_mistake_and_not_a_wish_to_join(written: Written) -> None:
    (line,) = refusals(written(GOOD.replace('["a1", "a2", "a3", "a4"]', "[]")))
    assert line.startswith("FILE:3: cluster.nodes: Error: 0 nodes")
    assert "leave nodes out to join" in line


def test_a_witness_that_may_not_write_to_var_lib_lives_in_its_users_home(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.places.is_writable", lambda _: False)
    monkeypatch.setenv("HOME", "/home/w")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    path = written(GOOD + '[paths]\nauthkey = "/k"\n')
    assert load(path).paths.state == Path("/var/lib/vipcast")
    loaded = load(path, witness=True)
    assert loaded.node.witness
    assert loaded.paths.authkey == Path("/k")
    assert loaded.paths.state == Path("/home/w/.local/state/vipcast")
    assert loaded.paths.control_socket == Path("/home/w/.local/state/vipcast/run/control.sock")
    monkeypatch.setenv("XDG_STATE_HOME", "/srv/state")
    assert load(path, witness=True).paths.state == Path("/srv/state/vipcast")
    monkeypatch.setenv("XDG_STATE_HOME", "not/absolute")
    assert load(path, witness=True).paths.state == Path("/home/w/.local/state/vipcast")


def test_links_that_share_an_interface_are_named_by_their_ports_too() -> None:
    links = [Link(interface="eth0"), Link(interface="eth1"), Link(interface="eth0", port=5406)]
    assert linksettings.names(links) == ("eth0:5405", "eth1", "eth0:5406")


def test_two_links_at_one_place_are_refused_with_the_remedy(written: Written) -> None:
    again = '\n[[link]]\ninterface = "eth0"\ngroup = "239.192.110.2"\n'
    (line,) = refusals(written(GOOD + again))
    assert line.endswith(
        "link[1]: Error: link[0] has eth0 port 5405 already,"
        " a second link needs its own interface (or at least its own port)"
    )
    assert len(load(written(GOOD + again + "port = 5406\n")).links) == 2


def test_a_link_without_multicast_has_peers(written: Written) -> None:
    link = 'group = "239.192.110.1"'
    loaded = load(written(GOOD.replace(link, 'peers = ["192.0.2.1", "192.0.2.2"]')))
    assert (loaded.links[0].group, loaded.links[0].peers) == ("", ("192.0.2.1", "192.0.2.2"))
    (line,) = refusals(written(GOOD.replace(link, "")))
    assert line.startswith("FILE:6: link[0]: Error: neither a group nor peers, write group =")
    found = refusals(written(GOOD.replace(link, 'peers = ["239.1.1.1", "n1", "0.0.0.0", "127.0.0.1"]')))
    assert [line.split("Error: ")[1].split(" is")[0] for line in found] == [
        "'239.1.1.1'",
        "'n1'",
        "'0.0.0.0'",
        "'127.0.0.1'",
    ]


def test_a_missing_table_says_what_to_write(written: Written) -> None:
    assert refusals(written('[cluster]\nname = "demo"\n')) == [
        'FILE: link: Error: missing, write a table: [[link]], interface = "eth0", '
        'group = "239.192.110.1", port = 5405',
    ]


def test_what_only_makes_sense_together_is_checked_together(written: Written) -> None:
    text = """\
[cluster]
name = "no good"
nodes = [
    "a1",
    "a1",   # twice
]
[node]
name = "a9"
[[link]]
interface = "eth0"
group = "224.0.0.5"
[[link]]
interface = "eth0"
group = "10.0.0.1"
[paths]
state = "var"
"""
    found = refusals(written(text))
    assert [line.split(": Error: ")[0] for line in found] == [
        "FILE:2: cluster.name",
        "FILE:3: cluster.nodes",
        "FILE:8: node.name",
        "FILE:11: link[0].group",
        "FILE:14: link[1].group",
        "FILE:12: link[1]",
        "FILE:16: paths.state",
    ]
    assert "node 'a1' is listed 2 times" in found[1]
    assert "this node is 'a9', which is none of a1, a1" in found[2]


def test_timers_that_contradict_each_other_are_refused_at_their_line(written: Written) -> None:
    found = refusals(written(GOOD + "[timers]\nlease_ms = 200\n"))
    assert len(found) == 1
    assert found[0].startswith("FILE:11: timers.lease_ms: Error: lease_ms = 200: must be at least")


@pytest.mark.parametrize(("hostname", "name"), [("a3", "a3"), ("a3.example.com", "a3"), ("a9", None)])
def test_a_node_without_a_name_takes_the_hosts(
    written: Written, monkeypatch: pytest.MonkeyPatch, hostname: str, name: str | None
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: hostname)
    path = written(GOOD.replace('[node]\nname = "a2"\n', ""))
    if name is None:
        assert "this node is 'a9', which is none of a1, a2, a3, a4" in refusals(path)[0]
    else:
        assert load(path).node.name == name


def test_a_node_may_be_listed_with_its_whole_name(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "a2.example.com")
    path = written(GOOD.replace('"a2", ', '"a2.example.com", ').replace('[node]\nname = "a2"\n', ""))
    assert load(path).node.name == "a2.example.com"


def test_a_syntax_error_has_its_line(written: Written) -> None:
    assert refusals(written(GOOD + "oops\n"))[0].startswith("FILE:10: Error: ")


def test_a_missing_or_binary_file_is_said_plainly(tmp_path: Path) -> None:
    path = tmp_path / "vipcast.toml"
    assert refusals(path) == [
        "FILE: Error: no such file or directory, 'vipcast cluster init NAME' or 'vipcast cluster join TOKEN' make it, "
        "--config names another"
    ]
    path.write_bytes(b"\n\xff\xfe")
    assert refusals(path)[0].startswith("FILE:2: Error: not UTF-8")
    assert "is a directory" in refusals(tmp_path)[0]


def test_check_adds_what_is_wrong_with_the_key(written: Written, tmp_path: Path) -> None:
    key = tmp_path / "authkey"
    path = written(GOOD + f'[paths]\nauthkey = "{key}"\n')
    assert [finding.code for finding in check(path)] == ["key-file"]
    keys.write(key, keys.generate())
    assert check(path) == []
    key.chmod(0o640)
    (finding,) = check(path)
    assert f"chmod 600 {key}" in str(finding)


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            [*GOOD.splitlines(), "[", "]", '"""', "x = 1", "[node]", "[[link]]", "[link.x]", "link = 1"]
        ),
        max_size=14,
    )
)
def test_no_text_makes_it_raise_anything_but_a_settings_error(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    path = tmp_path_factory.mktemp("toml") / "vipcast.toml"
    path.write_text("\n".join(lines))
    with contextlib.suppress(SettingsError):
        load(path)
