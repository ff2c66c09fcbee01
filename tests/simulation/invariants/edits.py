"""Configuration edits as their clients see them, and whether one order of them explains what all clients saw.

The configuration is one register that holds the number of the edit that made it (0: none did).  An edit compares and
sets: it succeeds only if the register holds what it was made from, or always, where it was made from nothing.  A
read, with the claim that goes with it, says what the register held at some time between its claim and its answer.

`explains` is the search of Wing and Gong with the memory of Lowe: an order of operations in which each takes place
between its call and its answer, and in which the register would have given the same answers.  What was never
answered may have taken place at any time after its call, or not at all.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.simulation.invariants.violation import ViolationError

NEVER_NS = 1 << 62
STEPS_MAX = 200_000
"""of one search; with a good guess a history that can be explained needs about one for each operation"""


class Answer(enum.StrEnum):
    ACCEPTED = "accepted"
    CONFLICT = "refused: the configuration has moved on"
    UNKNOWN = "never answered"


@dataclass(slots=True)
class Operation:
    who: str
    called_ns: int
    number: int
    """of an edit: what it sets; of a read: what was read"""
    base: int | None = None
    """of an edit: what it was made from; None: from nothing"""
    is_read: bool = False
    answered_ns: int = NEVER_NS
    answer: Answer = Answer.UNKNOWN

    def __str__(self) -> str:
        until = "…" if self.answered_ns == NEVER_NS else f"{self.answered_ns / 1e6:.3f}"
        times = f"{self.called_ns / 1e6:.3f} to {until} ms"
        if self.is_read:
            return f"{times}  {self.who} reads {self.number}"
        base = "whatever is there" if self.base is None else self.base
        return f"{times}  {self.who} sets {self.number} upon {base}: {self.answer}"

    def would_give(self, register: int) -> int | None:
        """What the register holds after it; None where the register would have answered otherwise."""
        if self.is_read:
            return register if register == self.number else None
        matches = self.base is None or self.base == register
        match self.answer:
            case Answer.ACCEPTED:
                return self.number if matches else None
            case Answer.CONFLICT:
                return None if matches else register
            case Answer.UNKNOWN:
                return self.number if matches else register


def explains(operations: Sequence[Operation], guess: Sequence[int] = ()) -> bool:
    """Whether some order of `operations` explains all answers.

    `guess`: numbers of edits in the order that is tried first; it costs time where it is wrong, and nothing else.
    Raises ViolationError after too many steps.
    """
    places = {number: place for place, number in enumerate(guess)}
    ordered = sorted(operations, key=lambda operation: operation.called_ns)
    everything = (1 << len(ordered)) - 1
    optional = sum(
        1 << place for place, one in enumerate(ordered) if one.answer is Answer.UNKNOWN and not one.is_read
    )
    seen: set[tuple[int, int]] = set()
    paths = [(everything, 0)]
    for _ in range(STEPS_MAX):
        if not paths:
            return False
        left, register = paths.pop()
        if left & ~optional == 0:
            return True
        if (left, register) in seen:
            continue
        seen.add((left, register))
        paths += _next(ordered, left, register, places)
    raise ViolationError(f"no order of {len(ordered)} edits and reads was found in {STEPS_MAX} steps")


def _next(
    ordered: Sequence[Operation], left: int, register: int, places: Mapping[int, int]
) -> list[tuple[int, int]]:
    """Where one more operation may lead, the best guess last: one called before any that is left had its answer."""
    ends_ns = NEVER_NS
    candidates: list[int] = []
    rest, place = left, 0
    while rest:
        skip = (rest & -rest).bit_length()
        place, rest = place + skip, rest >> skip
        operation = ordered[place - 1]
        if operation.called_ns > ends_ns:
            break
        ends_ns = min(ends_ns, operation.answered_ns)
        candidates.append(place - 1)
    found: list[tuple[int, int]] = []
    candidates.sort(key=lambda candidate: -places.get(ordered[candidate].number, NEVER_NS))
    for candidate in candidates:
        operation = ordered[candidate]
        if operation.called_ns > ends_ns:
            continue
        after = operation.would_give(register)
        if after is None:
            continue
        path = (left & ~(1 << candidate), after)
        if after == register and operation.answer is not Answer.UNKNOWN:
            return [path]  # it changes nothing and fits: no order is lost by taking it now
        found.append(path)
    return found


@dataclass(slots=True)
class Edits:
    """The history of one run."""

    operations: list[Operation] = field(default_factory=list)
    accepted: list[int] = field(default_factory=list)
    """numbers of edits in the order of the log: a guess at the order that explains everything, no more"""
    _open: dict[tuple[str, int, int], Operation] = field(default_factory=dict)

    def called(self, who: str, key: tuple[str, int, int], number: int, base: int | None, true_ns: int) -> None:
        """`key`: (node, incarnation, ticket)."""
        operation = Operation(who, true_ns, number, base)
        self._open[key] = operation
        self.operations.append(operation)

    def answered(self, key: tuple[str, int, int], answer: Answer, true_ns: int) -> None:
        """The first answer counts; there is nobody any more to hear another one."""
        operation = self._open.pop(key, None)
        if operation is not None:
            operation.answer, operation.answered_ns = answer, true_ns

    def read(self, who: str, number: int, as_of_true_ns: int, true_ns: int) -> None:
        self.operations.append(
            Operation(who, as_of_true_ns, number, is_read=True, answered_ns=true_ns, answer=Answer.ACCEPTED)
        )

    def check(self) -> None:
        if not explains(self.operations, self.accepted):
            story = "\n".join(map(str, sorted(self.operations, key=lambda operation: operation.called_ns)))
            raise ViolationError(f"no order of these edits and reads explains what their clients saw:\n{story}")
