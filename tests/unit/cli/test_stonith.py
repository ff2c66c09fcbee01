"""Fencing devices and the word of a person, as an administrator types them."""

from __future__ import annotations

from tests.unit.cli.conftest import Shell


def test_a_device_is_created_with_one_monitor_and_options_that_its_agent_does_not_know(shell: Shell) -> None:
    ran = shell("stonith create f fence_apc ip=10.0.0.9 username=root pcmk_host_list=a2 pcmk_delay_base=5s")
    assert ran.code == 0, ran
    assert "4 voters" in ran.stderr
    configuration = shell.cluster.backend.state.configuration
    (device,) = configuration.walk()
    assert device.id == "f"
    told = "\n".join(shell.done("stonith config f"))
    assert "class=stonith type=fence_apc" in told
    assert "pcmk_host_list=a2" in told
    assert told.count("interval=") == 1
    shell.done("stonith delete f")
    assert not list(shell.cluster.backend.state.configuration.walk())


def test_an_option_that_neither_agent_nor_cluster_knows_is_refused(shell: Shell) -> None:
    assert "invalid resource option 'colour'" in shell.refused("stonith create f fence_apc ip=1 colour=red")
    assert "required resource option 'ip' is missing" in shell.refused(
        "stonith create f fence_apc pcmk_host_list=a2"
    )


def test_what_is_no_fence_agent_is_refused(shell: Shell) -> None:
    assert "their names begin with fence_" in shell.refused("stonith create f ocf:heartbeat:apache")


def test_a_device_that_names_no_host_is_warned_of(shell: Shell) -> None:
    assert "names no hosts, so it is not used" in shell("stonith create f fence_apc ip=1").stderr


def test_nobody_is_confirmed_without_being_asked(shell: Shell) -> None:
    told = shell.refused("stonith confirm a2")
    assert "WARNING: If node 'a2' is not powered off" in told
    assert "--force" in told
    assert shell.cluster.backend.confirmed == []


def test_a_refusal_of_the_daemon_is_told(shell: Shell) -> None:
    assert "the cluster has 4 voters" in shell.refused("stonith confirm a2 --force")
    assert "there is no node 'a9'" in shell.refused("stonith confirm a9 --force")


def test_a_word_is_taken_with_the_name_of_who_gave_it(shell: Shell) -> None:
    shell.cluster.backend.members = ("a1", "a2")
    assert shell.done("stonith confirm a2 --force") == ["Node: a2 confirmed fenced"]
    ((node, author),) = shell.cluster.backend.confirmed
    assert (node, bool(author)) == ("a2", True)
    assert shell("stonith confirm a2 --force --json").json["node"] == "a2"
