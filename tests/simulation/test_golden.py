"""The traces in `golden/` are what the code does."""

from __future__ import annotations

import pytest

from tests.simulation.goldens import FOLDER, GOLDENS, trace_of


@pytest.mark.parametrize("name", GOLDENS)
def test_a_golden_trace_is_what_happens(name: str) -> None:
    assert (FOLDER / f"{name}.txt").read_text() == trace_of(name), "look at the difference, then: make golden"


def test_no_trace_is_left_of_a_scene_that_is_gone() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(GOLDENS)
