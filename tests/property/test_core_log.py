"""A log that is cut at both ends, beside the plain list that it stands for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.cluster.core.log import Base, Log
from daemon.cluster.records import LogEntry, Noop

steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 2)),
        st.tuples(st.just("cut"), st.integers(1, 30)),
        st.tuples(st.just("forget"), st.integers(1, 30)),
        st.tuples(st.just("restore"), st.integers(1, 10)),
    ),
    max_size=60,
)


class Model:
    """Every entry that there ever was, and from where on the log still has them."""

    def __init__(self) -> None:
        self.terms: list[int] = [0]
        """by index; index 0 is before the first entry"""
        self.base = 0

    @property
    def last(self) -> int:
        return len(self.terms) - 1


@settings(deadline=None)
@given(steps)
def test_it_answers_as_the_list_of_all_entries_does_as_far_as_it_goes_back(steps: list[tuple[str, int]]) -> None:
    log, model = Log(), Model()
    for step, number in steps:
        if step == "append":
            term = model.terms[-1] + number
            log.append(LogEntry(model.last + 1, term, model.last + 1, Noop()))
            model.terms.append(term)
        elif step == "cut" and model.base < number <= model.last:
            gone = log.truncate_from(number)
            assert [entry.index for entry in gone] == list(range(number, model.last + 1))
            del model.terms[number:]
        elif step == "forget" and number <= model.last:
            log.forget_to(number)
            model.base = max(model.base, number)
        elif step == "restore":
            index, term = model.last + number, model.terms[-1] + 1
            log.begin_after(Base(index, term, index))
            model.terms += [term] * number
            model.base = index
        assert (log.first_index, log.last_index, log.last_term) == (model.base + 1, model.last, model.terms[-1])
        assert log.last_stamp_ms == model.last
        for index in range(-1, model.last + 3):
            known = model.base <= index <= model.last
            assert log.term_at(index) == (model.terms[index] if known else None)
        there = [entry.index for entry in log.entries(log.first_index, log.last_index)]
        assert there == list(range(model.base + 1, model.last + 1))
        assert [entry.index for entry in log.after(model.base)] == there
        if there:
            assert [entry.index for entry in log.chunk(there[0], 1 << 30)] == there
            first = log.first_of_term_at(model.last)
            assert set(model.terms[first:]) == {model.terms[-1]}
            assert first == model.base + 1 or model.terms[first - 1] != model.terms[-1]


def test_what_is_gone_is_not_given_out_as_if_it_were_there() -> None:
    log = Log([LogEntry(index, 1, 0, Noop()) for index in range(6, 9)], Base(5, 1, 0))
    with pytest.raises(AssertionError, match="entry 5 is gone"):
        log.entries(5, 7)
    with pytest.raises(AssertionError, match="would be deleted"):
        log.truncate_from(5)
    assert log.after(2) == log.entries(6, 8)


@pytest.mark.parametrize("first", [1, 5, 7])
def test_a_saved_log_that_does_not_follow_its_snapshot_is_damaged(first: int) -> None:
    with pytest.raises(ValueError, match="damaged"):
        Log([LogEntry(first, 3, 0, Noop())], Base(5, 3, 0))
