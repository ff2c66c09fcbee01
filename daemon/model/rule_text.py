"""The language in which pcs takes rules: `#uname eq a1 and (pingd gt 1 or not_defined pingd)`.

rule       = part { ("and" | "or") part }      from the left: `a or b and c` is `(a or b) and c`, as pcs has it
part       = "(" rule ")" | test | date
test       = ("defined" | "not_defined") ATTRIBUTE
           | ATTRIBUTE ("lt" | "gt" | "lte" | "gte" | "eq" | "ne") [TYPE] VALUE
TYPE       = "string" | "integer" | "number" | "version"
date       = "date" ("gt" | "lt") TIME | "date" "in_range" TIME "to" TIME
           | "date" "in_range" TIME "to" "duration" NAME=VALUE …
           | "date-spec" NAME=VALUE …
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from daemon.model.configuration import Expression, Rule
from daemon.model.findings import Refused, error
from daemon.model.identifiers import unique_id

_COMPARISONS = frozenset({"lt", "gt", "lte", "gte", "eq", "ne"})
_TYPES = frozenset({"string", "integer", "number", "version"})
_JOINTS = frozenset({"and", "or"})
_SPAN_NAMES = frozenset(
    {"hours", "monthdays", "weekdays", "yeardays", "months", "weeks", "years", "weekyears", "moon"}
)
_WORDS_MAX = 512
_DEPTH_MAX = 16


@dataclass(frozen=True, slots=True)
class _Joint:
    """Parts joined by one word; a part is a test (an expression that has no id yet) or another joint."""

    word: str
    parts: tuple[_Joint | Expression, ...]


def parse_rule(words: Sequence[str], rule_id: str, taken: set[str]) -> Rule:
    """The rule that `words` say, with ids made from `rule_id` and added to `taken`; raises `Refused`.

    A word may hold several, as a shell passes a quoted expression on.
    """
    split = [piece for word in words for piece in word.replace("(", " ( ").replace(")", " ) ").split()]
    if len(split) > _WORDS_MAX:
        raise _invalid(split[:8], f"it has more than {_WORDS_MAX} words")
    parser = _Parser(split)
    said = parser.rule(depth=0)
    if not parser.at_end():
        raise _invalid(split, f"'{parser.peek()}' is not expected there")
    return _named(said if isinstance(said, _Joint) else _Joint("and", (said,)), rule_id, taken)


def _invalid(words: Sequence[str], why: str) -> Refused:
    return Refused(error("bad-rule", "rule", f"'{' '.join(words)}' is not a valid rule expression: {why}"))


def _joined(word: str, left: _Joint | Expression, right: _Joint | Expression) -> _Joint:
    """Neighbours that are joined by the same word become one joint."""
    parts: list[_Joint | Expression] = []
    for side in (left, right):
        parts.extend(side.parts if isinstance(side, _Joint) and side.word == word else (side,))
    return _Joint(word, tuple(parts))


def _named(joint: _Joint, rule_id: str, taken: set[str]) -> Rule:
    """The rule of a joint, with ids in the order of the document."""
    made: list[Expression] = []
    for part in joint.parts:
        if isinstance(part, _Joint):
            own = _new_id(f"{rule_id}-rule", taken)
            # pcs gives inner rules this score, which nobody reads.
            inner = _named(part, own, taken).model_copy(update={"score": "0"})
            made.append(Expression(kind="rule", id=own, rule=inner))
            continue
        own = _new_id(f"{rule_id}-expr", taken)
        given: dict[str, object] = {"id": own}
        if part.duration:
            given["duration"] = {"id": _new_id(f"{own}-duration", taken), **part.duration}
        if part.spec:
            given["spec"] = {"id": _new_id(f"{own}-datespec", taken), **part.spec}
        made.append(part.model_copy(update=given))
    return Rule(id=rule_id, boolean_op="or" if joint.word == "or" else "and", expressions=tuple(made))


def _new_id(wanted: str, taken: set[str]) -> str:
    own = unique_id(wanted, taken)
    taken.add(own)
    return own


class _Parser:
    def __init__(self, words: Sequence[str]) -> None:
        self.words = words
        self.place = 0

    def at_end(self) -> bool:
        return self.place >= len(self.words)

    def peek(self) -> str:
        return "" if self.at_end() else self.words[self.place]

    def next(self, expected: str) -> str:
        if self.at_end():
            raise _invalid(self.words, f"{expected} is missing at its end")
        self.place += 1
        return self.words[self.place - 1]

    def rule(self, depth: int) -> _Joint | Expression:
        if depth > _DEPTH_MAX:
            raise _invalid(self.words, f"parentheses are nested more than {_DEPTH_MAX} deep")
        said = self.part(depth)
        alternations = 0
        while self.peek() in _JOINTS:
            word = self.next("a joint")
            alternations += isinstance(said, _Joint) and said.word != word
            if alternations > _DEPTH_MAX:  # each is one more rule around the others
                raise _invalid(self.words, f"it changes between 'and' and 'or' more than {_DEPTH_MAX} times")
            said = _joined(word, said, self.part(depth))
        return said

    def part(self, depth: int) -> _Joint | Expression:
        word = self.next("an expression")
        if word == "(":
            inner = self.rule(depth + 1)
            if self.next("')'") != ")":
                raise _invalid(self.words, "')' is missing")
            return inner
        if word in {"defined", "not_defined"}:
            return Expression(kind="attribute", id="", attribute=self.next("an attribute"), operation=word)
        if word == "date":
            return self.date()
        if word == "date-spec":
            return Expression(kind="date", id="", operation="date_spec", spec=self.pairs())
        operation = self.next("a comparison")
        if operation not in _COMPARISONS or word in _JOINTS | {")"}:
            raise _invalid(self.words, f"'{word} {operation}' is no test, use eq, ne, lt, gt, lte, gte, defined …")
        value = self.next("a value")
        value_type = ""
        if value in _TYPES and not self.at_end() and self.peek() not in _JOINTS | {")"}:
            value_type, value = value, self.next("a value")
        return Expression(
            kind="attribute", id="", attribute=word, operation=operation, value=value, value_type=value_type
        )

    def date(self) -> Expression:
        operation = self.next("gt, lt or in_range")
        if operation == "gt":
            return Expression(kind="date", id="", operation="gt", start=self.next("a time"))
        if operation == "lt":
            return Expression(kind="date", id="", operation="lt", end=self.next("a time"))
        if operation != "in_range":
            raise _invalid(self.words, f"'date {operation}' is no test, use date gt, date lt or date in_range")
        start = self.next("a time")
        if start == "to" or self.next("'to'") != "to":
            raise _invalid(self.words, "a range is said as 'date in_range TIME to TIME'")
        if self.peek() == "duration":
            self.next("'duration'")
            return Expression(kind="date", id="", operation="in_range", start=start, duration=self.pairs())
        return Expression(kind="date", id="", operation="in_range", start=start, end=self.next("a time"))

    def pairs(self) -> dict[str, str]:
        found: dict[str, str] = {}
        while "=" in self.peek():
            name, _, value = self.next("a pair").partition("=")
            if name not in _SPAN_NAMES or not value:
                raise _invalid(self.words, f"'{name}={value}' is none of {', '.join(sorted(_SPAN_NAMES))}")
            found[name] = value
        if not found:
            raise _invalid(self.words, "a pair such as hours=9-17 is missing")
        return found


# ---- and back


def rule_text(rule: Rule) -> str:
    """A rule in one line: `#uname eq a1 and (site eq b or defined x)`."""
    parts = [
        f"({rule_text(one.rule)})" if one.rule is not None else expression_text(one) for one in rule.expressions
    ]
    return f" {rule.boolean_op} ".join(parts)


def expression_text(expression: Expression) -> str:
    """One test of a rule, as pcs lists it."""
    if expression.kind == "attribute":
        if expression.value is None:
            return f"{expression.operation} {expression.attribute}"
        kind = f"{expression.value_type} " if expression.value_type else ""
        return f"{expression.attribute} {expression.operation} {kind}{expression.value}"
    if expression.kind == "date":
        if expression.operation == "date_spec":
            return f"date-spec {_pairs(expression.spec)}"
        words = ["date", expression.operation]
        words += [f"start={expression.start}"] if expression.start else []
        words += [f"end={expression.end}"] if expression.end else []
        words += [f"duration {_pairs(expression.duration)}"] if expression.duration else []
        return " ".join(words)
    return f"{expression.kind} {_pairs(expression.fields)}".rstrip()


def _pairs(values: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())
