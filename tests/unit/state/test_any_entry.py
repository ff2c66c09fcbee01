"""Nothing that an entry may contain makes `State.apply` raise, and two replicas agree about all of it."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.cluster.records import Admit, Command, LogEntry, Lost, Noop, Request
from daemon.definition import define
from daemon.model.configuration import (
    AnyConstraint,
    AnyResource,
    AttributeSet,
    Clone,
    Colocation,
    Configuration,
    Group,
    Location,
    NodeEntry,
    Operation,
    Order,
    Primitive,
)
from daemon.state.commands import Cleanup, Drain, Edit, Leave, Refresh, Result, Slots, StateCommand, Tick
from daemon.state.state import State

NODES = ("a1", "a2", "a3")

odd_text = st.one_of(
    st.sampled_from(["", ":", "a:", ":0", "VIP:-1", "VIP:99999999999999999999", "é\n\x00"]), st.text(max_size=4)
)
odd_number = st.one_of(st.integers(-3, 12), st.sampled_from([-(2**63), 2**63 - 1, 10**6, 2**31]))
name = st.one_of(st.sampled_from(NODES), odd_text)
resource = st.one_of(st.sampled_from(["VIP", "web", "web:0", "NEW", "VIP-clone", "duo", "VIP:1"]), odd_text)
value = st.one_of(
    st.sampled_from(
        ["true", "false", "0", "1", "3", "-1", "INFINITY", "-INFINITY", "1000", "99999999", "10s", "Stopped"]
    ),
    odd_text,
)
WORDS = {
    "flag": ["true", "false"],
    "count": ["0", "1", "3", "1000"],
    "score": ["0", "1", "-1", "100", "INFINITY", "-INFINITY"],
    "span": ["0", "10s", "1h", "INFINITY"],
    "role": ["Stopped", "Started", "Promoted"],
    "requires": ["nothing", "quorum", "fencing"],
    "on-fail": ["block", "ignore", "stop", "fence", "standby"],
}
META = {
    **dict.fromkeys(
        ("globally-unique", "interleave", "ordered", "promotable", "is-managed", "maintenance"), "flag"
    ),
    **dict.fromkeys(("clone-max", "clone-node-max", "promoted-max", "clone-min", "migration-threshold"), "count"),
    **dict.fromkeys(("resource-stickiness", "priority"), "score"),
    "target-role": "role",
    "failure-timeout": "span",
    "requires": "requires",
}
NODE = {"standby": "flag", "maintenance": "flag"}
PROPERTIES = dict.fromkeys(
    ("maintenance-mode", "stop-all-resources", "symmetric-cluster", "stonith-enabled"), "flag"
)
OPERATION = {"timeout": "span", "on-fail": "on-fail"}


def mostly(good: list[str]) -> st.SearchStrategy[str]:
    """What is right, and once in a while anything else."""
    return st.integers(0, 29).flatmap(lambda chance: value if chance == 0 else st.sampled_from(good))


@st.composite
def attributes(draw: st.DrawFn, kinds: dict[str, str], ident: str) -> tuple[AttributeSet, ...]:
    if not draw(st.booleans()):
        return ()
    names = draw(st.sets(st.sampled_from(sorted(kinds)), max_size=4))
    values = {key: draw(mostly(WORDS[kinds[key]])) for key in sorted(names)}
    return (AttributeSet(id=ident, values=values, score=draw(st.one_of(st.none(), mostly(WORDS["score"])))),)


@st.composite
def primitives(draw: st.DrawFn, ident: str) -> Primitive:
    address = draw(st.booleans())
    ip = draw(st.sampled_from(["192.168.110.120", "192.168.110.121", "fe80::1", "FE80:0::1"]))
    operations = draw(
        st.lists(
            st.tuples(st.sampled_from(["monitor", "start", "stop"]), mostly(["0", "10s", "1h"])),
            max_size=2,
        )
    )
    return Primitive(
        id=ident,
        standard="ocf",
        provider="heartbeat",
        type="IPaddr2" if address else "apache",
        operations=tuple(Operation(id=f"{ident}-{n}", name=o, interval=i) for n, (o, i) in enumerate(operations)),
        instance=(AttributeSet(id=f"{ident}-i", values={"ip": ip} if address else {}),),
        meta=draw(attributes(META, f"{ident}-m")),
    )


@st.composite
def configurations(draw: st.DrawFn) -> Configuration:
    found: list[AnyResource] = []
    for ident in draw(st.sets(st.sampled_from(["VIP", "web", "NEW"]))):
        child: Primitive | Group = draw(primitives(ident))
        if draw(st.integers(0, 4)) == 0:
            child = Group(id=f"{ident}-group", members=(child, draw(primitives(f"{ident}2"))))
        if draw(st.booleans()):
            sets = draw(attributes(META, f"{ident}-clone-m"))
            unique = AttributeSet(
                id=f"{ident}-unique", values={"globally-unique": draw(st.sampled_from(["true", "false"]))}
            )
            found.append(Clone(id=f"{ident}-clone", child=child, meta=(*sets, unique)))
        else:
            found.append(child)
    names = [r.id for r in found]
    ids = draw(st.permutations(names))
    constraints: list[AnyConstraint] = []
    score = mostly(WORDS["score"])
    if len(ids) > 1 and draw(st.booleans()):
        constraints.append(Colocation(id="c1", resource=ids[0], with_resource=ids[1], score=draw(score)))
    if len(ids) > 1 and draw(st.booleans()):
        constraints.append(Order(id="c2", first=ids[1], then=ids[0]))
    if len(ids) > 0 and draw(st.booleans()):
        constraints.append(Location(id="c3", resource=ids[0], node=draw(name), score=draw(score)))
    nodes = (NodeEntry(id="1", name="a1", attributes=draw(attributes(NODE, "a1-a"))),)
    return Configuration(
        resources=tuple(found),
        constraints=tuple(constraints),
        nodes=nodes if draw(st.booleans()) else (),
        properties=draw(attributes(PROPERTIES, "p")),
        resource_defaults=draw(attributes(META, "rd")),
        operation_defaults=draw(attributes(OPERATION, "od")),
    )


edits = configurations().map(lambda c: Edit(None, c.model_dump_json().encode(), "root", ""))
commands: st.SearchStrategy[StateCommand] = st.one_of(
    edits,
    edits,
    st.builds(
        Result,
        node=name,
        incarnation=st.sampled_from([1, 1, 1, 2]),
        instance=resource,
        operation=st.sampled_from(["start", "stop", "monitor", "promote", ""]),
        interval_ms=odd_number,
        exit_code=odd_number,
        status=st.sampled_from(["done", "done", "timeout", "not-installed", ""]),
        reason=odd_text,
        duration_ms=odd_number,
        definition=odd_text,
    ),
    st.builds(
        Slots,
        node=st.sampled_from(NODES),
        incarnation=st.just(1),
        address=st.sampled_from(["VIP", "NEW", "web", ""]),
        what=st.sampled_from(["ready", "opened", "drained", "closed", "failed", ""]),
        generations=st.dictionaries(st.integers(-1, 4), odd_number, max_size=3),
        reason=odd_text,
    ),
    st.builds(Cleanup, st.one_of(st.none(), resource), st.one_of(st.none(), name), odd_text),
    st.builds(Refresh, st.one_of(st.none(), resource), st.one_of(st.none(), name), odd_text),
    st.builds(Drain, st.none(), st.none(), st.none(), st.booleans(), odd_text),
    st.builds(Leave, name, st.integers(0, 2)),
    st.just(Tick()),
)

requests = st.tuples(
    name, odd_number, st.integers(0, 10**6), st.one_of(commands.map(msgspec.msgpack.encode), st.binary(max_size=60))
)
entries: st.SearchStrategy[Command] = st.one_of(
    st.builds(Admit, name, st.sampled_from([1, 1, 2, 2**62]), st.sampled_from(["boot", "other"])),
    st.builds(Lost, name),
    st.just(Noop()),
    *[requests.map(lambda made: Request(*made))] * 4,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(entries, odd_number), max_size=25))
def test_whatever_is_applied_in_whatever_order_nothing_raises_and_replicas_are_equal(
    made: list[tuple[Command, int]],
) -> None:
    one, two = State(NODES), State(NODES)
    admitted = [Admit(node, 1, "boot") for node in NODES]
    for number, (command, stamp_ms) in enumerate([*((a, 0) for a in admitted), *made], start=1):
        entry = LogEntry(number, 1, stamp_ms, command)
        assert one.apply(entry) == two.apply(entry)
        assert one.digest() == two.digest()
        for node in NODES:
            assert one.wishes(node) == two.wishes(node)
            for action in one.plan.runnable(node):
                define(one.definable(node, action.instance, action.operation), action.instance, action.operation, 0)
