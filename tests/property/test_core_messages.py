"""Messages on the wire: what is encoded comes back, and no bytes do harm."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.cluster import messages
from daemon.cluster.core import Core, Saved
from daemon.cluster.timers import PROFILES
from tests.unit.cluster_core.node import INCARNATION, MEMBERS, NoChance

any_message = st.one_of(*(st.from_type(kind) for kind in messages.Message.__args__))


@settings(deadline=None)
@given(any_message)
def test_a_message_comes_back_from_the_wire_as_it_was(message: messages.Message) -> None:
    with contextlib.suppress(OverflowError):  # integers beyond 64 bits never arise
        assert messages.decode(messages.encode(message)) == message


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_message_raise_a_value_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        messages.decode(data)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(MEMBERS), any_message), max_size=20))
def test_no_message_of_a_member_brings_a_core_down(received: list[tuple[str, messages.Message]]) -> None:
    """Sealed by the cluster's key, but by a defective or foreign version: whatever it says, the core stands."""
    core = Core("a1", MEMBERS, PROFILES["fast"], INCARNATION, "boot", Saved("store"), 0, NoChance())
    for peer in MEMBERS[1:]:
        core.receive(peer, messages.Heartbeat(1, "b", 1, 0, 0, {"a1": (INCARNATION, 1)}), 1)
    now_ns = 1
    for sender, message in received:
        now_ns += 1_000_000
        core.receive(sender, message, now_ns)
        core.tick(now_ns)
        ready = core.ready()
        if ready.persist is not None:
            core.persisted(ready.persist.receipt, now_ns)
        core.status(now_ns)
        core.deadline_ns()
