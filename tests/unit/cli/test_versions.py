"""`vipcast diff` and `vipcast rollback`: from the log to a configuration, and back."""

from __future__ import annotations

import json

from tests.unit.cli.conftest import Shell
from tests.unit.cli.test_evidence import VIP, newest, time_of


def three_versions(shell: Shell) -> tuple[int, int, int]:
    """Indexes of three edits: an address, a property, a second resource."""
    made = []
    for line in (VIP, "property set maintenance-mode=true", "resource create web ocf:heartbeat:apache"):
        shell.done(line)
        made.append(shell.cluster.backend.state.configuration_epoch)
    return made[0], made[1], made[2]


def test_a_diff_shows_what_came_since_as_pcs_config_would(shell: Shell) -> None:
    first, second, _ = three_versions(shell)
    lines = shell.done(f"diff {second}")
    assert lines[:2] == [f"--- entry {second}", "+++ now"]
    assert ["+", "Resource:", "web", "(class=ocf", "provider=heartbeat", "type=apache)"] in [
        line.split() for line in lines
    ]
    assert not any("maintenance-mode" in line for line in lines if line[0] in "+-")
    between = shell.done(f"diff {first} {second}")
    assert [line for line in between if line[:1] == "+" and "maintenance-mode" in line]


def test_a_diff_for_programs_has_sentences(shell: Shell) -> None:
    first, second, _ = three_versions(shell)
    told = json.loads("\n".join(shell.done(f"diff {first} {second} --json")))
    assert (told["from"], told["to"]) == (first, second)
    assert [change for change in told["changes"] if "maintenance-mode" in change]


def test_nothing_changed_is_no_line_at_all(shell: Shell) -> None:
    _, _, third = three_versions(shell)
    assert shell.done(f"diff {third}") == []


def test_a_rollback_is_one_more_edit_that_everybody_can_read(shell: Shell) -> None:
    first, _, third = three_versions(shell)
    before = json.loads("\n".join(shell.done("config --json")))
    told = shell.done(f"rollback {first}")
    assert [line for line in told if "web" in line]
    assert shell.done(f"diff {first}") == []
    assert "rollback" in shell.done("history -n 1")[0]
    shell.done(f"rollback {third}")
    assert json.loads("\n".join(shell.done("config --json"))) == before


def test_a_rollback_by_the_clock_finds_the_version_of_that_time(shell: Shell) -> None:
    first, second, _ = three_versions(shell)
    shell.done(f"rollback {time_of(second - 1)}")
    assert shell.done(f"diff {first}") == []


def test_a_rollback_to_what_is_there_says_so_and_changes_nothing(shell: Shell) -> None:
    *_, third = three_versions(shell)
    entries = newest(shell)
    ran = shell(f"rollback {third}")
    assert (ran.code, ran.stdout) == (0, "")
    assert "nothing has changed" in ran.stderr
    assert newest(shell) == entries


def test_a_place_that_is_none_is_refused_by_name(shell: Shell) -> None:
    three_versions(shell)
    assert "not 'yesterday'" in shell.refused("diff yesterday", code=2)
    assert "the newest is" in shell.refused(f"rollback {newest(shell) + 5}")


def test_what_the_log_has_forgotten_is_told_with_where_it_begins(shell: Shell) -> None:
    first, second, _ = three_versions(shell)
    shell.cluster.on_loop(lambda: shell.cluster.backend.cut(second))
    assert "the log here begins with" in shell.refused(f"rollback {first}")
    assert shell.done(f"diff {second}")
