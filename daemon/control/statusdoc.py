"""The status document: what the state, the cluster core and this host's datapath say, put side by side.

Pure: a function of what it is given; `now_ns` is this host's boot clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import accumulate
from types import MappingProxyType

from agents import ipaddr2_parameters
from daemon import linksettings
from daemon.cluster.core.effects import CoreStatus, PeerStatus
from daemon.cluster.statistics import Statistics
from daemon.control import resourcetree
from daemon.control.narrate import held_down
from daemon.control.schema import (
    AddressStatus,
    CounterStatus,
    DatapathStatus,
    DuplicateStatus,
    LatenessStatus,
    LinkPeerStatus,
    LinkStatus,
    NodeStatus,
    SlotStatus,
    StatusDocument,
)
from daemon.control.statedoc import (
    complete,
    drains_of,
    failed_actions,
    pending_actions,
    refused_addresses,
    slots_of,
)
from daemon.executor.progress import Left
from daemon.lateness import BOUNDS_MS, Lateness
from daemon.realtime import UNKNOWN, Punctuality
from daemon.scheduler.cluster import Cluster
from daemon.settings import Settings
from daemon.state.state import State
from datapath import ports
from datapath.engine import Counter, Wish
from datapath.mac import shared_mac
from datapath.strangers import Sighting

NS_PER_MS = 1_000_000
VERSION = version("vipcast")


def build(
    *,
    settings: Settings,
    state: State,
    core: CoreStatus,
    engine: str,
    serving: Sequence[Wish],
    counters: Sequence[Counter],
    transport: Statistics | None,
    as_of_ns: int | None,
    now_ns: int,
    lateness: Lateness | None = None,
    punctuality: Punctuality = UNKNOWN,
    alarms: Sequence[str] = (),
    sightings: Sequence[Sighting] = (),
    cluster_id: str = "",
    drains_left: Mapping[tuple[str, int], Left] = MappingProxyType({}),
) -> StatusDocument:
    """The whole document, as this node sees it now.  `state` is what it serves by, committed or an overlay."""
    view = state.view()
    cluster = resourcetree.read(view)
    left: dict[str, dict[int, Left]] = {}
    for (address, number), waits_for in drains_left.items():
        left.setdefault(address, {})[number] = waits_for
    slots = {address: tuple(slots_of(held, left.get(address, {}))) for address, held in state.slots.items()}
    return StatusDocument(
        cluster=settings.cluster.name,
        node=core.name,
        quorate=core.quorate,
        leader=core.leader,
        term=core.term,
        commit_index=core.commit,
        applied_index=min(state.index, core.commit),
        epoch=state.configuration_epoch,
        nodes=tuple(_nodes(cluster, core, state, now_ns)),
        resources=resourcetree.resources(cluster, state.plan.ready(), complete(state, slots)),
        alarms=tuple(alarms),
        addresses=tuple(_addresses(state, slots, serving)),
        failed_actions=(*failed_actions(view), *refused_addresses(state)),
        pending_actions=tuple(pending_actions(state)),
        links=tuple(_links(settings, transport)),
        refusals=dict(transport.refusals) if transport is not None else {},
        datapath=DatapathStatus(
            engine, tuple(_counters(counters)), duplicates=tuple(_duplicates(sightings, now_ns))
        ),
        lateness=_lateness(lateness, punctuality, now_ns),
        findings=(*state.plan.findings, *_voters(core)),
        versions={"vipcast": VERSION},
        cluster_id=cluster_id,
        drains=tuple(drains_of(state, slots)),
        age_ms_max=None if as_of_ns is None else -((as_of_ns - now_ns) // NS_PER_MS),
    )


# ---- nodes


def _nodes(cluster: Cluster, core: CoreStatus, state: State, now_ns: int) -> Iterator[NodeStatus]:
    """Members in the order of their ranks, then nodes that only the configuration names."""
    peers = {peer.name: peer for peer in core.peers}
    for name in (*peers, *(name for name in cluster.hosts if name not in peers)):
        peer = peers.get(name)
        host = cluster.hosts.get(name)
        online = host is not None and host.online
        yield NodeStatus(
            name=name,
            online=online,
            pending=peer is not None and not online and (peer.live or name == core.name),
            standby=host is not None and host.standby,
            maintenance=host is not None and host.maintenance,
            role=_role(name, peer, core),
            incarnation=peer.admitted_incarnation if peer is not None else None,
            last_heard_ms=_heard_ms(name, peer, core, now_ns),
            lease_left_ms=_lease_left_ms(core, now_ns) if name == core.name else None,
            removing=name in state.nodes and state.nodes[name].removing,
            restarting=peer is not None and peer.restarts,
            losses=peer.losses if peer is not None else 0,
            note=_note(peer, state) if peer is not None else "",
        )


def _note(peer: PeerStatus, state: State) -> str:
    if not peer.agrees:
        return "its timers are others than here: not counted on"
    if peer.restarts:
        return "its daemon starts again, its slots stay"
    if peer.held_ms and peer.live:
        return held_down(peer.held_ms, peer.losses, peer.lost_within_ms)
    if peer.name in state.nodes and state.nodes[peer.name].leaving:
        return "gives everything away: about to stop, or silenced (vipcast panic)"
    return ""


def _lateness(lateness: Lateness | None, punctuality: Punctuality, now_ns: int) -> LatenessStatus:
    if lateness is None:
        return LatenessStatus()
    recent = lateness.recent(now_ns)
    bounds = [f"{bound:g}" for bound in BOUNDS_MS] + ["+Inf"]
    return LatenessStatus(
        scheduling=punctuality.scheduling,
        trouble="; ".join(punctuality.troubles),
        samples=recent.samples,
        p99_ms=recent.p99_ms,
        max_ms=recent.max_ms,
        histogram=dict(zip(bounds, accumulate(lateness.counts), strict=True)),
        sum_ms=lateness.sum_ns / NS_PER_MS,
    )


def _role(name: str, peer: PeerStatus | None, core: CoreStatus) -> str:
    if name == core.leader:
        return "leader"
    if peer is not None and (peer.store_lost or peer.role in ("learner", "joining")):
        return "learner" if peer.role != "joining" else "joining"  # neither votes (LEASES.md, rule 21)
    if peer is not None and peer.role == "witness":
        return "witness"
    if name == core.name:
        return core.role.value
    return "follower" if peer is not None and peer.live and core.leader is not None else "unknown"


def _voters(core: CoreStatus) -> Iterator[str]:
    """What is wrong with the voters (LEASES.md, rule 21)."""
    for peer in core.peers:
        if peer.store_lost:
            yield f"{peer.name} is a learner: its store was lost; it votes again once its new one has caught up"
        if peer.role == "joining" and peer.name == core.name:
            yield _joining(core)
    if core.waits_for:
        yield (
            "a new cluster is founded once all its nodes hear each other;"
            f" {core.name} has not heard {', '.join(core.waits_for)}"
        )


def _joining(core: CoreStatus) -> str:
    heard = [peer.name for peer in core.peers if peer.live and peer.name != core.name]
    if not heard:
        return (
            f"{core.name} is joining: it waits to be heard by a member of the cluster."
            " If that lasts: does vipcastd run there, and is this the link, the group and the key of the cluster?"
        )
    return f"{core.name} is joining: it hears {', '.join(heard)}, and waits for their leader to take it in"


def _heard_ms(name: str, peer: PeerStatus | None, core: CoreStatus, now_ns: int) -> int | None:
    if peer is None or name == core.name or peer.last_heard_ns is None:
        return None
    return max(0, now_ns - peer.last_heard_ns) // NS_PER_MS


def _lease_left_ms(core: CoreStatus, now_ns: int) -> int:
    return max(0, (core.lease_until_ns or 0) - now_ns) // NS_PER_MS


# ---- addresses


def _addresses(
    state: State, slots: Mapping[str, tuple[SlotStatus, ...]], serving: Sequence[Wish]
) -> Iterator[AddressStatus]:
    here = {wish.address.resource: wish.address for wish in serving}
    shared = state.slot_driven()
    for name, driven in sorted(state.in_force.items()):
        if name not in shared:
            continue
        wanted = ipaddr2_parameters.parse(driven.parameters).parameters
        if wanted is None:
            continue  # the scheduler and the executor say what is wrong with it
        address = here.get(name)
        prefixlen = address.prefixlen if address is not None else wanted.cidr_netmask
        yield AddressStatus(
            id=name,
            ip=str(wanted.ip),
            prefixlen=prefixlen,
            interface=address.interface if address is not None else wanted.nic or "",
            mac=address.mac if address is not None else _mac(wanted, prefixlen),
            hash=wanted.clusterip_hash.value,
            seed=wanted.hash_seed,
            slots_total=driven.slots,
            ready=tuple(sorted(state.ready.get(name, ()))),
            slots=slots.get(name, ()),
            order=wanted.clusterip_hash_order.value,
            port_rules=ports.spell(wanted.port_rules),
        )


def _mac(wanted: ipaddr2_parameters.Parameters, prefixlen: int | None) -> str:
    """The shared MAC as it will be; unknown where it hangs on an interface that this host has not looked at."""
    if wanted.mac is not None:
        return wanted.mac
    if prefixlen is None:
        return ""
    return shared_mac(wanted.ip, prefixlen, ipaddr2_parameters.broadcast_of(wanted, prefixlen), wanted.mac_mode)


# ---- this host


def _links(settings: Settings, transport: Statistics | None) -> Iterator[LinkStatus]:
    for name, link in zip(linksettings.names(settings.links), settings.links, strict=True):
        counts = transport.links.get(name, {}) if transport is not None else {}
        trouble = transport.troubles.get(name, "") if transport is not None else "not open yet"
        peers = transport.peers.get(name, ()) if transport is not None else ()
        heard = tuple(
            LinkPeerStatus(peer.name, peer.heard_ms, peer.group_ms, peer.unicast_ms, peer.trouble) for peer in peers
        )
        where = f"{link.group or 'unicast'}:{link.port}"
        yield LinkStatus(link.interface, where, trouble, dict(counts), heard, name)


def _counters(counters: Iterable[Counter]) -> Iterator[CounterStatus]:
    for counter in counters:
        yield CounterStatus(counter.address, counter.slot, counter.verdict, counter.packets, counter.bytes)


def _duplicates(sightings: Iterable[Sighting], now_ns: int) -> Iterator[DuplicateStatus]:
    for sighting in sightings:
        claim = sighting.claim
        yield DuplicateStatus(
            ip=str(claim.ip),
            mac=claim.mac,
            interface=claim.interface,
            member=sighting.member,
            frame_source=claim.frame_source,
            first_heard_ms=(now_ns - sighting.first_ns) // NS_PER_MS,
            last_heard_ms=(now_ns - sighting.last_ns) // NS_PER_MS,
            count=sighting.count,
        )
