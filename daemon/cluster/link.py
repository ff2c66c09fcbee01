"""One link: a UDP socket on one interface, member of the link's multicast group.

Members are heard through asyncio-dgram.  It hands over one datagram per turn of the event loop, so `_read` takes
what else waits straight from the socket: a few microseconds each instead of a turn, and never more than a turn can
bear.  Its own queue has no bound, but never holds more than the few that arrived since its last turn; under a flood
it is the kernel's receive buffer that is full and drops.  Strangers have a socket of their own (`sieve`), which is
read a few at a time.  Sending goes straight to the socket: the library raises a send's error only at some later call.

An interface may vanish, come back under another index, or be down: the link keeps trying once a second, and says
so once.  A membership is bound to the index of the interface (ip(7), IP_ADD_MEMBERSHIP), so a new index means a
new socket; and so does an interface that came back under the old index, where the kernel knows no member any more.
A flap or a new address costs no membership.  What the switch has forgotten the kernel does not know: `rejoin`.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterable

import asyncio_dgram
from asyncio_dgram.aio import DatagramStream

from daemon.cluster.linksockets import carries, is_member, membership, open_sockets, sift

log = logging.getLogger(__name__)

DATAGRAM_BYTES_MAX = 65_535
AT_ONCE_MAX = 64
"""datagrams of members that are taken in one turn of the event loop"""
STRANGERS_AT_ONCE_MAX = 32
STRANGERS_PAUSE_S = 0.02
"""between two looks at strangers: 1,600 datagrams a second cost some percent of a core, whatever is sent"""
WATCH_INTERVAL_S = 1.0

DARK = "the interface has no carrier: cable, switch port or virtual network"

Address = tuple[str, int]


class Link:
    """Sends and receives datagrams on `interface`; `on_datagram(datagram, source)` is called on the event loop.

    `group` may be "": then only `peers` (addresses) are sent to, and those that were heard.  `name` tells it apart
    from other links of the same interface.
    """

    def __init__(
        self,
        interface: str,
        group: str,
        port: int,
        on_datagram: Callable[[bytes, Address], None],
        peers: Collection[str] = (),
        name: str = "",
    ) -> None:
        self.interface = interface
        self.name = name or interface
        self.group = group
        self.port = port
        self.counts: Counter[str] = Counter()
        self._on_datagram = on_datagram
        self.peers: tuple[Address, ...] = tuple((address, port) for address in peers)
        self._all: frozenset[Address] = frozenset((address, port) for address in (group, *peers) if address)
        self._socket: socket.socket | None = None
        self._strangers: socket.socket | None = None
        self._salts: Collection[bytes] = ()
        self._index = 0
        self._stream: DatagramStream | None = None
        self._reader: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._trouble = ""
        self._is_dark = False

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    @property
    def trouble(self) -> str:
        """Why nothing can be sent at present; empty when all is well."""
        return self._trouble or (DARK if self._is_dark else "")

    async def open(self) -> None:
        """Open the socket if the interface is there, and keep it open from now on.

        Raises OSError if another process has the port: that will not mend itself.
        """
        await self._reopen(first=True)
        self._watcher = _supervised(self._watch(), f"watch {self.interface}")

    def trust(self, salts: Collection[bytes]) -> None:
        """Sessions whose datagrams do not wait among the strangers': those that are proven to be alive."""
        self._salts = tuple(salts)
        if self._socket is not None and self._strangers is not None:
            sift(self._socket, self._strangers, self._salts)

    def send_to_all(self, datagram: bytes, others: Iterable[Address] = ()) -> None:
        """Send to the group, to the peers, and to those `others` that hear neither."""
        for address in self._all.union(others):
            self.send(datagram, address)

    def send(self, datagram: bytes, to: Address) -> None:
        """Send to one address.  What the kernel cannot take now is lost and counted."""
        if self._socket is None:
            self.counts["unsent"] += 1
            return
        try:
            self._socket.sendto(datagram, to)
        except BlockingIOError:
            self.counts["send-buffer-full"] += 1
        except OSError as error:
            self.counts["unsent"] += 1
            self._note_trouble(f"cannot send: {(error.strerror or str(error)).lower()}")
        else:
            self.counts["sent"] += 1
            if self._trouble:
                self._note_trouble("")

    def rejoin(self) -> None:
        """Leave the group and enter it at once, so that the kernel reports it to the switch (RFC 3376, section 5.1).

        Else that waits for the next query, which a pulled cable, a lost report or a new switch may precede by minutes.
        """
        if not self.group or self._socket is None or self._strangers is None:
            return
        there = membership(self.group, self._index)
        try:
            for option in (socket.IP_DROP_MEMBERSHIP, socket.IP_ADD_MEMBERSHIP):
                for one in (self._socket, self._strangers):
                    one.setsockopt(socket.IPPROTO_IP, option, there)
        except OSError as error:
            self._note_trouble(f"cannot join the group again: {(error.strerror or str(error)).lower()}")
            self._shut()  # the watch opens it anew

    def close(self) -> None:
        """Stop at once; the port is free after the event loop's next turn."""
        if self._watcher is not None:
            self._watcher.cancel()
        self._shut()

    async def _watch(self) -> None:
        """Follow the interface: its index and its groups tell whether the socket still belongs to it."""
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            index = _index_of(self.interface)
            if self._socket is None or index != self._index or (self.group and not is_member(index, self.group)):
                await self._reopen(first=False)
            self._look_at_carrier()

    def _look_at_carrier(self) -> None:
        """Without a carrier all that is sent is lost, and no error to the kernel (net/sched/sch_generic.c, noop)."""
        is_dark = self._socket is not None and not carries(self._socket, self.interface)
        if is_dark != self._is_dark:
            self._is_dark = is_dark
            if is_dark:
                log.warning("link %s: %s", self.name, DARK)
            else:
                log.info("link %s: the interface has a carrier again", self.name)

    async def _reopen(self, *, first: bool) -> None:
        self._shut()
        await asyncio.sleep(0)  # a transport closes its socket, and so frees the port, at the loop's next turn
        index = _index_of(self.interface)
        if not index:
            self._note_trouble("there is no such interface; waiting for it")
            return
        try:
            opened, strangers = open_sockets(self.interface, index, self.group, self.port)
            sift(opened, strangers, self._salts)
        except OSError as error:
            if first and error.errno in (errno.EADDRINUSE, errno.EPERM, errno.EACCES):
                raise
            self._note_trouble(f"cannot listen: {(error.strerror or str(error)).lower()}")
            return
        self._socket, self._strangers = opened, strangers
        self._index = index
        stream = await asyncio_dgram.from_socket(opened)
        self._stream = stream
        self._reader = _supervised(self._read(stream, opened), f"read {self.interface}")
        self._await_strangers(strangers)
        self._note_trouble("")

    def _shut(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
        if self._strangers is not None:
            asyncio.get_running_loop().remove_reader(self._strangers)
            self._strangers.close()
        if self._stream is not None:
            self._stream.close()
        self._reader = self._stream = self._socket = self._strangers = None
        self._index = 0

    async def _read(self, stream: DatagramStream, opened: socket.socket) -> None:
        while True:
            try:
                datagram, source = await stream.recv()
            except asyncio_dgram.TransportClosed:
                return
            except OSError as error:
                # An earlier receive failed (the interface went down); the socket itself stays good.
                self._note_deafness(error)
                continue
            assert isinstance(source, tuple)  # AF_INET
            self._deliver(datagram, source)
            self._take(opened, AT_ONCE_MAX)

    def _await_strangers(self, strangers: socket.socket) -> None:
        if strangers is self._strangers:
            asyncio.get_running_loop().add_reader(strangers, self._hear_strangers, strangers)

    def _hear_strangers(self, strangers: socket.socket) -> None:
        """A few, and then a pause: whoever floods this socket gets no more of our time than that."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(strangers)
        self._take(strangers, STRANGERS_AT_ONCE_MAX)
        loop.call_later(STRANGERS_PAUSE_S, self._await_strangers, strangers)

    def _take(self, opened: socket.socket, at_most: int) -> None:
        """Deliver what waits in a socket, without waiting for more."""
        for _ in range(at_most):
            if opened.fileno() < 0:
                return  # what was delivered has closed the link
            try:
                datagram, source = opened.recvfrom(DATAGRAM_BYTES_MAX)
            except BlockingIOError:
                return
            except OSError as error:
                self._note_deafness(error)
                return
            self._deliver(datagram, source)

    def _deliver(self, datagram: bytes, source: tuple[str, int]) -> None:
        self.counts["received"] += 1
        self._on_datagram(datagram, (source[0], source[1]))

    def _note_deafness(self, error: OSError) -> None:
        self.counts["receive-errors"] += 1
        self._note_trouble(f"cannot receive: {(error.strerror or str(error)).lower()}")

    def _note_trouble(self, trouble: str) -> None:
        """Say a new state once; a link that is down would otherwise fill the log with every heartbeat."""
        if trouble == self._trouble:
            return
        if trouble:
            log.warning("link %s (%s:%d): %s", self.name, self.group or "unicast", self.port, trouble)
        else:
            log.info("link %s (%s:%d): works again", self.name, self.group or "unicast", self.port)
        self._trouble = trouble


def _index_of(interface: str) -> int:
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        return 0


def _supervised(coroutine: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
    """A task whose failure reaches the loop's exception handler at once, not at some garbage collection."""
    loop = asyncio.get_running_loop()
    task: asyncio.Task[None] = loop.create_task(coroutine, name=name)

    def ended(done: asyncio.Task[None]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            loop.call_exception_handler({"message": f"{name} failed", "exception": error, "task": done})

    task.add_done_callback(ended)
    return task
