"""What others change on this host's links and addresses, told by the kernel (rtnetlink(7)) as it happens.

`HostEvents` subscribes to the notifications of its network namespace, through pyroute2, and hands those that
concern the shared addresses to a callback on the event loop.  They are hints where to look at once: an engine's
`repair` finds out what is wrong and mends it, and goes on looking from time to time, because notifications can be
lost.  When they are (the socket's buffer overflows, netlink(7)), one `Overrun` says that anything may have changed.

One notification is read and decoded a turn of the loop, so a storm of them delays nothing by more than one.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

log = logging.getLogger("vipcast.datapath")

RECEIVE_BYTES = 256 << 10
"""of the socket's buffer: some hundred notifications; more at once are better answered by one look at everything"""
RESUBSCRIBE_S = 0.5
"""after a subscription broke; the read-back goes on meanwhile"""

_IFF_UP = 0x1
_ALL_FLAGS = 0xFFFFFFFF
"""ifi_change of an interface that has just been made or is being removed (net/core/dev.c)"""

IPAddress = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class LinkAdded:
    interface: str

    def __str__(self) -> str:
        return f"interface {self.interface} has appeared"


@dataclass(frozen=True, slots=True)
class LinkRemoved:
    interface: str

    def __str__(self) -> str:
        return f"interface {self.interface} is gone"


@dataclass(frozen=True, slots=True)
class LinkRenamed:
    before: str
    interface: str

    def __str__(self) -> str:
        return f"interface {self.before} is called {self.interface} now"


@dataclass(frozen=True, slots=True)
class LinkUp:
    interface: str

    def __str__(self) -> str:
        return f"interface {self.interface} was set up"


@dataclass(frozen=True, slots=True)
class LinkDown:
    interface: str

    def __str__(self) -> str:
        return f"interface {self.interface} was set down"


@dataclass(frozen=True, slots=True)
class AddressRemoved:
    """A shared address has left an interface.  It may have been we: whether something lacks, `repair` finds out."""

    ip: IPAddress
    interface: str

    def __str__(self) -> str:
        return f"{self.ip} was taken off {self.interface}"


@dataclass(frozen=True, slots=True)
class AddressAdded:
    """A shared address was put where it does not belong."""

    ip: IPAddress
    interface: str

    def __str__(self) -> str:
        return f"{self.ip} was put on {self.interface}"


@dataclass(frozen=True, slots=True)
class Overrun:
    """Notifications were lost: anything may have changed."""

    reason: str

    def __str__(self) -> str:
        return f"notifications of the kernel were missed: {self.reason}"


HostEvent = LinkAdded | LinkRemoved | LinkRenamed | LinkUp | LinkDown | AddressRemoved | AddressAdded | Overrun


@dataclass(frozen=True, slots=True)
class Concern:
    """What the shared addresses of this host depend on."""

    interfaces: frozenset[str] = frozenset()
    addresses: frozenset[IPAddress] = frozenset()
    place: str = "lo"
    """where the addresses belong: our own putting them there is no news"""


@dataclass(frozen=True, slots=True)
class LinkNotice:
    """RTM_NEWLINK or RTM_DELLINK, as far as it matters."""

    index: int
    name: str
    flags: int
    changed: int
    """the flags that are different now (ifi_change)"""
    is_gone: bool


@dataclass(frozen=True, slots=True)
class AddressNotice:
    """RTM_NEWADDR or RTM_DELADDR."""

    index: int
    ip: IPAddress
    is_gone: bool


Notice = LinkNotice | AddressNotice


class Interpreter:
    """Turns notices into events: it knows which interface had which name.  Pure."""

    def __init__(self, names: dict[int, str]) -> None:
        """`names` are the interfaces that there are: index → name."""
        self._names = dict(names)

    def read(self, notice: Notice, concern: Concern) -> Iterator[HostEvent]:
        match notice:
            case LinkNotice():
                yield from self._link(notice, concern)
            case AddressNotice(index=index, ip=ip, is_gone=is_gone) if ip in concern.addresses:
                interface = self._names.get(index, f"number {index}")
                if is_gone:
                    yield AddressRemoved(ip, interface)
                elif interface != concern.place:
                    yield AddressAdded(ip, interface)

    def _link(self, notice: LinkNotice, concern: Concern) -> Iterator[HostEvent]:
        before, name = self._names.get(notice.index), notice.name
        watched = {*concern.interfaces, concern.place}
        if notice.is_gone:
            self._names.pop(notice.index, None)
            if name in watched:
                yield LinkRemoved(name)
            return
        self._names[notice.index] = name
        if before is None:
            if name in watched:
                yield LinkAdded(name)
            return
        if before != name and watched & {before, name}:
            yield LinkRenamed(before, name)
        if name in watched and notice.changed & _IFF_UP and notice.changed != _ALL_FLAGS:
            yield LinkUp(name) if notice.flags & _IFF_UP else LinkDown(name)


