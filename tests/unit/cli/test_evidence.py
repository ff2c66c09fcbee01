"""What happened and who did it: `cluster log`, `cluster history`, `status --at`."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from daemon.cluster.records import Admit, Lost
from daemon.state.commands import Cleanup, Edit
from daemon.state.state import State
from tests.unit.cli.conftest import Shell
from tests.unit.control.living import STAMP_MS

VIP = (
    "resource create VIP ocf:heartbeat:IPaddr2 ip=192.168.110.120 cidr_netmask=24 "
    "clone clone-max=4 clone-node-max=4 globally-unique=true"
)


def newest(shell: Shell) -> int:
    return len(shell.cluster.backend.entries)


def time_of(index: int) -> str:
    """When an entry was stamped, as an option takes it."""
    return datetime.fromtimestamp((STAMP_MS + index - 1) / 1000, UTC).isoformat()


def busy(shell: Shell) -> int:
    """An address that four hosts serve, one of which is lost after the index that is returned."""
    shell.done(VIP)
    before = newest(shell)
    shell.cluster.on_loop(lambda: shell.cluster.backend.append(Lost("a4")))
    shell.done("property set no-quorum-policy=freeze")
    return before


# ---- cluster log


def test_the_log_says_who_was_lost_and_who_took_its_slots_under_which_epoch(shell: Shell) -> None:
    before = busy(shell)
    (line,) = shell.done(f"cluster log --since {before + 1} -n 1")
    index, _day, _time, epoch, text = line.split(maxsplit=4)
    assert (index, epoch) == (str(before + 1), "5")
    assert text.startswith("a4 is lost: what it held is free; ")
    assert " takes slot " in text
    assert text.endswith("of VIP")


def test_the_log_says_which_edit_was_refused_and_why(shell: Shell) -> None:
    shell.done(VIP)
    backend = shell.cluster.backend
    shell.cluster.on_loop(lambda: backend.request(Edit(1, b"{}", "eve", "an old file")))
    line = shell.done("cluster log -n 1")[0]
    assert "eve on a1 changed the configuration: an old file [refused: the configuration has changed" in line


def test_since_a_time_shows_everything_from_then_on(shell: Shell) -> None:
    before = busy(shell)
    lines = shell.done(f"cluster log --since {time_of(before + 1)}")
    assert [int(line.split()[0]) for line in lines] == list(range(before + 1, newest(shell) + 1))
    assert shell.done("cluster log --since 1min") == []


@pytest.mark.parametrize("text", ["yesterday", "-5", "25:00", "10parsecs", "9" * 30])
def test_what_is_no_place_in_the_log_is_refused_with_the_forms(shell: Shell, text: str) -> None:
    assert "the number of an entry, a time" in shell.refused(f"cluster log --since={text}", code=2)


def test_entries_that_this_node_has_not_applied_itself_are_told_without_what_became_of_them(shell: Shell) -> None:
    busy(shell)
    shell.cluster.backend.chronicle._lines.clear()
    line = shell.done("cluster log --since 5 -n 1")[0]
    assert line.split()[3] == "-"
    assert "resource create VIP" in line


# ---- cluster history


def test_the_history_says_who_changed_what_by_which_command(shell: Shell) -> None:
    busy(shell)
    first, second = shell.done("cluster history")
    assert "resource create VIP" in first
    assert "[clone VIP-clone of VIP created with clone-max=4" in first
    assert "no-quorum-policy" in second.rpartition("[")[2]
    assert int(second.split()[0]) == shell.cluster.backend.state.configuration_epoch


def test_the_history_leaves_out_edits_that_were_refused_or_repeated(shell: Shell) -> None:
    shell.done(VIP)
    backend = shell.cluster.backend
    shell.cluster.on_loop(lambda: backend.request(Edit(1, b"{}", "eve", "an old file")))
    shell.cluster.on_loop(lambda: backend.append(backend.entries[4].command))
    shell.cluster.on_loop(lambda: backend.request(Cleanup(None, None, "eve")))
    (line,) = shell.done("cluster history")
    assert line.split()[0] == "5"


def test_the_history_goes_on_after_an_edit_that_only_the_state_could_refuse(shell: Shell) -> None:
    shell.done(VIP)
    refused = shell("property set tie-breaker=zz")
    assert refused.code == 1
    assert "there is no node 'zz'" in refused.stderr
    shell.done("property set tie-breaker=a2")
    shell.done("property set no-quorum-policy=freeze")
    _, breaker, policy = shell.done("cluster history")
    assert "vipcast property set tie-breaker=a2" in breaker
    assert "vipcast property set no-quorum-policy=freeze" in policy


def test_the_history_can_be_shortened_and_read_by_programs(shell: Shell) -> None:
    busy(shell)
    (only,) = shell("cluster history -n 1 --json").json
    assert only["comment"] == "vipcast property set no-quorum-policy=freeze --socket " + str(shell.cluster.path)
    assert only["changes"] == ["cluster property no-quorum-policy set to freeze"]
    assert len(shell.done("cluster history --since 6")) == 1


def test_an_empty_history_says_so(shell: Shell) -> None:
    assert shell.done("cluster history") == ["No edit of the configuration is known"]


def test_where_the_log_was_cut_the_history_knows_who_and_how_but_not_what_has_changed(shell: Shell) -> None:
    before = busy(shell)
    shell.cluster.on_loop(lambda: shell.cluster.backend.cut(before))
    ran = shell("cluster history")
    older, newer = ran.lines
    assert "root on a1: vipcast resource create VIP" in older
    assert "[" not in older
    assert newer.endswith("[cluster property no-quorum-policy set to freeze]")
    assert f"Of edits before entry {before + 1} only author and command are kept" in ran.stderr
    (told,) = shell("cluster history -n 1 --since 1 --json").json
    assert told["changes"] == ["cluster property no-quorum-policy set to freeze"]


# ---- status --at


def test_the_status_is_shown_as_it_was_after_an_entry(shell: Shell) -> None:
    before = busy(shell)
    then, after = shell.done(f"status --at {before}"), shell.done(f"status --at {before + 1}")
    assert "Online: [ a1 a2 a3 a4 ]" in then
    assert "Online: [ a1 a2 a3 ]" in after
    assert "OFFLINE: [ a4 ]" in after
    assert any("a4 is lost" in line for line in after)


@pytest.mark.parametrize("cut", [False, True])
def test_a_replay_ends_in_the_very_state_that_the_daemon_has(shell: Shell, cut: bool) -> None:
    before = busy(shell)
    if cut:
        shell.cluster.on_loop(lambda: shell.cluster.backend.cut(before))
    now, then = shell("status --json").json, shell(f"status --at {newest(shell)} --json").json
    for part in ("resources", "failed_actions", "pending_actions", "epoch", "applied_index"):
        assert then[part] == now[part], part
    assert [a["slots"] for a in then["addresses"]] == [a["slots"] for a in now["addresses"]]
    assert [node["online"] for node in then["nodes"]] == [node["online"] for node in now["nodes"]]


def test_a_time_means_the_state_as_it_was_then(shell: Shell) -> None:
    before = busy(shell)
    assert shell(f"status --at {time_of(before)} --json").json["applied_index"] == before
    assert shell("status --at 1s --json").json["applied_index"] == newest(shell)
    assert shell("status --at 2001-01-01 --json").json["applied_index"] == 0


def test_what_lies_before_the_oldest_kept_entry_is_refused_and_the_oldest_named(shell: Shell) -> None:
    before = busy(shell)
    shell.cluster.on_loop(lambda: shell.cluster.backend.cut(before))
    for at in (str(before - 1), time_of(before - 1)):
        said = shell.refused(f"status --at {at}")
        assert f"the log here begins with entry {before + 1} of 20" in said
    assert shell.done(f"status --at {before}")


def test_an_entry_that_is_still_to_come_is_refused_with_the_newest(shell: Shell) -> None:
    assert "there is no entry 4000 yet: the newest is 4" in shell.refused("status --at 4000")


def test_many_entries_are_fetched_page_by_page(shell: Shell) -> None:
    backend = shell.cluster.backend

    def many() -> None:
        for number in range(1_100):
            backend.append(Admit("a1", 1 + number % 2, "boot"))

    shell.cluster.on_loop(many)
    ran = shell(f"status --at {newest(shell)} --json")
    assert ran.json["applied_index"] == newest(shell)
    assert "Applying 1104 entries" in ran.stderr


def test_a_kept_state_of_another_version_is_refused_by_its_name(shell: Shell) -> None:
    frozen = State(("a1",)).freeze().replace(b"state 1", b"state 9", 1)
    backend = shell.cluster.backend
    backend.snapshots.append((2, frozen))
    backend.first_index = 3
    assert "'vipcast state 9'" in shell.refused("cluster history")
    assert "'vipcast state 9'" in shell.refused("status --at 3")
