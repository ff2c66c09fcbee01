"""Rules for ports: what is written, what is refused, and what they come to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapath.engine import PortFate, PortRule
from datapath.hashing import rule_for
from datapath.ports import PORT_MAX, Interval, intervals, parse, spell

SHARED, ONE, REFUSED = PortFate.SHARED, PortFate.ONE, PortFate.REFUSED


def test_rules_are_read_in_their_order() -> None:
    assert parse("80:shared 443:shared,tcp/22:one udp/5000-5099:one:3 *:refused") == (
        PortRule(80, 80, SHARED),
        PortRule(443, 443, SHARED),
        PortRule(22, 22, ONE, 0, 6),
        PortRule(5000, 5099, ONE, 3, 17),
        PortRule(0, PORT_MAX, REFUSED),
    )
    assert parse("") == parse("  ,, ") == ()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("80", "'80' is no rule"),
        ("http:shared", "'http:shared' is no rule"),
        ("80:maybe", "'maybe' is not known; ports are shared, one, refused"),
        ("icmp/80:shared", "'icmp'; protocols are tcp, udp, sctp"),
        ("90-80:shared", "the lower one first"),
        ("70000:shared", "ports are 0 to 65535"),
        ("80:shared:3", "after 'one' alone"),
        ("80:one:70000", "at most 65535"),
        (" ".join(f"{port}:shared" for port in range(17)), "17 rules; at most 16"),
        (" ".join(f"udp/{port}-{port + 1}:refused" for port in range(50000, 50015)), "at most 240 are possible"),
    ],
)
def test_what_is_no_rule_is_named_with_a_remedy(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        parse(text)


def test_what_is_shared_needs_no_interval_and_neighbours_are_one() -> None:
    rules = parse("80:shared tcp/443:refused 0-99:one:2 100:one:2 101-200:refused")
    assert intervals(rules, 17) == [Interval(0, 79, 2), Interval(81, 100, 2), Interval(101, 200, None)]
    assert intervals(rules, 6) == [*intervals(rules, 17), Interval(443, 443, None)]
    assert intervals(parse("*:shared"), 6) == []


EDGES = st.sampled_from([0, 1, 2, 79, 80, 81, 1000, PORT_MAX - 1, PORT_MAX])
RULES = st.lists(
    st.builds(
        lambda a, b, fate, slot, protocol: PortRule(
            min(a, b), max(a, b), fate, slot if fate is ONE else 0, protocol
        ),
        EDGES,
        EDGES,
        st.sampled_from(list(PortFate)),
        st.integers(0, 3),
        st.sampled_from([0, 6, 17, 132]),
    ),
    max_size=8,
).map(tuple)


@given(RULES)
def test_what_is_spelled_is_read_back(rules: tuple[PortRule, ...]) -> None:
    assert parse(spell(rules)) == rules


@given(RULES, st.sampled_from([6, 17, 132]), st.one_of(EDGES, st.integers(0, PORT_MAX)))
def test_intervals_say_what_the_first_rule_that_fits_says(
    rules: tuple[PortRule, ...], protocol: int, port: int
) -> None:
    rule = rule_for(rules, protocol, port)
    found = [one for one in intervals(rules, protocol) if one.first <= port <= one.last]
    if rule is None or rule.fate is SHARED:
        assert found == []
    else:
        assert [one.slot for one in found] == [rule.slot if rule.fate is ONE else None]
