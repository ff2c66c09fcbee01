"""One ip, one name: an address that changes its resource's name is given up under the old one first.

Two resources of one configuration never have the same ip, but what is still in force may: slots that wait to be
closed under the former name, or a plain address that has not been stopped yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from daemon.definition import addresses_of, canonical_ip
from daemon.model.configuration import Configuration
from daemon.scheduler.view import Action, Plan
from daemon.state.addresses import SlotDriven
from daemon.state.slots import Slot

Claims = Mapping[str, frozenset[str]]
"""ip → primitives that may be accepting its packets somewhere"""


def claims_of(
    in_force: Mapping[str, SlotDriven], slots: Mapping[str, Mapping[int, Slot]], plain: Iterable[tuple[str, str]]
) -> Claims:
    """Who may be accepting packets: addresses with held slots, and `plain` ones as (ip, primitive)."""
    held = [(ip_of(target), address) for address, target in in_force.items() if slots.get(address)]
    claims: dict[str, frozenset[str]] = {}
    for ip, name in (*held, *plain):
        claims[ip] = claims.get(ip, frozenset()) | {name}
    return claims


def second_names(in_force: Mapping[str, SlotDriven], slots: Mapping[str, Mapping[int, Slot]]) -> frozenset[str]:
    """Addresses whose ip is in force under another name: the one that has slots goes first."""
    first: dict[str, str] = {}
    for address in sorted(in_force, key=lambda name: (not slots.get(name), name)):
        first.setdefault(ip_of(in_force[address]), address)
    return frozenset(address for address, target in in_force.items() if first[ip_of(target)] != address)


def ip_of(target: SlotDriven) -> str:
    return canonical_ip(target.parameters.get("ip", ""))


def with_waiting_starts(plan: Plan, configuration: Configuration, claims: Claims) -> Plan:
    """The plan, in which a plain address waits until nobody serves its ip under another name."""
    if not claims:
        return plan
    actions: list[Action] = []
    ips = addresses_of(configuration)
    for action in plan.actions:
        primitive = action.instance if action.instance in ips else action.instance.rpartition(":")[0]
        if action.operation != "start" or primitive not in ips:
            actions.append(action)
            continue
        ip = ips[primitive]
        others = claims.get(ip, frozenset()) - {action.instance.partition(":")[0]}
        waits = [
            Action(
                f"{name}_address-release_0@{action.instance}",
                action.node,
                name,
                "address-release",
                reason=f"{ip} is still served as {name}",
            )
            for name in sorted(others)
        ]
        actions += [w for w in waits if w.key not in {known.key for known in actions}]
        actions.append(replace(action, after=(*action.after, *(w.key for w in waits))))
    return replace(plan, actions=tuple(actions))
