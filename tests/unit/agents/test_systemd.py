"""What a unit's states mean, and that a host without systemd says so."""

from __future__ import annotations

import pytest

from agents import systemd
from agents.metadata import parse
from agents.ocf import ExitCode
from agents.systemd import UnitNameError, UnitState, cannot_be_used, state_of, unit_of, verdict


@pytest.mark.parametrize(
    ("agent", "unit"),
    [
        ("systemd:nginx", "nginx.service"),
        ("systemd:nginx.service", "nginx.service"),
        ("systemd:data.mount", "data.mount"),
        ("systemd:php8.2-fpm", "php8.2-fpm.service"),
        ("systemd:openvpn@office", "openvpn@office.service"),
        (r"systemd:dev-disk\x2dby", r"dev-disk\x2dby.service"),
    ],
)
def test_a_unit_is_a_service_unless_its_name_says_otherwise(agent: str, unit: str) -> None:
    assert unit_of(agent) == unit


@pytest.mark.parametrize(
    "name", ["", "-x", ".x", "a b", "a/b", "a;b", "a\n", "ü", "openvpn@", "x@.service", "x" * 300]
)
def test_what_is_no_unit_is_refused_with_what_to_write(name: str) -> None:
    with pytest.raises(UnitNameError, match=r"systemd unit; write|instance"):
        unit_of(f"systemd:{name}")


def loaded(active: str, sub: str = "", result: str = "success") -> UnitState:
    return UnitState("loaded", active, sub, result)


def test_properties_are_read_in_any_order_with_others_between() -> None:
    shown = "Result=exit-code\nLoadState=loaded\nDescription=a=b\nSubState=failed\nActiveState=failed\n"
    assert state_of(shown) == UnitState("loaded", "failed", "failed", "exit-code")
    assert state_of("nonsense") == UnitState("", "")


@pytest.mark.parametrize(
    ("operation", "active", "expected"),
    [
        ("monitor", "active", ExitCode.OK),
        ("monitor", "reloading", ExitCode.OK),
        ("monitor", "inactive", ExitCode.NOT_RUNNING),
        ("monitor", "failed", ExitCode.NOT_RUNNING),
        ("monitor", "maintenance", ExitCode.ERROR),
        ("status", "active", ExitCode.OK),
        ("start", "active", ExitCode.OK),
        ("start", "inactive", ExitCode.ERROR),
        ("start", "failed", ExitCode.ERROR),
        ("stop", "inactive", ExitCode.OK),
        ("stop", "failed", ExitCode.OK),
        ("stop", "active", ExitCode.ERROR),
    ],
)
def test_what_a_state_means_for_an_operation(operation: str, active: str, expected: ExitCode) -> None:
    assert verdict("x.service", operation, loaded(active)).exit_code == expected


def test_a_failure_is_told_with_its_result() -> None:
    outcome = verdict("x.service", "start", loaded("failed", "failed", "exit-code"))
    assert outcome.reason == "x.service did not start: it is failed, result exit-code"


@pytest.mark.parametrize("active", ["activating", "deactivating"])
def test_what_is_on_its_way_is_waited_for(active: str) -> None:
    assert not loaded(active).is_settled


@pytest.mark.parametrize(
    ("load", "said"),
    [("not-found", "is not installed"), ("masked", "unmask"), ("bad-setting", "verify"), ("", "load")],
)
def test_a_unit_that_cannot_be_used_is_not_installed_and_says_why(load: str, said: str) -> None:
    outcome = cannot_be_used("x.service", UnitState(load, "inactive"))
    assert outcome is not None
    assert (outcome.exit_code, outcome.status) == (ExitCode.NOT_INSTALLED, "not-installed")
    assert said in outcome.reason
    assert cannot_be_used("x.service", loaded("inactive")) is None


def test_a_unit_whose_file_is_gone_while_it_runs_can_be_stopped() -> None:
    assert cannot_be_used("x.service", UnitState("not-found", "active")) is None


def test_its_meta_data_is_as_an_agents() -> None:
    described = parse(systemd.metadata("a&b.service"))
    assert described.parameters == ()
    assert {(action.name, action.timeout) for action in described.actions} >= {("start", "100s"), ("stop", "100s")}


async def test_a_host_whose_service_manager_is_another_says_so() -> None:
    """Where the tests run under a real systemd, its own unit is there instead."""
    outcome = await systemd.run("systemd:vipcast-no-such-unit", "monitor", 10)
    assert (outcome.exit_code, outcome.status) == (ExitCode.NOT_INSTALLED, "not-installed")
    said = "is not installed on this host" if systemd.is_booted() else "systemd is not the service manager"
    assert said in outcome.reason


async def test_a_wrong_name_is_a_wrong_configuration() -> None:
    outcome = await systemd.run("systemd:a b", "start", 10)
    assert (outcome.exit_code, outcome.status) == (ExitCode.NOT_CONFIGURED, "error")
