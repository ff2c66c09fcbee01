"""Which tests may run side by side (`make test` has two workers, one for each core of a small machine)."""

from __future__ import annotations

from pathlib import Path

import pytest

NETWORK = Path(__file__).parent / "netns"


@pytest.hookimpl(tryfirst=True)  # xdist looks for groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with real daemons and clients run one after the other: two clusters at once would wait for each other."""
    for item in items:
        if NETWORK in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("network"))
