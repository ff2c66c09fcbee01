"""The nft engine on real packets: the contract of all engines, and what only rules in the kernel can do wrong."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.netns.engine_contract")

from tests.netns.engine_contract import EngineContract  # noqa: E402

pytestmark = pytest.mark.root


class TestNftEngine(EngineContract):
    maker = "datapath.nft.engine:NftEngine"
