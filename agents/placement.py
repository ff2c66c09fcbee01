"""Where on this host an address belongs: its interface and the length of its prefix.

The agent of resource-agents asks the routing table for the link-scope route to the address; such a route is there
for each subnet of an interface's addresses, so these are what is looked at.  Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network

from agents.ipaddr2_parameters import Parameters
from datapath.host.links import Assigned, readable


class PlacementError(Exception):
    """The address has no place on this host; the text says why and what to add."""


@dataclass(frozen=True, slots=True)
class Placement:
    interface: str
    prefixlen: int


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What decides where addresses belong: equal ones give every address the same place."""

    subnets: tuple[Assigned, ...]
    interfaces: tuple[str, ...]

    @classmethod
    def of(cls, assigned: Iterable[Assigned], interfaces: Iterable[str]) -> Surroundings:
        """Without what is no subnet: hundreds of shared addresses are assigned here, too."""
        subnets = (
            one
            for one in assigned
            if one.prefixlen != one.ip.max_prefixlen and not one.is_ours and one.interface != "lo"
        )
        return cls(tuple(subnets), tuple(interfaces))


def place(parameters: Parameters, around: Surroundings) -> Placement:
    """What `nic` and `cidr_netmask` say, completed by the subnet that holds the address.  Raises PlacementError."""
    if parameters.nic is not None and parameters.nic not in around.interfaces:
        told = ", ".join(map(readable, around.interfaces))
        raise PlacementError(f"nic={parameters.nic}: this host has no such interface; it has {told}")
    subnets = sorted(
        (one for one in around.subnets if one.ip != parameters.ip and _holds(one, parameters)),
        key=lambda one: -one.prefixlen,
    )
    here = [one for one in subnets if parameters.nic in (None, one.interface)]
    if parameters.nic is not None and parameters.cidr_netmask is not None:
        return Placement(parameters.nic, parameters.cidr_netmask)
    if here:
        _require_text(here[0].interface)
        return Placement(here[0].interface, parameters.cidr_netmask or here[0].prefixlen)
    if parameters.nic is not None:
        raise PlacementError(
            f"no address of {parameters.nic} is in a subnet with {parameters.ip}, which would give the length of "
            "its prefix; set cidr_netmask"
        )
    raise PlacementError(f"no interface of this host has a subnet with {parameters.ip}; set nic and cidr_netmask")


def _require_text(interface: str) -> None:
    """The name goes into rules and messages, which are UTF-8; the kernel takes any bytes."""
    if (told := readable(interface)) != interface:
        raise PlacementError(
            f"the interface with the subnet is called {told}, which is no UTF-8; give it another name "
            "(ip link set … name …)"
        )


def _holds(one: Assigned, parameters: Parameters) -> bool:
    return one.ip.version == parameters.ip.version and parameters.ip in ip_network(
        (one.ip, one.prefixlen), strict=False
    )
