"""The cluster's standing, as `pcs status` and `crm_mon` tell it, and what the hosts serve."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from daemon.cli.layout.drains import drains, waiting
from daemon.cli.layout.resources import Paint, natural, plain, resources
from daemon.control.exitcodes import meaning_of
from daemon.control.schema import (
    AddressStatus,
    FailedAction,
    LinkPeerStatus,
    NodeStatus,
    ResourceStatus,
    StatusDocument,
)

_REFUSED_ALWAYS = ("unproven", "own")
_SLOTS_LISTED_MAX = 32
"""more slots of a host than these are counted, not listed"""


def status(document: StatusDocument, paint: Paint = plain) -> Iterator[str]:
    """Everything: `vipcast status`."""
    yield f"Cluster name: {document.cluster}"
    yield from summary(document, paint)
    yield ""
    yield from nodes(document, paint)
    yield ""
    yield "Full list of resources:"
    yield ""
    yield from resources(document.resources, paint)
    if document.addresses:
        yield ""
        yield from slots(document, paint)
    yield from drains(document, paint)
    yield from failures(document, paint)
    yield from _findings(document, paint)
    yield ""
    yield from _daemon(document, paint)


def status_in_full(document: StatusDocument, paint: Paint = plain) -> Iterator[str]:
    """`vipcast status --full`: also each node, each link and what is planned."""
    yield from status(document, paint)
    yield ""
    yield from _details(document, paint)
    yield from pending(document)


def pending(document: StatusDocument) -> Iterator[str]:
    """What is planned and not done yet."""
    if document.pending_actions:
        yield ""
        yield "Pending Actions:"
    for action in document.pending_actions:
        how = "running" if action.running else "waiting"
        yield f"* {action.operation} of {action.instance} on {action.node}: {how}"


def summary(document: StatusDocument, paint: Paint = plain) -> Iterator[str]:
    """Quorum, leader, how many of what."""
    quorum = (
        paint("partition with quorum", "good") if document.quorate else paint("partition WITHOUT quorum", "bad")
    )
    version = document.versions.get("vipcast", "unknown")
    yield f"Leader: {document.leader or paint('NONE', 'bad')} (term {document.term}, version {version}) - {quorum}"
    behind = document.commit_index - document.applied_index
    late = f", {behind} not applied yet" if behind > 0 else ""
    yield f"Seen from: {document.node} (entry {document.commit_index}{late}, configuration {document.epoch})"
    for alarm in document.alarms:
        yield paint(f"ALARM: {alarm}", "bad")
    instances = sum(len(found.instances) for found in _walk(document.resources))
    yield f"{_count(len(document.nodes), 'node')} configured"
    yield f"{_count(instances, 'resource instance')} configured"


def cluster_status(document: StatusDocument, paint: Paint = plain) -> Iterator[str]:
    """`vipcast cluster status`: the cluster itself, without resources."""
    yield f"Cluster name: {document.cluster}"
    if document.cluster_id:
        yield f"Cluster id: {document.cluster_id}"
    yield from (f" {line}" for line in summary(document, paint))
    yield ""
    yield from nodes(document, paint)
    yield ""
    yield from _details(document, paint)


def _details(document: StatusDocument, paint: Paint) -> Iterator[str]:
    yield "Nodes:"
    width = max((len(node.name) for node in document.nodes), default=0)
    for node in document.nodes:
        yield f" {node.name:<{width}}  {_node_line(node, document.node)}"
    if document.links:
        yield ""
        yield "Links:"
    for link in document.links:
        told = ", ".join(f"{count} {what}" for what, count in sorted(link.counts.items()))
        trouble = f": {paint(link.trouble, 'bad')}" if link.trouble else ""
        yield f" {link.name or link.interface} ({link.group}){trouble}{f': {told}' if told else ''}"
        for peer in link.peers:
            yield f"  {peer.name}: {_heard(peer, paint)}"
    refusals = {reason: n for reason, n in document.refusals.items() if not _is_expected(reason, document)}
    if refusals:
        told = ", ".join(f"{count} {reason}" for reason, count in sorted(refusals.items()))
        yield f"Refused datagrams: {told}"


def _heard(peer: LinkPeerStatus, paint: Paint) -> str:
    if peer.trouble:
        return paint(peer.trouble, "bad")
    probes = (("multicast", peer.multicast_ms), ("unicast", peer.unicast_ms))
    ways = " and ".join(way for way, ms in probes if ms is not None)
    return f"heard {peer.heard_ms} ms ago" + (f", by {ways}" if ways else "")


def _is_expected(reason: str, document: StatusDocument) -> bool:
    """In a healthy cluster as well: first datagrams before the greeting, a host's own, copies by another link."""
    return reason in _REFUSED_ALWAYS or (reason == "replayed" and len(document.links) > 1)


def nodes(document: StatusDocument, paint: Paint = plain) -> Iterator[str]:
    """Lists as crm_mon has them: special nodes a line each, then Online and OFFLINE."""
    plain_online = []
    for node in sorted(document.nodes, key=lambda node: natural(node.name)):
        special = _special(node)
        if special is None and node.online:
            plain_online.append(node.name)
        elif special is not None:
            yield f"Node {node.name}: {paint(special, 'moving')}"
    offline = [node.name for node in document.nodes if not node.online and _special(node) is None]
    if plain_online:
        yield f"{paint('Online', 'good')}: [ {' '.join(plain_online)} ]"
    if offline:
        yield f"{paint('OFFLINE', 'bad')}: [ {' '.join(sorted(offline, key=natural))} ]"


