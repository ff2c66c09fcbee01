"""Which engine is chosen; what this kernel has is asked of it in tests/netns."""

from __future__ import annotations

from pathlib import Path

import pytest

from datapath import select
from datapath.engine import DatapathError


def test_a_setting_that_is_none_is_refused_with_the_ones_there_are(tmp_path: Path) -> None:
    with pytest.raises(DatapathError, match="auto, nft, raw"):
        select.choose("ebpf", tmp_path)
