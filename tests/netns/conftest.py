"""What the namespace tests share: a laboratory's logs in the report of a test that failed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Lab


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    fixtures = getattr(item, "funcargs", {})
    if report.when == "call" and report.failed:
        for lab in (value for value in fixtures.values() if isinstance(value, Lab)):
            report.sections.append(("logs of the laboratory", lab.tail()))