class HostEvents:
    """The subscription, in the network namespace in which it was started."""

    def __init__(self, concern: Callable[[], Concern], tell: Callable[[HostEvent], None]) -> None:
        """`concern` is asked anew at each notification; `tell` is called on the event loop."""
        self._concern = concern
        self._tell = tell
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Subscribe; afterwards nothing is missed.  Where that fails it is logged and tried again."""
        first = None
        try:
            first = await _Subscription.open()
        except OSError as error:
            log.warning("no notifications of links and addresses yet: %s", error)
        self._task = asyncio.get_running_loop().create_task(self._keep_listening(first), name="host events")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _keep_listening(self, subscription: _Subscription | None) -> None:
        """Until cancelled; a subscription that breaks is made anew, and told of as an overrun."""
        while True:
            reason = "they could not be subscribed to"
            if subscription is not None:
                try:
                    reason = await self._listen(subscription)
                finally:
                    subscription.close()
            await asyncio.sleep(RESUBSCRIBE_S)
            try:
                subscription = await _Subscription.open()
            except OSError as error:
                log.debug("notifications of links and addresses: %s", error)
                subscription = None
                continue
            self._tell(Overrun(reason))

    async def _listen(self, subscription: _Subscription) -> str:
        """Hand on what arrives; why it ended."""
        try:
            while True:
                for notice in await subscription.next():
                    for event in subscription.interpreter.read(notice, self._concern()):
                        self._tell(event)
                await asyncio.sleep(0)
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                return "they came faster than they were read"
            return os.strerror(error.errno) if error.errno else str(error)
        except Exception as error:  # a message that the library trips over must not end the daemon
            log.exception("a notification of the kernel could not be read")
            return str(error)


class _Subscription:
    """A netlink socket that is a member of the groups, and the interfaces that there were when it became one."""

    def __init__(self, route: Any) -> None:
        self._route = route
        self.interpreter = Interpreter(dict(socket.if_nameindex()))

    @classmethod
    async def open(cls) -> _Subscription:
        """Raises OSError."""
        # Late: pyroute2 takes 0.15 s and 12 MiB, which `vipcastd --check` need not spend.
        from pyroute2.iproute.linux import AsyncIPRoute  # noqa: PLC0415
        from pyroute2.netlink.rtnl import RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR, RTMGRP_LINK  # noqa: PLC0415

        socket_class: Any = AsyncIPRoute
        route = socket_class(rcvbuf=RECEIVE_BYTES)
        try:
            await route.bind(groups=RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR)
            return cls(route)
        except BaseException:
            route.close()
            raise

    def close(self) -> None:
        self._route.close()

    async def next(self) -> list[Notice]:
        """What the next datagram says, mostly one notice.  Raises OSError, ENOBUFS where some were lost."""
        notices = [_notice(message) async for message in self._route.get()]
        return [notice for notice in notices if notice is not None]


def _notice(message: Any) -> Notice | None:
    """None for what is not about a link or an address of the host, such as a port of a bridge (AF_BRIDGE)."""
    event = message.get("event")
    if event in {"RTM_NEWLINK", "RTM_DELLINK"} and message["family"] == socket.AF_UNSPEC:
        return LinkNotice(
            index=message["index"],
            name=message.get_attr("IFLA_IFNAME") or "",
            flags=message["flags"],
            changed=message["change"],
            is_gone=event == "RTM_DELLINK",
        )
    if event in {"RTM_NEWADDR", "RTM_DELADDR"}:
        # of IPv4 the local address is ours, IFA_ADDRESS may be the peer's; IPv6 mostly has the latter alone
        text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
        if text:
            return AddressNotice(message["index"], ip_address(text), is_gone=event == "RTM_DELADDR")
    return None
