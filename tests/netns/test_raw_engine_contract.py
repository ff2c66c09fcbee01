"""The raw engine on real packets: the contract of all engines, with the forwarder in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite(
    "tests.netns.engine_contract",
    "tests.netns.segment_contract",
    "tests.netns.wayout_contract",
    "tests.netns.membership_contract",
    "tests.netns.field_contract",
)

from datapath.raw.engine import RawEngine  # noqa: E402
from datapath.raw.tun import DEVICE  # noqa: E402
from tests.netns import actions, raw_runner  # noqa: E402
from tests.netns.engine_contract import (  # noqa: E402
    LONG_LEASE_MS,
    PATIENCE_S,
    EngineContract,
    many_sources,
    outcomes,
    until,
)
from tests.netns.field_contract import OPEN, FieldContract  # noqa: E402
from tests.netns.membership_contract import MembershipContract  # noqa: E402
from tests.netns.segment import Member, Segment  # noqa: E402
from tests.netns.segment_contract import SegmentContract  # noqa: E402
from tests.netns.wayout_contract import WayOutContract  # noqa: E402

pytestmark = pytest.mark.root


def make(run_dir: Path) -> RawEngine:
    return RawEngine(run_dir)


class TestRawEngine(EngineContract, SegmentContract, WayOutContract, MembershipContract, FieldContract):
    maker = "tests.netns.test_raw_engine_contract:make"

    @pytest.fixture
    def hosts(self, segment: Segment, tmp_path: Path) -> Iterator[list[Member]]:
        for host in segment.hosts:
            run_dir = str(tmp_path / host.name)
            host.engine.call(actions.start_engine, self.maker, run_dir)
            host.service.call(raw_runner.serve, run_dir)
        for host in segment.hosts:
            assert until(lambda host=host: host.engine.call(raw_runner.forwarder_is_well), 1) == 1
        try:
            yield segment.hosts
        finally:
            for host in segment.hosts:
                host.restart_engine()
                host.engine.call(actions.start_engine, self.maker, str(tmp_path / host.name))
                host.engine.call(actions.remove)
                host.engine.call(actions.close)
                host.service.call(raw_runner.unserve)

    def test_a_strict_check_of_sources_is_made_loose_again(self, segment: Segment, hosts: list[Member]) -> None:
        """As `sysctl --system` does it with a line for each interface."""
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        host.run("sysctl", "-qw", f"net.ipv4.conf.{DEVICE}.rp_filter=1")
        changes = host.engine.call(actions.repair)
        assert ["rp_filter" in change.detail for change in changes] == [True]
        assert host.engine.call(actions.repair) == []
        assert outcomes(segment, many_sources(5), PATIENCE_S) == {"h1"}
