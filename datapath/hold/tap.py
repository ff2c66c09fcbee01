"""A packet socket that keeps the SYNs which arrive while nobody may answer them.

It hears frames before an engine's program or rules drop them (ETH_P_ALL), and keeps them in the kernel's queue, in
order, until they are read: nothing has to run while it listens.  `deafen` swaps its filter, which is done at once;
closing a socket that is bound takes the kernel some milliseconds, so that is done beside (packet(7)).
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable
from functools import cache
from queue import SimpleQueue

from datapath import bpf_filter
from datapath.engine import DatapathError
from datapath.frames import ETHERNET_HEADER
from datapath.hold.syns import checksummed
from datapath.packet_socket import SOL_PACKET, interface_index, open_deaf

QUEUE_BYTES = 16 << 20
"""some 10,000 SYNs; what is more is lost, and repeated by its client"""
FRAMES_MAX = 32_768
FRAME_BYTES_MAX = 65_535

_ETH_P_ALL = 0x0003
_SO_RCVBUFFORCE = 33
_PACKET_IGNORE_OUTGOING = 23
_PACKET_VNET_HDR = 15
_VNET_BYTES = 10
"""struct virtio_net_hdr before each frame; its first byte has flags"""
_NEEDS_CHECKSUM = 1
"""a sender on this machine has left the checksum to its device"""


class Tap:
    """Of one interface.  Begins to listen with `hear`."""

    def __init__(self, interface: str) -> None:
        """DatapathError when there is no such interface, or the process may not listen."""
        _closing()
        self.interface = interface
        self._socket = open_deaf()
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, QUEUE_BYTES)
            self._socket.setsockopt(SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            self._socket.setsockopt(SOL_PACKET, _PACKET_VNET_HDR, 1)
            interface_index(self._socket, interface)
            self._socket.bind((interface, _ETH_P_ALL))
        except OSError as error:
            self._socket.close()
            raise DatapathError(f"cannot listen for SYNs on {interface}: {error.strerror or error}") from error
        except DatapathError:
            self._socket.close()
            raise

    def hear(self, addresses: Iterable[bytes]) -> None:
        """Keep SYNs to these addresses (packed) from now on, and no others."""
        bpf_filter.attach(self._socket, bpf_filter.syns_to(addresses))

    def deafen(self) -> None:
        """Nothing more is kept; what was kept can still be read."""
        bpf_filter.attach(self._socket, bpf_filter.REFUSE_ALL)

    def read(self) -> list[bytes]:
        """The frames that were kept since the last call, in the order of their arrival."""
        frames: list[bytes] = []
        receive = self._socket.recv
        while len(frames) < FRAMES_MAX:
            try:
                received = receive(FRAME_BYTES_MAX)
            except BlockingIOError:
                break
            except OSError:
                continue  # ENETDOWN, told once
            frame = received[_VNET_BYTES:]
            if received[0] & _NEEDS_CHECKSUM:
                frame = frame[:ETHERNET_HEADER] + checksummed(frame[ETHERNET_HEADER:])
            frames.append(frame)
        return frames

    def close(self) -> None:
        """Beside: the kernel waits for packets that are just being handed to the socket."""
        _closing().put(self._socket)


@cache
def _closing() -> SimpleQueue[socket.socket]:
    """What is put there is closed by a thread that stands ready: to start one is to wait until it gets a processor."""
    sockets: SimpleQueue[socket.socket] = SimpleQueue()

    def close() -> None:
        while True:
            sockets.get().close()

    threading.Thread(target=close, name="close taps", daemon=True).start()
    return sockets
