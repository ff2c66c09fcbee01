from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import ocf
from agents.ocf import Agent, AgentName, AgentNameError


def test_an_agent_is_named_as_pacemaker_names_it() -> None:
    assert AgentName.parse("ocf:heartbeat:apache") == AgentName("heartbeat", "apache")
    assert AgentName.parse("ocf::heartbeat:apache") == AgentName("heartbeat", "apache")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ocf",
        "ocf:heartbeat",
        "ocf:a:b:c",
        "ocf:../x:y",
        "ocf:a:.hidden",
        "ocf:a:b/c",
        "lsb:x",
        "ocf:a:b\n",
        "ocf::a",
    ],
)
def test_what_is_no_agents_name_is_refused(text: str) -> None:
    with pytest.raises(AgentNameError, match="agent '"):
        AgentName.parse(text)


def test_another_standard_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(AgentNameError, match="write ocf:PROVIDER:TYPE or systemd:UNIT"):
        AgentName.parse("lsb:nginx")


@given(st.text(max_size=30))
def test_no_name_leads_out_of_the_agents_folder(text: str) -> None:
    try:
        name = AgentName.parse(f"ocf:{text}")
    except AgentNameError:
        return
    (path, _) = ocf.candidates(name, [Path("/root")])
    assert path.resolve().is_relative_to("/root/resource.d")


def test_roots_are_searched_in_order_and_ours_last(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for root in (one, two):
        (root / "resource.d/acme").mkdir(parents=True)
    (two / "resource.d/acme/thing").touch()
    found = ocf.find(AgentName("acme", "thing"), [one, two])
    assert found is not None
    assert (found.path, found.root) == (two / "resource.d/acme/thing", two)
    (one / "resource.d/acme/thing").touch()
    found = ocf.find(AgentName("acme", "thing"), [one, two])
    assert found is not None
    assert found.root == one
    ours = ocf.find(AgentName("vipcast", "webserver"), [one, two])
    assert ours is not None
    assert ours.path.is_relative_to(ocf.BUNDLED_ROOT)
    assert ours.root == one, "lib/heartbeat is in the administrator's root"
    assert ocf.find(AgentName("acme", "missing"), [one]) is None


def test_what_was_not_found_says_where_it_was_looked_for() -> None:
    sentence = ocf.not_found(AgentName("acme", "x"), [Path("/usr/lib/ocf")])
    assert sentence.startswith("agent ocf:acme:x is not installed: searched /usr/lib/ocf/resource.d/acme/x, ")


def test_the_environment_is_what_the_standard_asks_for_and_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    agent = Agent(AgentName("heartbeat", "apache"), Path("/a"), Path("/usr/lib/ocf"))
    made = ocf.environment(agent, "web:1", {"configfile": "/x y"}, {"OCF_RESKEY_CRM_meta_timeout": "20000"})
    assert made["OCF_ROOT"] == "/usr/lib/ocf"
    assert made["OCF_RESOURCE_INSTANCE"] == "web:1"
    assert made["OCF_RESOURCE_TYPE"] == "apache"
    assert made["OCF_RESKEY_configfile"] == "/x y"
    assert made["OCF_RESKEY_CRM_meta_timeout"] == "20000"
    assert made["HA_RSCTMP"] == "/run/resource-agents"
    assert "SECRET" not in made


def test_parameters_that_cannot_be_an_environment_are_named() -> None:
    assert ocf.bad_parameters({"a=b": "x"}, {}) is not None
    assert ocf.bad_parameters({"a": "x\0y"}, {}) is not None
    assert ocf.bad_parameters({"a-b.c": "x\ny"}, {"OCF_RESKEY_CRM_meta_x": ""}) is None


def test_the_last_exit_reason_counts() -> None:
    said = "one\nocf-exit-reason:first\nocf-exit-reason: second \nbye\n\n"
    assert ocf.exit_reason(said) == "second"
    assert ocf.exit_reason("nothing") == ""
    assert ocf.last_words(said) == "bye"
