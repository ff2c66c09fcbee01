"""Hosts whose settings differ in what all nodes must agree on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.simulation.cast import Cast
from tests.simulation.scenes.timers import (
    a_host_with_a_longer_lease_is_cut_off,
    a_host_with_other_timers_takes_part_once_they_are_mended,
    timers_that_are_shortened_one_host_at_a_time,
)


@pytest.mark.parametrize(
    "scene",
    [a_host_with_a_longer_lease_is_cut_off, a_host_with_other_timers_takes_part_once_they_are_mended],
    ids=lambda scene: scene.__name__,
)
def test_a_host_with_other_timers_is_granted_nothing_until_they_are_the_same(
    scene: Callable[[Cast], None],
) -> None:
    scene(Cast())


def test_timers_that_are_changed_one_host_at_a_time_let_nobody_lead_beside_the_former_leader() -> None:
    timers_that_are_shortened_one_host_at_a_time(Cast())
