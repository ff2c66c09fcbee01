"""What the namespace tests share: a laboratory's logs in the report of a test that failed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("tests.netns.engine_contract")

from tests.lab import Lab  # noqa: E402
from tests.lab.service import serve_web, share_address  # noqa: E402


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    fixtures = getattr(item, "funcargs", {})
    if report.when == "call" and report.failed:
        for lab in (value for value in fixtures.values() if isinstance(value, Lab)):
            report.sections.append(("logs of the laboratory", lab.tail()))


ENGINES = ("nft", "raw", "bpf")
ONE_OF_EACH = {"a1": "nft", "a2": "raw", "a3": "bpf", "a4": "nft"}
"""for what the engines do not differ in: one laboratory, and not three"""


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def cluster(engine: str) -> Iterator[Lab]:
    """Four hosts whose daemons agree, with nothing configured.  A module's tests leave it as they have found it."""
    with Lab(hosts=4, engine=engine) as lab:
        lab.start_daemons()
        lab.await_cluster()
        yield lab


@pytest.fixture
def mixed() -> Iterator[Lab]:
    """The same, with another engine on each host."""
    with Lab(hosts=4, engine=ONE_OF_EACH) as lab:
        lab.start_daemons()
        lab.await_cluster()
        yield lab


@pytest.fixture(scope="module")
def serving(cluster: Lab) -> Lab:
    """The same, serving 192.168.110.120 in four slots with a small web server on each host."""
    share_address(cluster)
    serve_web(cluster)
    return cluster


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers: what shares a laboratory or a segment runs in one of them, or each would build its own."""
    for item in items:
        if "tests/netns/" not in item.nodeid or item.get_closest_marker("xdist_group") is not None:
            continue
        parameters = getattr(item, "callspec", None)
        engines = [value for value in parameters.params.values() if value in ENGINES] if parameters else []
        item.add_marker(pytest.mark.xdist_group("-".join([item.nodeid.partition("::")[0], *engines])))


def pytest_collection_finish(session: pytest.Session) -> None:
    """A pytest that xdist does not know well enough groups nothing and says nothing."""
    grouped = getattr(session.config.option, "loadgroup", False)
    loose = [item.nodeid for item in session.items if "tests/netns/" in item.nodeid and "@" not in item.nodeid]
    if grouped and loose:
        raise pytest.UsageError(f"xdist has not grouped {loose[0]}: pin a pytest that it works with")
