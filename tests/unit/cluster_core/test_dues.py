"""The earliest of many times that move to later."""

from __future__ import annotations

import random

from daemon.cluster.core.dues import Dues


def test_it_is_the_earliest_of_those_after_the_last_look() -> None:
    due = {"a1": 30, "a2": 10, "a3": 20}
    dues = Dues(due, due.__getitem__)
    assert dues.first_after(0) == 10
    assert dues.first_after(10) == 20
    assert dues.first_after(30) is None


def test_what_was_due_and_moves_to_later_is_waited_for_again() -> None:
    due = {"a1": 10}
    dues = Dues(due, due.__getitem__)
    assert dues.first_after(10) is None
    due["a1"] = 50
    assert dues.first_after(20) == 50


def test_it_says_at_any_time_what_looking_at_all_would_say() -> None:
    rng = random.Random(1)
    due = {f"n{number}": rng.randint(0, 100) for number in range(40)}
    dues = Dues(due, due.__getitem__)
    looked = 0
    for _ in range(3000):
        for name in rng.sample(sorted(due), rng.randint(0, 3)):
            due[name] = max(due[name], looked + rng.randint(-50, 100))
        looked += rng.choice((0, 0, 1, 5))
        assert dues.first_after(looked) == min((at for at in due.values() if at > looked), default=None)
