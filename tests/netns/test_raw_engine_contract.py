"""The raw engine on real packets: the contract of all engines, with the forwarder in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.netns.engine_contract")

from datapath.raw.engine import RawEngine  # noqa: E402
from tests.netns import actions, raw_runner  # noqa: E402
from tests.netns.engine_contract import EngineContract, until  # noqa: E402
from tests.netns.segment import Member, Segment  # noqa: E402

pytestmark = pytest.mark.root


def make(run_dir: Path) -> RawEngine:
    return RawEngine(run_dir)


def forwarder_is_well() -> int:
    engine = actions._engines[-1]
    assert isinstance(engine, RawEngine)
    return int(engine.ailment() is None)


class TestRawEngine(EngineContract):
    maker = "tests.netns.test_raw_engine_contract:make"

    @pytest.fixture
    def hosts(self, segment: Segment, tmp_path: Path) -> Iterator[list[Member]]:
        for host in segment.hosts:
            run_dir = str(tmp_path / host.name)
            host.engine.call(actions.start_engine, self.maker, run_dir)
            host.service.call(raw_runner.serve, run_dir)
        for host in segment.hosts:
            assert until(lambda host=host: host.engine.call(forwarder_is_well), 1) == 1
        try:
            yield segment.hosts
        finally:
            for host in segment.hosts:
                host.restart_engine()
                host.engine.call(actions.start_engine, self.maker, str(tmp_path / host.name))
                host.engine.call(actions.remove)
                host.engine.call(actions.close)
                host.service.call(raw_runner.unserve)
