"""What the tests under systemd share: one laboratory of four hosts, and its journals in the report of a failure."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.systemd.cluster import begin, serving_lab
from tests.systemd.lab import SystemdLab


@pytest.fixture(scope="module")
def lab() -> Iterator[SystemdLab]:
    with serving_lab() as lab:
        begin(lab)
        yield lab


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    fixtures = getattr(item, "funcargs", {})
    if report.when == "call" and report.failed:
        for lab in (value for value in fixtures.values() if isinstance(value, Lab)):
            report.sections.append(("logs of the laboratory", lab.tail()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything of a file in one worker: its tests share a laboratory."""
    for item in items:
        if "tests/systemd/" in item.nodeid:
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))
