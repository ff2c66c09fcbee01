"""`vipcast cluster upgrade`: one host after the other, and not one more where something is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.cluster.records import Lost
from tests.unit.cli.conftest import Shell
from tests.unit.cli.console import Ran, vipcast
from tests.unit.cli.test_evidence import VIP

REMOTE = """\
#!/bin/sh
# where a command would run, and what was in standby then
echo "$1: $2" >> {log}
[ "$1" != "{bad}" ] || {{ echo "no space left"; exit 100; }}
"""


@pytest.fixture
def upgrade(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Upgrade:
    monkeypatch.setattr("daemon.cli.upgrading.STEADY_S", 0.0)
    shell.done(VIP)
    return Upgrade(shell, tmp_path)


class Upgrade:
    """Other hosts are reached by a program that notes what it was to do."""

    def __init__(self, shell: Shell, folder: Path) -> None:
        self.shell = shell
        self.log = folder / "log"
        self.remote = folder / "remote"

    def __call__(self, *options: str, bad: str = "none") -> Ran:
        self.log.touch()
        self.remote.write_text(REMOTE.format(log=self.log, bad=bad))
        self.remote.chmod(0o755)
        command = f"echo 'a1: here' >> {self.log}"
        words = ("cluster", "upgrade", *options, f"--ssh={self.remote}", command)
        return vipcast(*words, "--socket", str(self.shell.cluster.path))

    @property
    def hosts(self) -> list[str]:
        return [line.split(":")[0] for line in self.log.read_text().splitlines()]

    def in_standby(self) -> list[str]:
        return [node.name for node in self.shell.cluster.client.status().nodes if node.standby]


def test_every_host_has_its_turn_and_this_one_is_last(upgrade: Upgrade) -> None:
    ran = upgrade()
    assert ran.code == 0, ran
    assert upgrade.hosts == ["a2", "a3", "a4", "a1"]
    assert ran.lines[:2] == ["a2: emptied (a3, a4, a1 to come)", "a2: done, and takes its share again"]
    assert upgrade.in_standby() == []


def test_a_host_on_which_the_command_fails_is_the_last_one_that_is_touched(upgrade: Upgrade) -> None:
    ran = upgrade(bad="a3")
    assert ran.code == 1
    assert upgrade.hosts == ["a2", "a3"]
    assert upgrade.in_standby() == ["a3"]
    assert "a3: no space left" in ran.stderr
    assert "a3: the command ended with status 100.  a3 stays in standby and the others serve." in ran.stderr
    assert "vipcast cluster upgrade --node a3 --node a4 --node a1 …" in ran.stderr
    assert "a3 is still in standby" in upgrade("--node=a4").stderr, "no other host begins before that one is back"
    assert upgrade.hosts == ["a2", "a3"]
    assert upgrade("--node=a3", "--node=a4", "--node=a1").code == 0, "its own standby is no hindrance"
    assert upgrade.hosts == ["a2", "a3", "a3", "a4", "a1"]


def test_a_cluster_that_is_not_whole_is_not_upgraded(upgrade: Upgrade) -> None:
    upgrade.shell.cluster.on_loop(lambda: upgrade.shell.cluster.backend.append(Lost("a4")))
    ran = upgrade()
    assert (ran.code, upgrade.hosts, upgrade.in_standby()) == (1, [], [])
    assert "the cluster is not whole: a4 is not online" in ran.stderr


def test_a_host_that_does_not_come_back_ends_it(upgrade: Upgrade, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = upgrade.shell.cluster.backend
    monkeypatch.setattr("daemon.cli.upgrading.store", lambda *_: backend.append(Lost("a2")))
    ran = upgrade("--wait=1")
    assert ran.code == 1
    assert upgrade.hosts == ["a2"]
    assert "a2 is not well again: a2 is not online" in ran.stderr


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--node=a9"], 1, "there is no node 'a9'; there are: a1, a2, a3, a4"),
        (["--ssh='"], 2, "--ssh: No closing quotation"),
        (["--ssh= "], 2, "--ssh takes the command that reaches another host"),
        (["--ssh=/none/such"], 1, "a2: cannot run /none/such: No such file or directory.  a2 stays in standby"),
    ],
)
def test_what_makes_no_sense_is_refused(upgrade: Upgrade, options: list[str], code: int, said: str) -> None:
    ran = vipcast("cluster", "upgrade", *options, "true", "--socket", str(upgrade.shell.cluster.path))
    assert ran.code == code
    assert said in ran.stderr
