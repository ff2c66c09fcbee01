"""What the nft engine does with held SYNs where its way in fails it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from datapath.engine import DatapathError, Taken, Wish
from datapath.hold.listening import Listening
from datapath.nft import holds
from tests.unit.datapath_hold.taps import ADDRESS, QueueOfATap, syn

FAR_NS = 1 << 62


class DeviceThatIsDown:
    def take(self, packets: Iterable[bytes], deadline_ns: int) -> int:
        raise DatapathError("held SYNs cannot be taken in: Input/output error")

    def close(self) -> None:
        pass


def test_a_device_that_takes_nothing_leaves_no_tap_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would keep every SYN to the address until its queue is full, and hand them out with the next move."""
    tap = QueueOfATap()
    monkeypatch.setattr(holds, "WayIn", DeviceThatIsDown)
    monkeypatch.setattr(holds, "Listening", lambda: Listening(lambda interface: tap))  # type: ignore[arg-type, return-value]
    one = holds.Holds(lambda messages: None)
    one.listen(ADDRESS, range(4))
    tap.arrived.append(syn(1))
    one.refuse(Wish(ADDRESS, {}), range(4), Taken())
    with pytest.raises(DatapathError, match="Input/output"):
        one.release(None, ADDRESS, range(4), FAR_NS)  # type: ignore[arg-type]
    assert tap.is_closed
