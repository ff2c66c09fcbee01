"""Frames put onto the segment by hand, from the client's port: what a stranger on the network could send."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from tests.lab.host import Host
from tests.lab.lab import INTERFACE
from tests.lab.namespaces import inside_network


def send_frames(host: Host, frames: Iterable[bytes]) -> int:
    """Send whole Ethernet frames from a host's interface as they are; returns how many."""
    with inside_network(host.init):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    with sock:
        sock.bind((INTERFACE, 0))
        return sum(1 for frame in frames if sock.send(frame))
