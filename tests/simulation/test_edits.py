"""The checker of edit histories: what one order explains, and what none does."""

from __future__ import annotations

import pytest

from tests.simulation.invariants.edits import NEVER_NS, Answer, Operation, explains

ACCEPTED, CONFLICT, UNKNOWN = Answer.ACCEPTED, Answer.CONFLICT, Answer.UNKNOWN


def edit(called: int, answered: int | None, number: int, base: int | None, answer: Answer = ACCEPTED) -> Operation:
    return Operation("a1", called, number, base, False, NEVER_NS if answered is None else answered, answer)


def read(since: int, answered: int, number: int) -> Operation:
    return Operation("a2", since, number, None, True, answered, ACCEPTED)


EXPLAINED = {
    "nothing": [],
    "one upon the other": [edit(0, 1, 1, 0), edit(2, 3, 2, 1), read(4, 5, 2)],
    "of two at once one is refused": [edit(0, 9, 1, 0), edit(0, 9, 2, 0, CONFLICT)],
    "an unanswered one that took place": [edit(0, None, 1, 0, UNKNOWN), edit(5, 6, 2, 1)],
    "an unanswered one that did not": [edit(0, None, 1, 0, UNKNOWN), edit(5, 6, 2, 0)],
    "an unanswered one that came late": [edit(0, None, 1, None, UNKNOWN), read(3, 4, 0), read(5, 6, 1)],
    "an old answer whose claim is as old": [edit(5, 6, 1, 0), read(4, 9, 0)],
    "a refusal by one that has no answer yet": [edit(0, 9, 1, 0), edit(1, 2, 2, 0, CONFLICT), edit(3, 4, 3, 1)],
}
UNEXPLAINED = {
    "two upon the same": [edit(0, 9, 1, 0), edit(0, 9, 2, 0)],
    "a lost one": [edit(0, 1, 1, 0), read(2, 3, 0)],
    "an undone one": [edit(0, 1, 1, 0), edit(2, 3, 2, 1), read(4, 5, 1)],
    "refused for nothing": [edit(0, 1, 1, 0, CONFLICT)],
    "accepted before it was asked for": [read(0, 1, 1), edit(2, 3, 1, 0)],
    "back and forth": [edit(0, None, 1, None, UNKNOWN), read(1, 2, 1), read(3, 4, 0)],
    "upon one that has been replaced": [edit(0, 1, 1, 0), edit(2, 3, 2, 1), edit(4, 5, 3, 1)],
    "an answer older than its claim": [edit(2, 3, 1, 0), read(4, 9, 0)],
}


@pytest.mark.parametrize("history", EXPLAINED.values(), ids=EXPLAINED)
def test_a_history_that_one_order_explains_is_linearizable(history: list[Operation]) -> None:
    assert explains(history)


@pytest.mark.parametrize("history", UNEXPLAINED.values(), ids=UNEXPLAINED)
def test_a_history_that_no_order_explains_is_not(history: list[Operation]) -> None:
    assert not explains(history)
