"""`vipcast support-bundle` and `simulate --bundle`: what they refuse, and what a bundle without other hosts has."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.bundle import archive, gathering
from daemon.cluster.core.effects import HardState, Persist
from daemon.cluster.store import writing
from daemon.cluster.store.database import connect
from daemon.cluster.store.lock import lock as lock_folder
from daemon.cluster.store.reading import read
from daemon.cluster.store.store import FILE
from daemon.state.commands import Result
from tests.unit.cli.conftest import Shell
from tests.unit.cli.console import vipcast
from tests.unit.control.living import living

SETTINGS = """\
[cluster]
name = "demo"
nodes = ["a1", "a2", "a3", "a4"]
[node]
name = "a1"
[[link]]
interface = "lo"
group = "239.192.110.1"
"""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.setattr(
        gathering, "COMMANDS", {"said.txt": "echo passwd=hunter2", "none.txt": "no-such-program-here"}
    )
    monkeypatch.setattr(gathering, "UNITS", ())
    monkeypatch.setattr(gathering, "examine", lambda *_: [])
    (tmp_path / "settings_cfg").write_text(SETTINGS)
    with living() as cluster:
        yield Shell(cluster, tmp_path)


def test_a_bundle_says_what_it_has_and_what_it_lacks(host: Shell) -> None:
    ran = host("support-bundle made_cfg --local --settings settings_cfg")
    assert ran.code == 0
    assert "look through it before you send it" in ran.stdout
    assert "none.txt: there is no program no-such-program-here here" in ran.stderr
    files = archive.read(host.folder / "made_cfg")
    assert files["a1/said.txt"] == b"passwd=(hidden)\n"
    assert json.loads(files["manifest.json"])["nodes"]["a1"]["missing"].keys() >= {"none.txt"}
    assert host("simulate --bundle made_cfg").code == 0


def test_another_host_that_cannot_be_asked_is_named_with_the_reason(host: Shell) -> None:
    told = host("support-bundle made_cfg --settings settings_cfg --ssh=false").stderr
    for name in ("a2", "a3", "a4"):
        assert f"{name} is not in it: false ended with status 1" in told
    told = host("support-bundle more_cfg --settings settings_cfg --ssh=no-such-shell").stderr
    assert "a2 is not in it: cannot run no-such-shell: No such file or directory" in told
    told = host("support-bundle echo_cfg --settings settings_cfg --ssh=echo").stderr
    assert "a2 is not in it: it is no whole gzipped tar archive" in told


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("support-bundle x_cfg --settings settings_cfg --hide=[", 2, "--hide takes a regular expression"),
        ("support-bundle x_cfg --settings settings_cfg --ssh='", 2, "--ssh: No closing quotation"),
        ("support-bundle x_cfg --settings none_cfg", 1, "only the settings say: --settings FILE"),
        ("support-bundle settings_cfg --settings settings_cfg --local", 1, "there is already a"),
        ("simulate --bundle none_cfg", 1, "No such file or directory"),
        ("simulate --bundle settings_cfg", 1, "is no support bundle"),
        ("simulate --bundle none_cfg --cib none_cfg", 2, "choose one"),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_is_left(host: Shell, line: str, code: int, said: str) -> None:
    ran = host(line)
    assert ran.code == code
    assert said in ran.stderr
    assert [path.name for path in host.folder.iterdir() if path.name.startswith((".x", "x_"))] == []


FORMER, PRESENT, OF_A_NODE = "hunter2-the-first", "Tr0ub4dor&3", "correct-horse"


@pytest.fixture
def site(host: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Secrets in parameters as they are and were, in commands, in an attribute, in an agent's words, in a command's."""
    monkeypatch.setattr(gathering, "COMMANDS", {"said.txt": f"echo trying {FORMER} first"})
    with (host.folder / "settings_cfg").open("a") as file:
        file.write(f'# psk = "{OF_A_NODE}"\n[paths]\nstate = "{host.folder}/state"\n')
    for line in (
        f"resource create db ocf:pacemaker:Dummy passwd={FORMER} --force",
        f"resource update db passwd={PRESENT} --force",
        f"node attribute a2 api_token={OF_A_NODE}",
    ):
        host.done(line)
    backend = host.cluster.backend
    host.cluster.on_loop(backend.play)
    said = f"db: login with {FORMER}, then with {PRESENT} failed"
    host.cluster.on_loop(lambda: backend.request(Result("a2", 1, "db", "monitor", 10_000, 1, "done", said, 5, "")))
    return host


def leaks(files: dict[str, bytes]) -> list[tuple[str, str]]:
    return [
        (name, secret)
        for name, body in files.items()
        for secret in (FORMER, PRESENT, OF_A_NODE)
        if secret.encode() in body or json.dumps(secret)[1:-1].encode() in body
    ]


def test_what_is_secret_and_what_was_is_hidden_wherever_it_was_planted(site: Shell) -> None:
    assert FORMER in site("cluster log").stdout, "there to be found"
    assert site("support-bundle made_cfg --local --settings settings_cfg").code == 0
    files = archive.read(site.folder / "made_cfg")
    assert leaks(files) == []
    assert files["a1/said.txt"] == b"trying (hidden) first\n"
    assert any("resource update db" in line["text"] for line in json.loads(files["a1/log.json"]))
    for what_if in ("", " --node-fail a2", " --set maintenance-mode=true"):
        assert site(f"simulate --bundle made_cfg{what_if}").stdout == site(f"simulate{what_if}").stdout


def test_where_no_daemon_answers_the_disk_tells_log_and_view_though_a_hung_one_has_its_lock(site: Shell) -> None:
    folder = site.folder / "state"
    folder.mkdir()
    lock = lock_folder(folder)
    connection = connect(folder / FILE)
    saved = read(connection, folder / FILE)
    writing.begin_incarnation(connection, saved.store_id, folder / FILE)
    connection.execute("BEGIN IMMEDIATE")
    entries = tuple(site.cluster.backend.entries)
    writing.persist(connection, Persist(1, HardState(1, "a1", votes=True), None, entries))
    connection.execute("COMMIT")
    words = ("--settings", str(site.folder / "settings_cfg"), "--socket", str(site.folder / "none.sock"))
    ran = vipcast("support-bundle", str(site.folder / "disk_cfg"), "--local", *words)
    connection.close()
    os.close(lock)
    assert ran.code == 0, ran
    assert "vipcastd does not answer" in ran.stderr
    files = archive.read(site.folder / "disk_cfg")
    assert leaks(files) == []
    assert len(json.loads(files["a1/log.json"])) == len(entries)
    assert site("simulate --bundle disk_cfg --node-fail a2").stdout == site("simulate --node-fail a2").stdout
