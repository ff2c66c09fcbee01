"""A cluster of four hosts as status documents."""

from __future__ import annotations

from typing import Any

import msgspec

from daemon.control.schema import (
    AddressStatus,
    InstanceStatus,
    NodeStatus,
    ResourceStatus,
    SlotStatus,
    StatusDocument,
)

HOSTS = ("a1", "a2", "a3", "a4")


def address(**changes: Any) -> AddressStatus:
    """192.168.110.120, four slots, one on each host."""
    plain = AddressStatus(
        id="VIP",
        ip="192.168.110.120",
        prefixlen=24,
        interface="eth0",
        mac="21:37:6f:88:c2:a0",
        hash="sourceip-sourceport",
        seed=0x1234ABCD,
        slots_total=4,
        ready=HOSTS,
        slots=tuple(SlotStatus(number, host, "open") for number, host in enumerate(HOSTS)),
    )
    return msgspec.structs.replace(plain, **changes)


def clone_of_address() -> ResourceStatus:
    instances = tuple(
        InstanceStatus(f"VIP:{number}", "Started", host, slot=number, phase="open")
        for number, host in enumerate(HOSTS)
    )
    child = ResourceStatus("primitive", "VIP", "ocf:heartbeat:IPaddr2", instances=instances)
    return ResourceStatus("clone", "VIP-clone", unique=True, members=(child,))


def status(**changes: Any) -> StatusDocument:
    """All four online, a1 answers and leads."""
    nodes = tuple(
        NodeStatus(
            host,
            online=True,
            role="leader" if host == "a1" else "follower",
            incarnation=3,
            last_heard_ms=None if host == "a1" else 12,
            lease_left_ms=310,
        )
        for host in HOSTS
    )
    plain = StatusDocument(
        cluster="demo",
        node="a1",
        quorate=True,
        leader="a1",
        term=7,
        commit_index=42,
        applied_index=42,
        epoch=40,
        nodes=nodes,
        resources=(clone_of_address(),),
        addresses=(address(),),
        versions={"vipcast": "0.1.0"},
    )
    return msgspec.structs.replace(plain, **changes)
