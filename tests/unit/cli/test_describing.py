"""Agents are asked what they know before a resource of them is made or changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.cli.layout.configuration import values_of
from daemon.control.backend import AgentNotAsked
from daemon.model.configuration import Configuration, Primitive
from tests.unit.cli.conftest import Shell
from tests.unit.cli.console import vipcast

ROCKET = "resource create r ocf:acme:rocket"


def rocket(shell: Shell) -> Primitive:
    configuration: Configuration = shell.cluster.backend.state.configuration
    found = configuration.find("r")
    assert isinstance(found, Primitive)
    return found


def test_an_option_that_the_agent_does_not_have_is_refused_with_those_that_it_has(shell: Shell) -> None:
    told = shell.refused(f"{ROCKET} pad=39A pda=1")
    assert "invalid resource option 'pda', allowed options are: 'fuel', 'pad', use --force to override" in told
    ran = shell(f"{ROCKET} pad=39A pda=1 --force")
    assert (ran.code, "Warning: invalid resource option 'pda'" in ran.stderr) == (0, True)
    assert values_of(rocket(shell).instance) == {"pad": "39A", "pda": "1"}


def test_a_required_option_must_be_there_unless_it_has_a_default(shell: Shell) -> None:
    told = shell.refused(ROCKET)
    assert "required resource option 'pad' is missing, use --force to override" in told
    assert "fuel" not in told
    assert shell(f"{ROCKET} --force").code == 0


def test_every_wrong_option_is_told_at_once(shell: Shell) -> None:
    told = shell.refused(f"{ROCKET} a=1 b=2")
    assert [word in told for word in ("'a'", "'b'", "'pad' is missing")] == [True] * 3


def test_the_shell_librarys_options_are_every_agents(shell: Shell) -> None:
    shell.done(f"{ROCKET} pad=39A trace_ra=1")


def test_an_update_is_checked_in_the_same_way(shell: Shell) -> None:
    shell.done(f"{ROCKET} pad=39A")
    assert "invalid resource option 'pda'" in shell.refused("resource update r pda=1")
    assert "required resource option 'pad' is missing" in shell.refused("resource update r pad=")
    shell.done("resource update r pad=39B fuel=methane")
    shell.done("resource update r fuel=")
    assert values_of(rocket(shell).instance) == {"pad": "39B"}


def test_an_option_that_was_forced_can_be_taken_away(shell: Shell) -> None:
    assert shell(f"{ROCKET} pad=39A pda=1 --force").code == 0
    shell.done("resource update r pda=")
    assert values_of(rocket(shell).instance) == {"pad": "39A"}


def test_operations_are_as_the_agent_advises(shell: Shell) -> None:
    shell.done(f"{ROCKET} pad=39A op start timeout=5s")
    told = [(op.name, op.interval, op.timeout, op.options.get("role")) for op in rocket(shell).operations]
    assert told == [
        ("monitor", "30s", "15s", None),
        ("monitor", "31s", "25s", "Promoted"),
        ("start", "0s", "5s", None),
        ("stop", "0s", "70s", None),
    ]


def test_an_agent_that_nobody_could_ask_is_created_with_a_warning(shell: Shell) -> None:
    shell.cluster.backend.agents["ocf:heartbeat:apache"] = AgentNotAsked("the runner sleeps")
    ran = shell("resource create web ocf:heartbeat:apache anything=1")
    assert ran.code == 0
    assert "Warning: agent 'ocf:heartbeat:apache' could not be checked: the runner sleeps" in ran.stderr


def test_without_a_daemon_a_file_is_edited_with_a_warning(shell: Shell, tmp_path: Path) -> None:
    shell.done("cluster cib it_cfg")
    nobody = ("--socket", str(tmp_path / "nobody.sock"))
    file = ("-f", str(tmp_path / "it_cfg"))
    ran = vipcast(*file, *nobody, "resource", "create", "web", "ocf:heartbeat:apache")
    assert ran.code == 0
    assert "Warning: agent 'ocf:heartbeat:apache' could not be checked: vipcastd does not answer" in ran.stderr
    ran = vipcast(*file, *nobody, "resource", "create", "VIP", "ocf:heartbeat:IPaddr2", "ip=10.0.0.1")
    assert (ran.code, ran.stderr) == (0, "")


def test_a_file_is_checked_as_well_where_a_daemon_is(shell: Shell) -> None:
    shell.done("cluster cib it_cfg")
    assert "'pad' is missing" in shell.refused(f"-f it_cfg {ROCKET}")


@pytest.mark.parametrize("name", ["ocf:acme:rocket", "rocket"])
def test_an_agent_is_described(shell: Shell, name: str) -> None:
    (shell.folder / "ocf/resource.d/acme").mkdir(parents=True)
    agent = shell.folder / "ocf/resource.d/acme/rocket"
    agent.write_text("#!/bin/sh\n")
    agent.chmod(0o755)
    environment = {"OCF_ROOT": str(shell.folder / "ocf")}
    ran = vipcast("resource", "describe", name, "--socket", str(shell.cluster.path), environment=environment)
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.lines == [
        "ocf:acme:rocket - Launches",
        "",
        "Resource options:",
        "  fuel (required)",
        "    Default: kerosene",
        "  pad (required)",
        "",
        "Default operations:",
        "  monitor: interval=30s timeout=15s",
        "  monitor: interval=31s timeout=25s OCF_CHECK_LEVEL=10 role=Promoted",
        "  start: interval=0s timeout=90s",
        "  stop: interval=0s timeout=70s",
    ]


def test_an_agent_that_is_not_there_cannot_be_described(shell: Shell) -> None:
    assert "'ocf:nowhere:nothing' is not installed" in shell.refused("resource describe ocf:nowhere:nothing")


def test_the_native_agent_is_described_by_the_daemon_that_has_it(shell: Shell) -> None:
    document = shell("resource describe ocf:acme:rocket --json").json
    assert [one["name"] for one in document["parameters"]] == ["pad", "fuel"]
