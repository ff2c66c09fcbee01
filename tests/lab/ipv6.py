"""IPv6 in the laboratory, for those who ask for it: the same segment, and a network of clients behind gw."""

from __future__ import annotations

from tests.lab.lab import CLIENT, INTERFACE, Lab

PREFIX = "fd77:110"
"""of the segment: a1 is fd77:110::79 as it is 192.168.110.121 (hexadecimal), gw is fd77:110::1"""
CLIENTS = "fd64::/64"


def address6(lab: Lab, name: str) -> str:
    return f"{PREFIX}::{int(lab.address(name).rpartition('.')[2]):x}"


def give_ipv6(lab: Lab, name: str) -> None:
    """Addresses and routes of a host that has just booted."""
    commands = [f"address add {address6(lab, name)}/64 dev {INTERFACE} nodad"]
    if name == CLIENT:
        # the kernel lets nobody be an address that is only routed to it, unlike for IPv4
        lab[name].run("sysctl", "-qw", "net.ipv6.ip_nonlocal_bind=1").check()
        commands.append(f"route add local {CLIENTS} dev lo")
    else:
        commands.append(f"route add default via {address6(lab, CLIENT)} dev {INTERFACE}")
    lab[name].run("ip", "-6", "-batch", "-", input="\n".join(commands) + "\n").check()
