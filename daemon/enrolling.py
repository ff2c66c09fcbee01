"""The daemon's desk for hosts that join: prints tokens and answers applications, between core, settings and key file.

The protocol is `daemon.cluster.enrolment`; here are the clock, the randomness and what the cluster knows now.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from importlib.metadata import version
from ipaddress import IPv4Address

from daemon import interfaces, keys, linksettings
from daemon.cluster.core.effects import CoreStatus
from daemon.cluster.enrolment.desk import Cluster, Desk, Presence, TooManyTokensError
from daemon.cluster.enrolment.exchange import Grant, GrantedLink
from daemon.cluster.enrolment.token import SECRET_BYTES, Token
from daemon.control.backend import Refused
from daemon.control.schema import TokenDocument
from daemon.settings import Link, Settings

log = logging.getLogger("vipcast.enrolment")

NS_PER_MS = 1_000_000
ANYWHERE = IPv4Address(0)
VERSION = version("vipcast")


class Enrolling:
    """`print_token` for the control API, `receive` for the transport.  `clock`: nanoseconds of CLOCK_BOOTTIME."""

    def __init__(
        self,
        settings: Settings,
        status: Callable[[], CoreStatus],
        clock: Callable[[], int],
        addresses_on: Callable[[str], list[str]] = lambda link: [],
    ) -> None:
        """`addresses_on(link)`: of the other nodes, for a witness that hears no multicast."""
        self.settings = settings
        self._addresses_on = addresses_on
        self.desk = Desk(settings.node.name, self._cluster, os.urandom)
        self.cluster_id: Callable[[], str] = lambda: ""
        """of this cluster, "" while it has none"""
        self.welcomed: Callable[[str], None] = lambda name: None
        """called with the name of a host that was given the key"""
        self._status = status
        self._clock = clock

    def print_token(self, ttl_ms: int, uses: int, author: str) -> TokenDocument | Refused:
        """A new token.  Blocks for as long as the kernel takes to list its addresses: microseconds."""
        cluster = self._cluster()
        if cluster.grant is None:
            return Refused(cluster.unready)
        link = self.settings.links[0]
        token = Token(
            IPv4Address(link.group or ANYWHERE), _address_on(link) or ANYWHERE, link.port, os.urandom(SECRET_BYTES)
        )
        try:
            self.desk.issue(token.secret, ttl_ms * NS_PER_MS, uses, self._clock())
        except TooManyTokensError:
            return Refused(
                "too many tokens wait for their hosts already; use one of them, or wait until they expire"
            )
        log.info("%s made a join token: for %d s, %d use(s)", author, ttl_ms // 1000, uses)
        return TokenDocument(
            token=str(token),
            expires_in_ms=ttl_ms,
            uses=uses,
            cluster=self.settings.cluster.name,
            node=self.settings.node.name,
        )

    def receive(self, datagram: bytes, source: str) -> bytes | None:
        """What to send back for a datagram of the enrolment protocol, if anything."""
        answer = self.desk.receive(datagram, source, self._clock())
        while self.desk.welcomes:
            welcome = self.desk.welcomes.pop()
            self.welcomed(welcome.name)
            what = "witness" if welcome.witness else "node"
            log.info("%s at %s was given the cluster's key by a token, to join as a %s", welcome.name, source, what)
        return answer

    def _cluster(self) -> Cluster:
        status = self._status()
        nodes = {peer.name: Presence.ONLINE if peer.live else Presence.OFFLINE for peer in status.peers}
        nodes[status.name] = Presence.ONLINE
        if any(peer.role == "joining" for peer in status.peers if peer.name == status.name):
            return Cluster(nodes, None, f"{status.name} is still joining itself; ask another node")
        if not status.quorate:
            return Cluster(
                nodes, None, f"{status.name} sees no quorum now, and without one nobody joins; see 'vipcast status'"
            )
        try:
            ring = self.settings.keyring()
        except keys.KeyFileError as error:
            return Cluster(nodes, None, f"{status.name} cannot read its key: {error}")
        if ring.pending is not None:
            # The active one is about to be forgotten, and what follows it goes to members alone.
            return Cluster(
                nodes,
                None,
                "the cluster's key is being replaced; try again in some seconds ('vipcast key status' shows it)",
            )
        return Cluster(nodes, self._grant(ring.active.key))

    def _grant(self, key: bytes) -> Grant:
        settings = self.settings
        return Grant(
            cluster=settings.cluster.name,
            node=settings.node.name,
            authkey=key,
            links=tuple(map(self._granted, linksettings.names(settings.links), settings.links)),
            profile=settings.timer_table.profile,
            timers=settings.timer_table.model_dump(exclude={"profile"}, exclude_none=True),
            cipher=settings.cluster.cipher,
            version=VERSION,
            cluster_id=self.cluster_id(),
        )

    def _granted(self, name: str, link: Link) -> GrantedLink:
        own = _address_on(link)
        peers = (*([str(own)] if own else []), *self._addresses_on(name))
        return GrantedLink(link.group, link.port, str(_network_of(link) or ""), peers)


def _address_on(link: Link) -> IPv4Address | None:
    found = _on(link)
    return found.addresses[0].ip if found else None


def _network_of(link: Link) -> object:
    found = _on(link)
    return found.addresses[0].network if found else None


def _on(link: Link) -> interfaces.Interface | None:
    """The link's interface, where it has an address."""
    return next((one for one in interfaces.of_this_host() if one.name == link.interface and one.addresses), None)
