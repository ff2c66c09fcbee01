"""Entries of the log as sentences."""

from __future__ import annotations

import msgspec
import pytest

from daemon.cluster.records import Admit, Command, LogEntry, Lost, Noop, Request
from daemon.control.narrate import narrate
from daemon.state.commands import Cleanup, Drain, Edit, Leave, Refresh, Result, Slots, StateCommand, Tick


def told(command: Command) -> tuple[str, str | None, str]:
    line = narrate(LogEntry(7, 3, 1_700_000_000_000, command))
    assert (line.index, line.term, line.stamp_ms) == (7, 3, 1_700_000_000_000)
    return line.kind, line.node, line.text


def asked(command: StateCommand) -> tuple[str, str | None, str]:
    return told(Request("a2", 1, 5, msgspec.msgpack.encode(command)))


RESULT = Result("a1", 1, "web", "start", 0, 1, "done", "it broke", 120, "")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (Noop(), ("noop", None, "a leader took office in term 3")),
        (Admit("a1", 4, "boot"), ("admit", "a1", "a1 takes part (incarnation 4)")),
        (Lost("a1"), ("lost", "a1", "a1 is lost: what it held is free")),
    ],
)
def test_what_the_cluster_itself_logs(command: Command, expected: tuple[str, str | None, str]) -> None:
    assert told(command) == expected


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            Edit(1, b"{}", "alice", "vipcast resource delete web"),
            ("edit", "a2", "alice on a2 changed the configuration: vipcast resource delete web"),
        ),
        (Edit(1, b"{}", "", ""), ("edit", "a2", "somebody on a2 changed the configuration: (no comment)")),
        (RESULT, ("result", "a1", "start of web on a1 ended: error: it broke")),
        (
            msgspec.structs.replace(RESULT, operation="monitor", interval_ms=10_000, status="timeout", reason=""),
            ("result", "a1", "monitor of web on a1 (every 10 s) ended: timeout"),
        ),
        (
            msgspec.structs.replace(RESULT, exit_code=199, reason=""),
            ("result", "a1", "start of web on a1 ended: exit code 199"),
        ),
        (
            msgspec.structs.replace(RESULT, operation="monitor", exit_code=7, reason=""),
            ("result", "a1", "probe of web on a1 found: not running"),
        ),
        (
            Slots("a1", 1, "VIP", "opened", {3: 9, 0: 9}),
            ("slots", "a1", "a1 opened slots 0, 3 of VIP"),
        ),
        (Slots("a1", 1, "VIP", "ready", {}), ("slots", "a1", "VIP is up on a1, its slots still closed")),
        (
            Slots("a1", 1, "VIP", "failed", {}, "no such interface"),
            ("slots", "a1", "VIP failed on a1: no such interface"),
        ),
        (Cleanup("web", None, "root"), ("cleanup", None, "root forgave failures of web on every node")),
        (Refresh(None, "a1", "root"), ("refresh", "a1", "root asked to probe every resource on a1 again")),
        (Drain("a1", None, None, True, "root"), ("drain", "a1", "root drains a1")),
        (Drain("a1", "VIP", None, True, "root"), ("drain", "a1", "root drains VIP on a1")),
        (Drain(None, "VIP", 2, True, "root"), ("drain", None, "root drains slot VIP:2")),
        (Drain(None, "VIP", None, False, "root"), ("drain", None, "root no longer drains VIP")),
        (Drain(None, None, None, False, "root"), ("drain", None, "root no longer drains everything")),
        (
            Slots("a1", 1, "VIP", "closed", {2: 9, 3: 9}, broken={3: 5}),
            (
                "slots",
                "a1",
                "a1 closed slots 2, 3 of VIP: the drain time-out was over, and 5 connections of 3 were broken",
            ),
        ),
        (Leave("a1", 3), ("leave", "a1", "a1 is about to stop, or silenced: its resources and slots go elsewhere")),
        (Tick(), ("tick", None, "time has passed that something waited for")),
    ],
)
def test_what_nodes_and_people_ask_for(command: StateCommand, expected: tuple[str, str | None, str]) -> None:
    assert asked(command) == expected


NO_TEXT = b"\x91\xad" + bytes(12) + b"\x80"
"""a tag that is no UTF-8: msgspec raises UnicodeDecodeError for it, which is none of its own errors"""


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x91\xa7unknown", msgspec.msgpack.encode(["edit"]), NO_TEXT])
def test_a_request_that_cannot_be_read_is_said_to_be_one(body: bytes) -> None:
    kind, node, text = told(Request("a2", 1, 5, body))
    assert (kind, node) == ("request", "a2")
    assert "cannot read" in text
