"""The forwarder's ear on one interface: a packet socket that receives only frames for the shared addresses."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from datapath import bpf_filter
from datapath.engine import DatapathError
from datapath.frames import ETHERNET_HEADER
from datapath.packet_socket import SOL_PACKET, open_deaf

VNET: Final = 10
"""struct virtio_net_hdr before each frame: checksums still to be computed, and how segments were merged"""
PACKET_AT: Final = VNET + ETHERNET_HEADER
"""where the IP packet begins in what `socket.recv_into` gives"""
FRAME_BYTES_MAX: Final = PACKET_AT + (1 << 16)
QUEUE_BYTES = 8 << 20
QUEUE_PACKETS_MAX = 2 * QUEUE_BYTES // 512
"""more packets than the queue can hold: the kernel counts at least 512 bytes for each, and doubles the limit"""

SO_RCVBUFFORCE = 33
PACKET_VNET_HDR = 15


class Wire:
    """One interface and one of IPv4 and IPv6.  Deaf until `serve` has named the addresses.

    Bound to the protocol, not to all: other traffic pays nothing, and what this host sends is not seen.
    """

    def __init__(self, interface: str, ethertype: int) -> None:
        """DatapathError when there is no such interface, or the kernel refuses."""
        self.interface = interface
        self.socket = open_deaf()
        try:
            self.socket.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, QUEUE_BYTES)
            with suppress(PermissionError):  # needs CAP_NET_ADMIN; the ordinary limit is net.core.rmem_max
                self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, QUEUE_BYTES)
            self.socket.bind((interface, ethertype))
        except OSError as error:
            self.socket.close()
            raise DatapathError(f"cannot listen on {interface}: {error.strerror or error}") from error

    def fileno(self) -> int:
        return self.socket.fileno()

    def serve(self, addresses: Sequence[tuple[bytes, bytes]]) -> None:
        """Hear frames to exactly these (packed address, shared MAC); the filter changes in one step.

        DatapathError when it is refused: what is heard is as before.
        """
        bpf_filter.attach(self.socket, bpf_filter.packets_for(addresses))

    def close(self) -> None:
        self.socket.close()
