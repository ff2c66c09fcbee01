"""CIB files: written, pushed, outdated, broken, and raced for."""

from __future__ import annotations

import re

import pytest

from daemon.cli.editing import ATTEMPTS_MAX
from daemon.cli.sources import DaemonSource, Loaded
from daemon.model.cib import read_cib
from daemon.model.configuration import Primitive
from tests.unit.cli.conftest import Shell

WEB = "resource create web ocf:heartbeat:apache"
DB = "resource create db systemd:postgresql"


def test_a_cib_is_written_with_its_epoch_and_all_nodes(shell: Shell) -> None:
    shell.done(WEB)
    assert shell.done("cluster cib now_cfg") == []
    cib = read_cib((shell.folder / "now_cfg").read_bytes())
    assert cib.base_epoch == shell.cluster.backend.state.configuration_epoch
    assert [node.name for node in cib.configuration.nodes] == ["a1", "a2", "a3", "a4"]
    printed = shell("cluster cib")
    assert printed.stdout.encode() == (shell.folder / "now_cfg").read_bytes()
    assert shell("cluster cib -").stdout == printed.stdout


def test_a_push_of_an_outdated_file_is_refused_and_force_overwrites(shell: Shell) -> None:
    shell.done(WEB)
    shell.done("cluster cib old_cfg")
    shell.done("-f old_cfg resource delete web")
    shell.done(DB)
    told = shell.refused("cluster cib-push old_cfg")
    assert "was made from epoch" in told
    assert "has moved on and is at epoch" in told
    assert "--force" in told
    assert shell.done("cluster cib-push old_cfg --force") == ["CIB updated"]
    assert shell.cluster.backend.state.configuration.resources == ()


def test_a_file_that_was_pushed_is_outdated_from_then_on(shell: Shell) -> None:
    shell.done("cluster cib my_cfg")
    shell.done(f"-f my_cfg {WEB}")
    shell.done("cluster cib-push my_cfg --config")
    assert "moved on" in shell.refused("cluster cib-push my_cfg")


def test_the_log_tells_what_a_push_has_changed(shell: Shell) -> None:
    shell.done("cluster cib my_cfg")
    shell.done(f"-f my_cfg {WEB}")
    shell.done("-f my_cfg property set maintenance-mode=true")
    shell.done("cluster cib-push my_cfg")
    (newest,) = [e.text for e in shell.cluster.client.log().entries if e.kind == "edit"]
    assert "cib-push" in newest
    assert "cluster property maintenance-mode set to true" in newest
    assert "web" in newest


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "my_cfg is not a CIB that can be used"),
        (b"not xml", "my_cfg is not a CIB that can be used"),
        (b"<html/>", "its root element is <html>"),
        (b"<cib epoch='1'/>", "has no <configuration>"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><cib epoch='1'><configuration/></cib>", "not a CIB that can be used"),
        (
            b"<cib epoch='1'><configuration><crm_config/><nodes/><resources><primitiv id='x'/></resources>"
            b"<constraints/></configuration></cib>",
            "primitiv",
        ),
    ],
)
def test_a_broken_file_is_named_with_what_is_wrong(shell: Shell, content: bytes, told: str) -> None:
    (shell.folder / "my_cfg").write_bytes(content)
    for line in ("cluster cib-push my_cfg", "-f my_cfg resource", f"-f my_cfg {WEB}", "-f my_cfg constraint"):
        assert told in shell.refused(line)
    assert (shell.folder / "my_cfg").read_bytes() == content


def test_a_file_with_errors_in_its_meaning_is_refused_with_all_of_them(shell: Shell) -> None:
    shell.done(WEB)
    shell.done("cluster cib my_cfg")
    file = shell.folder / "my_cfg"
    broken = (
        '<constraints><rsc_order id="o1" first="web" then="gone"/>'
        '<rsc_colocation id="c1" rsc="web" with-rsc="gone2" score="INFINITY"/></constraints>'
    )
    text = re.sub("<constraints ?/>", broken, file.read_text())
    assert "gone2" in text
    file.write_text(text)
    told = shell.refused("cluster cib-push my_cfg")
    assert "gone" in told
    assert "gone2" in told
    verified = shell("-f my_cfg cluster verify")
    assert verified.code == 1
    assert "gone2" in verified.stdout


def test_a_valid_configuration_is_said_to_be_valid(shell: Shell) -> None:
    shell.done(WEB)
    ran = shell("cluster verify")
    assert ran.code == 0
    assert "rror" not in ran.stdout


def test_a_file_that_is_not_there_or_is_a_folder_is_named(shell: Shell) -> None:
    assert "cannot read" in shell.refused("cluster cib-push missing_cfg")
    assert "No such file" in shell.refused("-f missing_cfg resource")
    (shell.folder / "folder_cfg").mkdir()
    assert "Is a directory" in shell.refused("-f folder_cfg resource")
    assert "cannot write" in shell.refused("cluster cib folder_cfg/x/y_cfg")


def test_a_push_takes_no_other_scope_and_no_file_option(shell: Shell) -> None:
    shell.done("cluster cib my_cfg")
    assert "replaces the whole configuration" in shell.refused("cluster cib-push my_cfg diff-against=x")
    assert "leave out -f" in shell.refused("-f my_cfg cluster cib-push my_cfg")


def test_a_cib_of_a_file_is_the_file(shell: Shell) -> None:
    shell.done("cluster cib my_cfg")
    shell.done("-f my_cfg cluster cib copy_cfg")
    assert (shell.folder / "copy_cfg").read_bytes() == (shell.folder / "my_cfg").read_bytes()


class Rival:
    """Somebody who edits between our reading and our writing, a number of times."""

    def __init__(self, shell: Shell, times: int) -> None:
        self.shell = shell
        self.left = times
        load = DaemonSource.load

        def loading(source: DaemonSource) -> Loaded:
            loaded = load(source)
            if self.left > 0:
                self.left -= 1
                self._edit(load(source))
            return loaded

        self.loading = loading

    def _edit(self, loaded: Loaded) -> None:
        nginx = Primitive(id=f"rival{self.left}", standard="systemd", type="nginx")
        made = loaded.configuration.model_copy(update={"resources": (*loaded.configuration.resources, nginx)})
        DaemonSource(self.shell.cluster.client, {}).store(made, loaded.epoch, "rival")


def test_an_edit_that_loses_a_race_is_made_again_on_what_the_winner_wrote(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    rival = Rival(shell, 2)
    monkeypatch.setattr(DaemonSource, "load", rival.loading)
    shell.done(WEB)
    names = {resource.id for resource in shell.cluster.backend.state.configuration.resources}
    assert names == {"web", "rival0", "rival1"}


def test_an_edit_that_loses_every_race_gives_up_with_a_sentence(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    rival = Rival(shell, ATTEMPTS_MAX)
    monkeypatch.setattr(DaemonSource, "load", rival.loading)
    ran = shell(WEB)
    assert ran.code == 1
    assert f"somebody else changed the configuration {ATTEMPTS_MAX} times" in ran.stderr
    assert shell.cluster.backend.state.configuration.find("web") is None


def test_without_quorum_an_edit_is_refused_and_a_file_can_still_be_worked_on(shell: Shell) -> None:
    shell.cluster.backend.quorate = False
    assert "no quorum" in shell.refused(WEB)
    shell.done("cluster cib my_cfg")
    shell.done(f"-f my_cfg {WEB}")
    assert "no quorum" in shell.refused("cluster cib-push my_cfg")
