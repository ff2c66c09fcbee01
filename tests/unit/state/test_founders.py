"""Who joins later begins with nothing but the log, and comes to the same state as those who founded the cluster."""

from __future__ import annotations

import msgspec

from daemon.cluster.records import Admit, Command, LogEntry, Member, Noop, Request, Roster
from daemon.model.configuration import Clone, Configuration, Primitive
from daemon.state.commands import Edit
from daemon.state.state import State

WEB = Clone(id="web-clone", child=Primitive(id="web", standard="ocf", provider="heartbeat", type="apache"))
EDIT = Edit(None, Configuration(resources=(WEB,)).model_dump_json().encode(), "root", "")
LIFE: tuple[Command, ...] = (
    Noop(("a1",)),
    Admit("a1", 5, "boot", "store"),
    Request("a1", 5, 1, msgspec.msgpack.encode(EDIT)),
    Roster((Member("a1", "store", True), Member("a2", "other", False)), why="a2 joins as a learner"),
    Admit("a2", 6, "boot of a2", "other"),
)


def test_the_founding_list_is_in_the_log_so_that_a_joiner_s_state_is_the_founder_s_after_each_entry() -> None:
    founder, joiner, mistaken = State(("a1",)), State(()), State(("a1", "a9"))
    for index, command in enumerate(LIFE, 1):
        entry = LogEntry(index, 1, 1000 + index, command)
        outcomes = [state.apply(entry) for state in (founder, joiner, mistaken)]
        assert len({outcome.sentence for outcome in outcomes}) == 1
        assert founder.freeze() == joiner.freeze() == mistaken.freeze(), command
        assert founder.digest() == joiner.digest()
    assert founder.members == ("a1", "a2")


def test_a_log_of_a_version_that_wrote_no_founding_list_goes_by_the_settings() -> None:
    state = State(("a1", "a2"))
    state.apply(LogEntry(1, 1, 1000, Noop()))
    assert state.members == ("a1", "a2")
