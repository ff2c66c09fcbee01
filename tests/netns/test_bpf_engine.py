"""The bpf engine on real packets: the contract of all engines, and what only a BPF program has."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.netns.engine_contract")

from tests.netns.engine_contract import EngineContract  # noqa: E402

pytestmark = pytest.mark.root


class TestBpfEngine(EngineContract):
    maker = "datapath.bpf.engine:BpfEngine"
