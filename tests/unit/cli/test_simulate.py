"""`simulate` and `explain` on a living cluster and on files: what a person reads, and what programs get."""

from __future__ import annotations

import pytest

from tests.unit.cli.conftest import Shell
from tests.unit.cli.test_reading import SHARED


@pytest.fixture
def site(shell: Shell) -> Shell:
    """VIP in four slots, web with each of them, db on a2."""
    for line in (
        SHARED,
        "resource create web ocf:heartbeat:apache",
        "resource clone web",
        "constraint colocation add web-clone with VIP-clone",
        "constraint order VIP-clone then web-clone",
        "resource create db ocf:pacemaker:Dummy --force",
        "constraint location db prefers a2=50",
    ):
        shell.done(line)
    shell.cluster.on_loop(shell.cluster.backend.play)
    return shell


def test_a_cluster_at_rest_has_nothing_to_do(site: Shell) -> None:
    assert site.done("simulate") == [
        "Placement now -> after the transition:",
        "  VIP:0: a1",
        "  VIP:1: a2",
        "  VIP:2: a3",
        "  VIP:3: a4",
        "  db: a2",
        "  web: a1, a2, a3, a4",
        "",
        "Transition: nothing to do",
    ]


def test_what_if_a_node_fails(site: Shell) -> None:
    assert site.done("simulate --node-fail a2") == [
        "What if a2 fails?",
        "",
        "Placement now -> after the transition:",
        "  VIP:0: a1",
        "  VIP:1: a2 -> a1",
        "  VIP:2: a3",
        "  VIP:3: a4",
        "  db: a2 -> a3",
        "  web: a1, a2, a3, a4 -> a1, a3, a4",
        "",
        "Transition, 1 action:",
        "  1. start db on a3    (it runs nowhere)",
        "  slots VIP:1 to a1, at once",
        "",
        "Why:",
        "  VIP:1: is given to a1: the share of each host follows its weight",
        "    not a2: the host is offline",
        "  db: goes to a3 with score 0",
        "    not a2: the host is offline",
        "  web: not a2: the host is offline",
    ]


def test_what_if_shows_what_each_step_waits_for(site: Shell) -> None:
    lines = site.done("simulate --node-standby a1,a3")
    assert lines[:2] == ["What if a1 is put in standby?", "    and a3 is put in standby?"]
    assert [" ".join(line.split()) for line in lines[lines.index("Transition, 4 actions:") + 1 :][:6]] == [
        "1. release slots of VIP on a1 (slots 0 move away first)",
        "2. release slots of VIP on a3 (slots 2 move away first)",
        "3. stop web on a1 after 1 (a1 is in standby)",
        "4. stop web on a3 after 2 (a3 is in standby)",
        "slots VIP:0 to a2, drained by a1 first",
        "slots VIP:2 to a4, drained by a3 first",
    ]


def test_events_happen_in_the_order_in_which_they_were_typed(site: Shell) -> None:
    there_and_back = site("simulate --json --node-fail a2 --node-up a2").json
    assert there_and_back["placement"]["db"] == ["a2"]
    assert there_and_back["supposed"] == ["a2 fails", "a2 comes online"]
    assert site("simulate --json --node-up a2 --node-fail a2").json["placement"]["db"] == ["a3"]


def test_nothing_is_changed_by_supposing(site: Shell) -> None:
    before = site.cluster.backend.state.digest()
    site.done("simulate --node-fail a1 --set stop-all-resources=true --op-fail db:start:a2")
    assert site.cluster.backend.state.digest() == before


def test_programs_get_the_two_keys_and_with_what_if_all_that_led_there(site: Shell) -> None:
    plain = site("simulate --json").json
    assert set(plain) == {"placement", "promoted"}
    assert plain["placement"]["VIP:3"] == ["a4"]
    document = site("simulate --json --op-fail db:monitor:a2:7 --set db:migration-threshold=1").json
    assert document["current"]["placement"]["db"] == ["a2"]
    assert document["placement"]["db"] != ["a2"]
    assert [(step["operation"], step["node"], step["waits_for"]) for step in document["transition"]] == [
        ("stop", "a2", []),
        ("start", document["placement"]["db"][0], [1]),
    ]
    assert {reason["instance"] for reason in document["reasons"]} >= {"db", "web", "VIP:0"}