def slots(document: StatusDocument, paint: Paint = plain) -> Iterator[str]:
    """Which host serves which slots, an address at a time."""
    for address in document.addresses:
        ready = ", ".join(sorted(address.ready, key=natural)) or "no host"
        slots_told = f"{_count(address.slots_total, 'slot')} by {address.hash}"
        prefix = f"/{address.prefixlen}" if address.prefixlen is not None else ""
        known = ", ".join(filter(None, (f"{address.ip}{prefix}", address.mac, slots_told)))
        yield f"Address {address.id} ({known}):"
        yield f"  up on {ready}"
        yield from _holders(address, paint)


def _holders(address: AddressStatus, paint: Paint) -> Iterator[str]:
    by_holder: dict[str, list[int]] = {}
    for slot in address.slots:
        if slot.holder is not None:
            by_holder.setdefault(slot.holder, []).append(slot.slot)
    for holder in sorted(by_holder, key=natural):
        yield f"  {holder}: {_slot_list(by_holder[holder])}"
    served = {number for numbers in by_holder.values() for number in numbers}
    unserved = [number for number in range(address.slots_total) if number not in served]
    if unserved:
        yield f"  {paint('nobody', 'bad')}: {_slot_list(unserved)}"
    for slot in address.slots:
        if slot.successor is not None:
            left = waiting(slot)
            yield paint(
                f"  slot {slot.slot} moves from {slot.holder} to {slot.successor} ({slot.phase}){left}", "moving"
            )


def failures(document: StatusDocument, paint: Paint = plain) -> Iterator[str]:
    """Operations that failed and were not cleaned up."""
    if document.failed_actions:
        yield ""
        yield "Failed Resource Actions:"
    for action in document.failed_actions:
        yield paint(f"* {failed_action(action)}", "bad")


def failed_action(action: FailedAction) -> str:
    """One failed action as crm_mon writes it."""
    key = f"{action.instance}_{action.operation}_{action.interval_ms}"
    told = meaning_of(action.exit_code)
    when = datetime.fromtimestamp(action.stamp_ms / 1000).astimezone().strftime("%a %b %e %H:%M:%S %Y")
    reason = f", exitreason='{action.reason}'" if action.reason else ""
    count = f", fail-count={action.fail_count}" if action.fail_count else ""
    return (
        f"{key} on {action.node} '{told}' ({action.exit_code}): "
        f"status='{action.status}'{reason}, last-rc-change='{when}'{count}"
    )


def _findings(document: StatusDocument, paint: Paint) -> Iterator[str]:
    if document.findings:
        yield ""
        yield "The scheduler says:"
    for finding in document.findings:
        yield paint(f"* {finding}", "moving")


def _daemon(document: StatusDocument, paint: Paint) -> Iterator[str]:
    yield "Daemon Status:"
    yield f"  vipcastd on {document.node}: active"
    if document.datapath.engine:
        yield f"  datapath: {document.datapath.engine}"
    if document.lateness.trouble:
        late = f"late by up to {document.lateness.max_ms:.0f} ms in the last minutes"
        yield paint(f"  not in real time: {document.lateness.trouble}; {late}", "bad")
    if document.datapath.problem:
        yield paint(f"  datapath problem: {document.datapath.problem}", "bad")


def _special(node: NodeStatus) -> str | None:
    if node.pending:
        return f"pending ({node.note})" if node.note else "pending"
    standing = (("standby", node.standby), ("maintenance", node.maintenance), ("leaving for good", node.removing))
    words = [name for name, on in standing if on]
    if not words:
        return None
    return ", ".join(words) if node.online else f"OFFLINE ({', '.join(words)})"


def _node_line(node: NodeStatus, own: str) -> str:
    words = ["online" if node.online else "OFFLINE", node.role]
    if node.name == own:
        words.append("this node")
    elif node.last_heard_ms is not None:
        words.append(f"heard {_ago(node.last_heard_ms)}")
    if node.lease_left_ms is not None:
        words.append(f"lease {node.lease_left_ms} ms" if node.lease_left_ms > 0 else "NO LEASE")
    if node.note:
        words.append(node.note)
    return ", ".join(words)


def _ago(milliseconds: int | None) -> str:
    if milliseconds is None:
        return "never"
    return f"{milliseconds} ms ago" if milliseconds < 10_000 else f"{milliseconds // 1000} s ago"


def _slot_list(numbers: list[int]) -> str:
    """`4 slots: 0-2 7`; many of them are only counted."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    listed = " ".join(
        f"{first}-{last}" if last > first else f"{first}" for first, last in ranges[:_SLOTS_LISTED_MAX]
    )
    more = " …" if len(ranges) > _SLOTS_LISTED_MAX else ""
    return f"{_count(len(numbers), 'slot')}: {listed}{more}"


def _walk(tree: tuple[ResourceStatus, ...]) -> Iterator[ResourceStatus]:
    for found in tree:
        yield found
        yield from _walk(found.members)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
