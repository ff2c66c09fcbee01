"""The language of rules: what it means, and that nonsense is refused with the reason."""

import pytest

from daemon.model.findings import Refused
from daemon.model.rule_text import parse_rule


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "an expression is missing"),
        ("a", "a comparison is missing"),
        ("a eq", "a value is missing"),
        ("a is b", "is no test"),
        ("a eq b and", "an expression is missing"),
        ("(a eq b", "missing"),
        ("a eq b)", "is not expected"),
        ("a eq b c", "is not expected"),
        ("and eq b", "is no test"),
        ("date", "missing"),
        ("date on 2020", "is no test"),
        ("date in_range to 2020", "a range is said as"),
        ("date in_range 2020 to", "missing"),
        ("date-spec", "a pair such as"),
        ("date-spec hours=", "is none of"),
        ("date-spec seconds=1", "is none of"),
        ("defined", "an attribute is missing"),
        ("(" * 100 + "a eq b", "nested more than"),
        ("a eq b and c eq d or " * 30 + "a eq b", "changes between"),
        ("a eq b and " * 300 + "a eq b", "has more than"),
    ],
)
def test_what_is_no_rule_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(Refused, match="is not a valid rule expression") as caught:
        parse_rule([text], "r", set())
    assert why in str(caught.value)


def test_neighbours_of_one_word_are_one_rule_and_ids_are_unique() -> None:
    taken = {"r-expr"}
    rule = parse_rule(["a eq 1 and (b eq 2 and", "c eq 3)"], "r", taken)
    assert rule.boolean_op == "and"
    assert [part.id for part in rule.expressions] == ["r-expr-1", "r-expr-2", "r-expr-3"]
    assert {"r-expr-1", "r-expr-2", "r-expr-3"} <= taken


def test_a_type_is_a_type_only_where_a_value_follows() -> None:
    typed, plain = parse_rule(["a eq integer 5 and b eq integer"], "r", set()).expressions
    assert (typed.value_type, typed.value) == ("integer", "5")
    assert (plain.value_type, plain.value) == ("", "integer")
