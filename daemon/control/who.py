"""Which slot a client's packets fall into, which host that is, and why: read off a status document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from daemon.control.schema import AddressStatus, ResourceStatus, SlotStatus, StatusDocument, WhoAddress, WhoDocument
from datapath import ports
from datapath.engine import HashKind, HashOrder, PortFate, PortRule
from datapath.hashing import PORTS_IN_KEY, TCP, jhash, key_of, reciprocal_scale, rule_for


class WhoError(ValueError):
    """The question cannot be answered; the text says why and what to ask instead."""


def who(
    status: StatusDocument,
    client: IPv4Address | IPv6Address,
    port: int | None = None,
    wanted: str | None = None,
    destination_port: int | None = None,
) -> WhoDocument:
    """Answer for the address `wanted` (resource id, clone id or IP address), or for all of the client's family.

    Raises WhoError when there is no such address, or its hash needs a port that was not named.
    """
    addresses = [address for address in status.addresses if wanted is None or _is(status, address, wanted)]
    if not addresses:
        raise WhoError(_no_address(status, wanted))
    fitting = [address for address in addresses if ip_address(address.ip).version == client.version]
    if not fitting:
        names = ", ".join(f"{address.id} ({address.ip})" for address in addresses)
        raise WhoError(f"{client} is IPv{client.version}, and no address of that family is shared: {names}")
    answers = tuple(_answer(status, address, client, port, destination_port) for address in fitting)
    return WhoDocument(str(client), port, status.node, answers)


def _is(status: StatusDocument, address: AddressStatus, wanted: str) -> bool:
    if wanted in {address.id, address.ip}:
        return True
    return any(resource.id == wanted and address.id in _primitives(resource) for resource in status.resources)


def _primitives(resource: ResourceStatus) -> Iterator[str]:
    if resource.kind == "primitive":
        yield resource.id
    for member in resource.members:
        yield from _primitives(member)


def _no_address(status: StatusDocument, wanted: str | None) -> str:
    if not status.addresses:
        return "no address is shared by several hosts yet; clone an IPaddr2 with globally-unique=true"
    known = ", ".join(f"{address.id} ({address.ip})" for address in status.addresses)
    return f"'{wanted}' is no address that several hosts share; there are: {known}"


def _answer(
    status: StatusDocument,
    address: AddressStatus,
    client: IPv4Address | IPv6Address,
    port: int | None,
    destination_port: int | None,
) -> WhoAddress:
    kind = HashKind(address.hash)
    if PORTS_IN_KEY[kind] and port is None:
        raise WhoError(f"{address.id} hashes by {kind.value}: name the client's port as well, {_with_port(client)}")
    rules = ports.parse(address.port_rules)
    rule = None
    if rules and destination_port is not None:
        rule = rule_for(rules, TCP, destination_port)
        rule = None if rule is None or rule.fate is PortFate.SHARED else rule
    try:
        key = key_of(kind, client, port, destination_port, HashOrder(address.order))
    except ValueError as error:
        raise WhoError(f"{address.id}: {error}; name it as VIP:PORT") from error
    hashed = jhash(key, address.seed)
    number = rule.slot if rule is not None else reciprocal_scale(hashed, address.slots_total)
    slot = next((slot for slot in address.slots if slot.slot == number), SlotStatus(number, None, "free"))
    answers = {"open": slot.holder, "opening": slot.successor}.get(slot.phase)
    if rule is not None and rule.fate is PortFate.REFUSED:
        answers = None
    online = {node.name for node in status.nodes if node.online}
    return WhoAddress(
        address=address.id,
        ip=address.ip,
        hash=address.hash,
        key=key.hex(),
        seed=address.seed,
        hashed=hashed,
        slots_total=address.slots_total,
        slot=number,
        holder=slot.holder,
        successor=slot.successor,
        phase=slot.phase,
        answers=answers,
        holder_online=slot.holder in online,
        warnings=(*_warnings(status, slot, answers), *_about_ports(rules, rule, destination_port)),
        rule=ports.spell([rule]) if rule is not None else "",
    )


def _about_ports(rules: Sequence[PortRule], rule: PortRule | None, port: int | None) -> Iterator[str]:
    if rules and port is None:
        yield f"there are rules for ports ({ports.spell(rules)}): name the service's port to see what they say"
    if rule is not None and rule.fate is PortFate.REFUSED:
        yield f"TCP to port {port} is refused: every host drops it"


def _with_port(client: IPv4Address | IPv6Address) -> str:
    return f"[{client}]:PORT" if client.version == 6 else f"{client}:PORT"


def _warnings(status: StatusDocument, slot: SlotStatus, answers: str | None) -> Iterator[str]:
    if not status.quorate:
        yield f"{status.node} has no quorum: what it says may be old"
    if slot.phase == "draining":
        yield f"it is moving to {slot.successor}: old connections stay at {slot.holder}, new ones wait for a moment"
    if slot.phase == "opening":
        udp = f", and {slot.udp_left} conversations of UDP" if slot.udp_left else ""
        yield f"it is moving to {slot.successor}: new connections go there, old ones stay on {slot.holder}{udp}"
    if slot.phase == "closing":
        yield f"{slot.holder} is about to drop it, then it is given out anew"
    if slot.holder is None:
        yield "no host serves this slot: the packets are dropped everywhere"
    if answers is None:
        return
    if slot.phase == "open" and not slot.opened:
        yield f"{answers} has just been given the slot and has not said yet that it serves it"
    node = next((node for node in status.nodes if node.name == answers), None)
    if node is None or not node.online:
        yield f"{answers} is not online: nobody answers until its slots are taken over"
    elif node.lease_left_ms is not None and node.lease_left_ms <= 0:
        yield f"{answers} has no lease: its kernel drops the packets"
