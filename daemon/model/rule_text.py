"""The language in which pcs takes rules: `#uname eq a1 and (pingd gt 1 or not_defined pingd)`.

rule       = part { ("and" | "or") part }      one kind of joint at a level
part       = "(" rule ")" | test | date
test       = ("defined" | "not_defined") ATTRIBUTE
           | ATTRIBUTE ("lt" | "gt" | "lte" | "gte" | "eq" | "ne") [TYPE] VALUE
TYPE       = "string" | "integer" | "number" | "version"
date       = "date" ("gt" | "lt") TIME | "date" "in_range" [TIME] "to" TIME
           | "date" "in_range" TIME "to" "duration" NAME=VALUE …
           | "date-spec" NAME=VALUE …
"""

from __future__ import annotations

from collections.abc import Sequence

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


def parse_rule(words: Sequence[str], rule_id: str, taken: set[str]) -> Rule:
    """The rule that `words` say, with ids made from `rule_id` and added to `taken`; raises `Refused`.

    A word may hold several, as a shell passes a quoted expression on.
    """
    split = [piece for word in words for piece in word.replace("(", " ( ").replace(")", " ) ").split()]
    if len(split) > _WORDS_MAX:
        raise _invalid(split[:8], f"it has more than {_WORDS_MAX} words")
    parser = _Parser(split, taken)
    rule = parser.rule(rule_id, depth=0)
    if not parser.at_end():
        raise _invalid(split, f"'{parser.peek()}' is not expected there")
    return rule


def _invalid(words: Sequence[str], why: str) -> Refused:
    return Refused(error("bad-rule", "rule", f"'{' '.join(words)}' is not a valid rule expression: {why}"))


class _Parser:
    def __init__(self, words: Sequence[str], taken: set[str]) -> None:
        self.words = words
        self.place = 0
        self.taken = taken

    def at_end(self) -> bool:
        return self.place >= len(self.words)

    def peek(self) -> str:
        return "" if self.at_end() else self.words[self.place]

    def next(self, expected: str) -> str:
        if self.at_end():
            raise _invalid(self.words, f"{expected} is missing at its end")
        self.place += 1
        return self.words[self.place - 1]

    def rule(self, rule_id: str, depth: int) -> Rule:
        if depth > _DEPTH_MAX:
            raise _invalid(self.words, f"parentheses are nested more than {_DEPTH_MAX} deep")
        parts = [self.part(rule_id, depth)]
        joint = self.peek() if self.peek() in _JOINTS else "and"
        while self.peek() in _JOINTS:
            if self.next("a joint") != joint:
                raise _invalid(self.words, "it mixes 'and' and 'or' without parentheses")
            parts.append(self.part(rule_id, depth))
        return Rule(id=rule_id, boolean_op="or" if joint == "or" else "and", expressions=tuple(parts))

    def part(self, rule_id: str, depth: int) -> Expression:
        word = self.next("an expression")
        if word == "(":
            own = self._id(f"{rule_id}-rule")
            inner = self.rule(own, depth + 1)
            if self.next("')'") != ")":
                raise _invalid(self.words, "')' is missing")
            return Expression(kind="rule", id=inner.id, rule=inner)
        own = self._id(f"{rule_id}-expr")
        if word in {"defined", "not_defined"}:
            return Expression(kind="attribute", id=own, attribute=self.next("an attribute"), operation=word)
        if word == "date":
            return self.date(own)
        if word == "date-spec":
            spec = {"id": self._id(f"{own}-datespec"), **self.pairs()}
            return Expression(kind="date", id=own, operation="date_spec", spec=spec)
        operation = self.next("a comparison")
        if operation not in _COMPARISONS or word in _JOINTS | {")"}:
            raise _invalid(self.words, f"'{word} {operation}' is no test, use eq, ne, lt, gt, lte, gte, defined …")
        value = self.next("a value")
        value_type = ""
        if value in _TYPES and not self.at_end() and self.peek() not in _JOINTS | {")"}:
            value_type, value = value, self.next("a value")
        return Expression(
            kind="attribute", id=own, attribute=word, operation=operation, value=value, value_type=value_type
        )

    def date(self, own: str) -> Expression:
        operation = self.next("gt, lt or in_range")
        if operation == "gt":
            return Expression(kind="date", id=own, operation="gt", start=self.next("a time"))
        if operation == "lt":
            return Expression(kind="date", id=own, operation="lt", end=self.next("a time"))
        if operation != "in_range":
            raise _invalid(self.words, f"'date {operation}' is no test, use date gt, date lt or date in_range")
        start = "" if self.peek() == "to" else self.next("a time")
        if self.next("'to'") != "to":
            raise _invalid(self.words, "'to' is missing in the range")
        if self.peek() == "duration":
            self.next("'duration'")
            duration = {"id": self._id(f"{own}-duration"), **self.pairs()}
            return Expression(kind="date", id=own, operation="in_range", start=start, duration=duration)
        return Expression(kind="date", id=own, operation="in_range", start=start, end=self.next("a time"))

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

    def _id(self, wanted: str) -> str:
        own = unique_id(wanted, self.taken)
        self.taken.add(own)
        return own
