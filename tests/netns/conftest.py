"""What the namespace tests share: a laboratory's logs in the report of a test that failed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.service import serve_web, share_address


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    fixtures = getattr(item, "funcargs", {})
    if report.when == "call" and report.failed:
        for lab in (value for value in fixtures.values() if isinstance(value, Lab)):
            report.sections.append(("logs of the laboratory", lab.tail()))


ENGINES = ("nft", "raw", "bpf")


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def cluster(engine: str) -> Iterator[Lab]:
    """Four hosts whose daemons agree, with nothing configured."""
    with Lab(hosts=4, engine=engine) as lab:
        lab.start_daemons()
        lab.await_cluster()
        yield lab


@pytest.fixture
def serving(cluster: Lab) -> Lab:
    """The same, serving 192.168.110.120 in four slots with a small web server on each host."""
    share_address(cluster)
    serve_web(cluster)
    return cluster
