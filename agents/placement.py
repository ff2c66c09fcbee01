"""Where on this host an address belongs: its interface and the length of its prefix.

The agent of resource-agents asks the routing table for the link-scope route to the address; such a route is there
for each subnet of an interface's addresses, so these are what is looked at.  Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network

from agents.ipaddr2_parameters import Parameters
from datapath.host.links import Assigned


class PlacementError(Exception):
    """The address has no place on this host; the text says why and what to add."""


@dataclass(frozen=True, slots=True)
class Placement:
    interface: str
    prefixlen: int


def place(parameters: Parameters, assigned: Iterable[Assigned], interfaces: Iterable[str]) -> Placement:
    """What `nic` and `cidr_netmask` say, completed by the subnet that holds the address.  Raises PlacementError."""
    known = tuple(interfaces)
    if parameters.nic is not None and parameters.nic not in known:
        raise PlacementError(f"nic={parameters.nic}: this host has no such interface; it has {', '.join(known)}")
    subnets = sorted(
        (
            one
            for one in assigned
            if one.ip != parameters.ip and not one.is_ours and _holds(one, parameters) and one.interface != "lo"
        ),
        key=lambda one: -one.prefixlen,
    )
    around = [one for one in subnets if parameters.nic in (None, one.interface)]
    if parameters.nic is not None and parameters.cidr_netmask is not None:
        return Placement(parameters.nic, parameters.cidr_netmask)
    if around:
        return Placement(around[0].interface, parameters.cidr_netmask or around[0].prefixlen)
    if parameters.nic is not None:
        raise PlacementError(
            f"no address of {parameters.nic} is in a subnet with {parameters.ip}, which would give the length of "
            "its prefix; set cidr_netmask"
        )
    raise PlacementError(f"no interface of this host has a subnet with {parameters.ip}; set nic and cidr_netmask")


def _holds(one: Assigned, parameters: Parameters) -> bool:
    if one.ip.version != parameters.ip.version or one.prefixlen == one.ip.max_prefixlen:
        return False
    return parameters.ip in ip_network((one.ip, one.prefixlen), strict=False)
