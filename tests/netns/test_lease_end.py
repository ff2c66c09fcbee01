"""From a deadline on not one packet is accepted, however the daemon ended; `make bench-leases` does it 100 times."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.netns.leases.trial import WAYS, Bench, bench_of, trial
from tests.netns.moves.hosts import MAKERS

pytestmark = pytest.mark.root


@pytest.fixture(scope="module", params=MAKERS)
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench_of(request.param, tmp_path_factory.mktemp(request.param)) as made:
        yield made


@pytest.mark.parametrize("way", WAYS)
def test_nothing_that_comes_after_the_deadline_is_accepted(bench: Bench, way: str) -> None:
    outcome = trial(bench, *WAYS[way])
    assert outcome.accepted > 0
    assert outcome.sent_after > 0, "nothing came after the deadline: nothing is shown"
    assert outcome.late == 0, f"the last one came {outcome.last_accepted} ns after the deadline"
