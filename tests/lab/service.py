"""A shared address with a web server on each host, made by the commands that an administrator types."""

from __future__ import annotations

from collections.abc import Callable

from tests.lab.control import SharedAddress, Status
from tests.lab.lab import Lab
from tests.lab.waiting import wait_until

ADDRESS = "192.168.110.120"
SETTLE_S = 30.0
WEBSERVER = "ocf:vipcast:webserver"


def await_status(
    lab: Lab, right: Callable[[Status], bool], what: str, on: str = "", bound_s: float = SETTLE_S
) -> Status:
    """Wait until a host's daemon (the first one that is up, when none is named) shows what is wanted."""

    def seen() -> Status | None:
        for host in [lab[on]] if on else lab:
            status = Status.of(host)
            if status is not None:
                return status if right(status) else None
        return None

    try:
        found = wait_until(seen, bound_s, what, interval_s=0.05)
    except TimeoutError as error:
        shown = next((Status.of(host) for host in lab if Status.of(host)), None)
        raise TimeoutError(f"{error}\n{shown.document if shown else 'no daemon answers'}\n{lab.tail()}") from None
    assert found is not None
    return found


def shared(lab: Lab, resource: str = "VIP", on: str = "") -> SharedAddress:
    """The address as it is known now; raises AssertionError when it is not shared."""
    for host in [lab[on]] if on else lab:
        status = Status.of(host)
        if status is not None and (address := status.address(resource)) is not None:
            return address
    raise AssertionError(f"no daemon knows {resource} as a shared address\n{lab.tail()}")


def served(status: Status, resource: str = "VIP") -> bool:
    """Every slot is open, on a host that is online."""
    address = status.address(resource)
    return (
        address is not None
        and len(address.open) == address.slots
        and all(holder in status.online for holder in address.holders.values())
    )


def share_address(
    lab: Lab, resource: str = "VIP", ip: str = ADDRESS, slots: int = 4, hash_kind: str = "sourceip", on: str = "a2"
) -> SharedAddress:
    """Create the address as a globally-unique clone, and wait until every slot is open."""
    lab[on].vipcast(
        f"resource create {resource} ocf:heartbeat:IPaddr2 ip={ip} cidr_netmask={64 if ':' in ip else 24}"
        f" clusterip_hash={hash_kind}"
        f" op monitor interval=10s --disabled"
    ).check()
    file = f"/root/{resource}.xml"
    for command in (
        f"cluster cib {file}",
        f"-f {file} resource clone {resource} clone-max={slots} clone-node-max={slots} globally-unique=true",
        f"-f {file} resource enable {resource}",
        f"cluster cib-push {file}",
    ):
        lab[on].vipcast(command).check()
    await_status(lab, lambda status: served(status, resource), f"every slot of {resource} open", on=on)
    return shared(lab, resource, on)


def serve_web(lab: Lab, after: str = "VIP", agent: str = WEBSERVER, on: str = "a2", options: str = "") -> None:
    """A web server on every host, where the address is and after it."""
    lab[on].vipcast(f"resource create web {agent} {options} op monitor interval=10s --clone").check()
    lab[on].vipcast(f"constraint order {after}-clone then web-clone").check()
    names = set(lab.names)
    await_status(lab, lambda status: set(status.started("web")) == names, "a web server on each host", on=on)
