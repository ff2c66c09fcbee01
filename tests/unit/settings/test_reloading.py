"""vipcast.toml is read again: what takes effect, what is named as waiting, and that a wrong file changes nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daemon import keys, settings
from daemon.keys import KeyFileError
from daemon.reloading import SettingsFile, refusal
from daemon.settings import SettingsError

TOML = """\
[cluster]
name = "demo"
nodes = ["a1", "a2"]
[node]
name = "a1"
[[link]]
interface = "eth0"
group = "239.192.110.1"
[timers]
heartbeat_ms = 50
[paths]
authkey = "{authkey}"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    keys.write(tmp_path / "authkey", keys.generate())
    path = tmp_path / "vipcast.toml"
    path.write_text(TOML.format(authkey=tmp_path / "authkey"))
    return path


@pytest.fixture
def running(file: Path) -> SettingsFile:
    return SettingsFile(settings.load(file), witness=False)


def rewrite(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


async def test_a_file_that_has_not_changed_has_nothing_to_say(running: SettingsFile, file: Path) -> None:
    rewrite(file, "[cluster]", "# a comment\n[cluster]")
    assert await running.reload() == []


async def test_what_may_change_takes_effect_at_once(running: SettingsFile, file: Path) -> None:
    rewrite(file, 'name = "a1"', 'name = "a1"\nsuicide = "reboot"')
    rewrite(file, "[paths]", '[paths]\nagents = ["/srv/ocf", "/usr/lib/ocf"]')
    found = await running.reload()
    assert [(str(one), one.is_live) for one in found] == [
        ("node.suicide: end → reboot", True),
        ("paths.agents: [/usr/lib/ocf] → [/srv/ocf, /usr/lib/ocf]", True),
    ]
    assert running.in_force.node.suicide == "reboot"
    assert await running.reload() == []


async def test_what_needs_a_restart_is_named_each_time_and_not_used(running: SettingsFile, file: Path) -> None:
    rewrite(file, "heartbeat_ms = 50", "heartbeat_ms = 40")
    rewrite(file, 'interface = "eth0"', 'interface = "eth1"')
    rewrite(file, "[timers]", '[datapath]\nengine = "raw"\n[timers]')
    before = running.in_force
    for _ in range(2):
        found = await running.reload()
        assert not any(one.is_live for one in found)
        assert {".".join(one.key) for one in found} == {"link", "timers.heartbeat_ms", "datapath.engine"}
    assert running.in_force == before
    assert next(str(one) for one in found if one.key == ("link",)) == (
        "link: group 239.192.110.1, interface eth0 → group 239.192.110.1, interface eth1"
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("heartbeat_ms = 50", 'heartbeat_ms = "50"', "timers.heartbeat_ms"),
        ("[timers]", "[timers", "vipcast.toml:9"),
        ('name = "a1"', 'name = "a1"\nsuicide = "maybe"', "node.suicide"),
        ('name = "a1"', 'name = "a9"', "none of a1, a2"),
    ],
)
async def test_a_wrong_file_changes_nothing_and_every_reason_is_told(
    running: SettingsFile, file: Path, old: str, new: str, said: str
) -> None:
    rewrite(file, "[paths]", '[paths]\nagents = ["/srv/ocf"]')
    rewrite(file, old, new)
    before = running.in_force
    with pytest.raises(SettingsError) as caught:
        await running.reload()
    assert running.in_force == before
    assert said in refusal(caught.value)
    assert "Nothing has changed" in refusal(caught.value)


async def test_a_file_or_a_key_that_is_gone_changes_nothing(
    running: SettingsFile, file: Path, tmp_path: Path
) -> None:
    os.unlink(tmp_path / "authkey")
    with pytest.raises(KeyFileError, match="authkey"):
        await running.reload()
    os.unlink(file)
    with pytest.raises(SettingsError, match=r"vipcast\.toml"):
        await running.reload()
