"""One laboratory for all faults of a file: each of them leaves it whole, or the ordeal has said that it does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.service import serve_web, share_address

NEVER_HELD_DOWN = {"hold_down_ms": 0}
"""one fault comes after the other here; what is held down for that has tests of its own"""


@pytest.fixture(scope="module")
def serving() -> Iterator[Lab]:
    with Lab(hosts=4, timers=NEVER_HELD_DOWN) as lab:
        lab.start_daemons()
        lab.await_cluster()
        share_address(lab)
        serve_web(lab)
        yield lab
