"""Every case of the peer's suite: right, or listed as a known difference with its reason."""

from __future__ import annotations

import pytest

from tests.scheduler_suite.cases import case_names, differences, load, suite_folder
from tests.scheduler_suite.known_differences import KNOWN

NAMES = case_names()

if not NAMES:
    pytest.skip(
        f"no cases in {suite_folder()}: set VIPCAST_SCHEDULER_SUITE to the suite's folder", allow_module_level=True
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_placement_is_the_peers(name: str) -> None:
    found = differences(load(name))
    if name in KNOWN:
        assert found, (
            f"{name} is listed as a known difference ({KNOWN[name]}), but it is right: take it off the list"
        )
        return
    assert not found, "\n".join(found)


def test_every_known_difference_names_a_case() -> None:
    assert set(KNOWN) <= set(NAMES)


def test_no_case_of_the_core_is_given_up() -> None:
    assert not [name for name in KNOWN if load(name).kind == "A"]