def test_settings_of_the_cluster_of_resources_and_of_nodes_can_be_supposed(site: Shell) -> None:
    def placed(words: str) -> list[str]:
        found: list[str] = site(f"simulate --json {words}").json["placement"]["db"]
        return found

    assert placed("--set stop-all-resources=true") == []
    assert placed("--set db:target-role=Stopped") == []
    assert placed("--set resource/db:target-role=Stopped") == []
    assert placed("--set a2:standby=on") == ["a3"]
    assert placed("--set node/a2:standby=on") == ["a3"]


@pytest.mark.parametrize(
    ("line", "said", "code"),
    [
        ("simulate --node-fail a9", "there is no node 'a9', nodes are a1, a2, a3, a4", 1),
        ("simulate --op-fail db:montor:a2", "write INSTANCE:OPERATION:NODE[:CODE]", 2),
        ("simulate --op-fail db:monitor:a2:0", "exit code 0 is no failure", 1),
        ("simulate --op-fail bd:monitor:a2", "there is no resource 'bd', primitives are VIP, web, db", 1),
        ("simulate --set db", "write NAME=VALUE", 2),
        ("simulate --set node/x=1", "write node/ID:NAME=VALUE", 2),
        ("simulate --set db:target-roll=Stopped", "did you mean 'target-role'", 1),
        ("simulate --set bd:target-role=Stopped", "bd", 1),
        ("simulate --set stop-all-resorces=1", "did you mean 'stop-all-resources'", 1),
        ("simulate --dot --json", "choose one of --dot and --json", 2),
        ("simulate --transition", "--transition goes with --json", 2),
        ("explain bd", "'bd' is no resource that the plan knows", 1),
    ],
)
def test_what_makes_no_sense_is_named(site: Shell, line: str, said: str, code: int) -> None:
    assert said in site.refused(line, code)


def test_the_transition_can_be_drawn(site: Shell) -> None:
    lines = site.done("simulate --dot --op-fail db:monitor:a2:7")
    assert lines[0] == "digraph transition {"
    assert '  "db_stop_0@a2" -> "db_start_0@a2";' in lines


def test_a_resource_and_a_node_of_one_name_are_told_apart(site: Shell) -> None:
    site.done("resource create a3 ocf:pacemaker:Dummy --force")
    assert "write resource/a3:target-role=Stopped or node/a3" in site.refused(
        "simulate --set a3:target-role=Stopped", 2
    )
    assert site("simulate --json --set resource/a3:target-role=Stopped").json["placement"]["a3"] == []


# ---- explain


def test_each_host_is_explained_with_what_its_score_is_made_of(site: Shell) -> None:
    assert site.done("explain db") == [
        "db: a2, stays on a2 with score 50",
        "  a2  chosen",
        "      50  location-db-a2-50: db on a2 (score:50)",
        "  a1  not chosen: score 0 is below 50",
        "  a3  not chosen: score 0 is below 50",
        "  a4  not chosen: score 0 is below 50",
    ]


def test_one_host_can_be_asked_for(site: Shell) -> None:
    site.done("node standby a2")
    assert site.done("explain VIP:1 a2")[1:] == ["  a2  not chosen: the host is in standby"]


def test_scores_are_explained_in_words(site: Shell) -> None:
    parts = site("explain web --json").json["explanations"][0]["scores"]["a1"]
    assert parts == [
        {
            "origin": "resource-stickiness",
            "score": 1,
            "what": "what runs stays where it is unless more speaks for another host",
        }
    ]


def test_a_file_can_be_explained_offline(site: Shell) -> None:
    site.done("cluster cib plan_cfg")
    assert site.done("explain db --cib plan_cfg")[0] == (
        "db: nowhere, fencing is on (stonith-enabled) without a device: nothing is started, stopped or moved"
    )
    assert site.refused("explain bd --cib plan_cfg").startswith("Error: 'bd' is no resource")
    assert "there is no node 'a9'" in site.refused("explain db a9 --cib plan_cfg")


def test_the_transition_as_data_without_any_what_if(site: Shell) -> None:
    plain = site("simulate --json").json
    whole = site("simulate --json --transition").json
    assert plain.keys() == {"placement", "promoted"}
    assert whole["placement"] == plain["placement"]
    assert whole["supposed"] == []
    assert {"transition", "reasons", "findings", "current"} <= whole.keys()
