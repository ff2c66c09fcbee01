"""How held SYNs enter this host where rules cannot turn a packet round: by a device of their own.

A firewall sees them come by that device; one that names its interfaces and drops what comes by others drops these as
well, and their clients repeat them.  They never come by the loopback, which firewalls trust.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from datapath.engine import DatapathError
from datapath.raw import tun

DEVICE = "vipheld"
WRITE_NS = 1_000_000
"""from the look at the clock until the packet is in the kernel's hands"""
_NO_OFFLOADS = bytes(10)
"""struct virtio_net_hdr: nothing is left to be computed"""


class WayIn:
    """The device; it is gone with `close`, or with the process."""

    def __init__(self, device: str = DEVICE) -> None:
        """DatapathError where there is no TUN, or this process may not use it."""
        self._descriptor = tun.make_transient(device)

    def take(self, packets: Iterable[bytes], deadline_ns: int) -> int:
        """IP packets, as if a wire had brought them, as long as the lease lasts (CLOCK_BOOTTIME); how many came in."""
        count = 0
        try:
            for packet in packets:
                if time.clock_gettime_ns(time.CLOCK_BOOTTIME) + WRITE_NS >= deadline_ns:
                    break
                os.write(self._descriptor, _NO_OFFLOADS + packet)
                count += 1
        except OSError as error:
            raise DatapathError(f"held SYNs cannot be taken in: {error.strerror or error}") from error
        return count

    def close(self) -> None:
        os.close(self._descriptor)
