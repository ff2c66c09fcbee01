"""Commands that only look: over the socket, for people and for programs; and what they say when nobody answers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from daemon.control.schema import StatusDocument
from daemon.keys import KEY_BYTES
from datapath.engine import HashKind
from datapath.hashing import key_of, slot
from tests.unit.cli.conftest import Shell
from tests.unit.cli.console import vipcast

SHARED = (
    "resource create VIP ocf:heartbeat:IPaddr2 ip=192.168.110.120 cidr_netmask=24 "
    "clusterip_hash=sourceip-sourceport clone clone-max=4 clone-node-max=4 globally-unique=true"
)


@pytest.fixture
def site(shell: Shell) -> Shell:
    shell.done(SHARED)
    return shell


def test_the_status_is_told_in_words_and_in_json(site: Shell) -> None:
    lines = site.done("status")
    assert lines[0] == "Cluster name: demo"
    assert "Online: [ a1 a2 a3 a4 ]" in lines
    assert " Clone Set: VIP-clone [VIP] (unique)" in lines
    document = msgspec.json.decode(site("status --json").stdout, type=StatusDocument)
    assert document.cluster == "demo"
    assert document.addresses[0].mac == "21:37:6f:88:c2:a0"
    assert site("cluster status --json").json["schema"] == 1


def test_parts_of_the_status_can_be_asked_for(site: Shell) -> None:
    assert site.done("status resources VIP-clone")[0] == " Clone Set: VIP-clone [VIP] (unique)"
    assert site.done("status nodes") == ["Online: [ a1 a2 a3 a4 ]"]
    assert "4 slots by sourceip-sourceport" in site.done("status slots")[0]
    assert site("status slots VIP --json").json[0]["slots_total"] == 4
    assert site("status nodes --json").json[0]["name"] == "a1"
    assert site("resource --json").json[0]["id"] == "VIP-clone"
    full = site.done("status --full")
    assert " a1  online, leader, this node, lease 310 ms" in full
    assert any(line.startswith(" eth0 (239.255.42.1:5405)") for line in full)


def test_the_cluster_itself_is_told_without_resources(site: Shell) -> None:
    lines = site.done("cluster status")
    assert any("partition with quorum" in line for line in lines)
    assert not any("VIP" in line for line in lines)


def test_who_answers_is_what_the_hash_and_the_holders_say(site: Shell) -> None:
    document = site("who 10.0.0.7:4321 VIP --json").json
    (answer,) = document["addresses"]
    number = slot(key_of(HashKind.SOURCEIP_SOURCEPORT, b"\x0a\x00\x00\x07", 4321), 0, 4)
    assert answer["slot"] == number
    holder = site.cluster.backend.state.slots["VIP"][number].holder
    assert answer["answers"] == holder
    lines = site.done("who 10.0.0.7:4321 192.168.110.120")
    assert lines[0] == f"10.0.0.7:4321 -> VIP (192.168.110.120): slot {number}, {holder} answers"
    assert lines[1] == "  hash    sourceip-sourceport: client address + client port"
    assert lines[2] == "  key     0a00000710e10000"
    assert lines[4].endswith(f"* 4) >> 32 = {number}")
    assert lines[5] == f"  holder  {holder} (open)"


def test_who_says_what_is_missing(site: Shell) -> None:
    assert "name the client's port as well" in site.refused("who 10.0.0.7")
    assert "is IPv6" in site.refused("who [2001:db8::1]:80 VIP")
    assert "there are: VIP (192.168.110.120)" in site.refused("who 10.0.0.7:1 web")


def test_an_explanation_tells_scores_and_names_the_node(site: Shell) -> None:
    site.done("resource create web ocf:heartbeat:apache")
    site.done("constraint location web prefers a3=50")
    lines = site.done("explain web")
    assert lines[0] == "web: a3, stays on a3 with score 50"
    assert lines[1:3] == ["  a3  chosen", "      50  location-web-a3-50: web on a3 (score:50)"]
    assert site("explain web --json").json["explanations"][0]["node"] == "a3"
    assert "there is no node 'a9'" in site.refused("explain web a9")


def test_the_log_is_told_line_by_line(site: Shell) -> None:
    lines = site.done("cluster log")
    assert lines[0].split(None, 3)[0] == "1"
    assert lines[0].endswith("a1 takes part (incarnation 1)")
    assert len(site.done("cluster log -n 2")) == 2
    assert site.done("cluster log --since 2 --lines 1")[0].endswith("a2 takes part (incarnation 1)")
    assert msgspec.json.decode(site.done("cluster log -n 1 --json")[0])["index"] == len(
        site.cluster.backend.entries
    )
    assert "--lines takes a number" in site.refused("cluster log -n 0", code=2)


def test_constraints_and_resources_are_told_to_programs(site: Shell) -> None:
    site.done("constraint location VIP-clone avoids a1")
    (constraint,) = site("constraint --json").json
    assert (constraint["kind"], constraint["node"], constraint["score"]) == ("location", "a1", "-INFINITY")
    assert site("constraint order config --json").json == []
    assert site("resource config VIP-clone --json").json[0]["child"]["id"] == "VIP"


@pytest.mark.parametrize(
    "line",
    ["status", "resource", "constraint", "cluster status", "who 10.0.0.7", "explain x", "property", "node standby"],
)
def test_when_nobody_answers_the_remedy_is_named(line: str, tmp_path: Path) -> None:
    ran = vipcast(*line.split(), "--socket", str(tmp_path / "no.sock"))
    assert ran.code == 1
    assert f"vipcastd does not answer on {tmp_path}/no.sock" in ran.stderr
    assert "systemctl status vipcastd" in ran.stderr
    ran = vipcast(*line.split(), "--json", "--socket", str(tmp_path / "no.sock"))
    assert msgspec.json.decode(ran.stderr)["code"] == "unreachable"


def test_the_socket_may_be_named_by_a_variable(site: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIPCAST_SOCKET", str(site.cluster.path))
    assert vipcast("status", "nodes").lines == ["Online: [ a1 a2 a3 a4 ]"]


def test_a_fault_of_our_own_is_a_sentence_and_its_details_only_on_demand(
    site: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("inside out")

    monkeypatch.setattr("daemon.cli.layout.cluster.nodes", broken)
    ran = site("status nodes")
    assert ran.code == 1
    assert "RuntimeError: inside out" in ran.stderr
    assert "--debug" in ran.stderr
    with pytest.raises(AssertionError, match="Traceback"):
        site("status nodes --debug")


def test_a_key_is_made_once_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "authkey"
    assert vipcast("keygen", str(path)).code == 0
    assert path.stat().st_mode & 0o777 == 0o600
    key = path.read_bytes()
    assert len(key) == KEY_BYTES
    ran = vipcast("keygen", str(path))
    assert ran.code == 1
    assert "left as it is" in ran.stderr
    assert path.read_bytes() == key


def test_a_plan_for_a_file_is_made_offline(site: Shell) -> None:
    site.done("resource create web ocf:heartbeat:apache")
    site.done("cluster cib plan_cfg")
    document = site("simulate --json --cib plan_cfg").json
    assert set(document) == {"placement", "promoted"}
    assert "cannot read" in site.refused("simulate --cib missing_cfg")
    (site.folder / "bad_cfg").write_text("no xml")
    assert "is not a CIB" in site.refused("simulate --cib bad_cfg")


PROGRAM = (sys.executable, "-m", "daemon.cli.main")


def test_the_program_ends_in_silence_when_its_reader_has_enough(site: Shell) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run([*PROGRAM, "help"], stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_the_program_follows_the_log_until_it_is_told_to_stop(site: Shell) -> None:
    words = [*PROGRAM, "cluster", "log", "-f", "-n", "1", "--socket", str(site.cluster.path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            newest = program.stdout.readline()
            assert int(newest.split()[0]) == len(site.cluster.backend.entries)
            site.done("property set maintenance-mode=true")
            assert "maintenance-mode=true" in program.stdout.readline()
        finally:
            program.terminate()


def test_read_only_commands_load_neither_pydantic_nor_aiohttp(site: Shell) -> None:
    """They are typed all day: what makes a start slow stays out."""
    for line in ("resource", "status", "who 10.0.0.7:1 VIP", "status slots"):
        words = [*line.split(), "--socket", str(site.cluster.path)]
        script = (
            "import sys; from daemon.cli.main import main; code = main(sys.argv[1:]); "
            "heavy = [m for m in ('pydantic', 'aiohttp', 'asyncio', 'cryptography') if m in sys.modules]; "
            "print(heavy, file=sys.stderr); "
            "sys.exit(code)"
        )
        ran = subprocess.run(
            [sys.executable, "-c", script, *words], capture_output=True, text=True, timeout=60, check=False
        )
        assert (ran.returncode, ran.stderr.strip()) == (0, "[]"), line
