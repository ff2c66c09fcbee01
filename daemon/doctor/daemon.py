"""What the running daemon knows: links that fail, heartbeats that a switch eats, being late, alarms."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.control.schema import LinkStatus, StatusDocument
from daemon.doctor.complaint import Complaint

LATE_MS = 50
_MEND_GROUP = (
    "ip link set dev BRIDGE type bridge mcast_querier 1   # on a Linux bridge; on a switch: an IGMP querier in this "
    "VLAN, or no IGMP snooping there"
)


def of_status(status: StatusDocument) -> Iterator[Complaint]:
    for link in status.links:
        if link.trouble:
            yield Complaint(
                "link",
                "error",
                f"link {link.name}: {link.trouble}",
                "no heartbeat takes this link",
                f"ip -brief address show dev {link.interface}",
            )
        for peer in link.peers:
            if peer.trouble:
                yield Complaint(
                    "snooping" if "group" in peer.trouble else "link",
                    "warning",
                    f"link {link.name}, {peer.name}: {peer.trouble}",
                    "unicast takes its place while addresses are known; a shared multicast MAC may be eaten as well",
                    _MEND_GROUP
                    if "group" in peer.trouble
                    else f"tcpdump -ni {link.interface} udp port {_port(link)}",
                )
    if status.lateness.trouble:
        yield Complaint(
            "real-time",
            "warning",
            status.lateness.trouble,
            "a busy host is late with its heartbeats; its lease is longer for that, and its loss noticed later",
            "systemctl edit vipcastd   # LimitRTPRIO=1, LimitMEMLOCK=infinity",
        )
    if status.lateness.max_ms > LATE_MS:
        yield Complaint(
            "lateness",
            "warning",
            f"in the last five minutes the daemon was {status.lateness.max_ms:.0f} ms late once",
            "beyond a third of its lease it doubts itself and falls silent",
            "top -H   # what takes the processor; on a virtual machine also what the hypervisor gives",
        )
    for claim in status.datapath.duplicates:
        who = f"{claim.mac}, the own MAC of {claim.member}," if claim.member else claim.mac
        yield Complaint(
            "duplicate",
            "error",
            f"{who} claims {claim.ip} on {claim.interface}, {claim.last_heard_ms / 1000:.0f} s ago at last",
            "clients that believe it come to the wrong host: their connections hang, or are reset",
            f"ip address show to {claim.ip}   # on the host that has {claim.frame_source}: stop the program that set "
            f"it, then: ip address del {claim.ip}/32 dev INTERFACE",
        )
    for alarm in status.alarms:
        yield Complaint("alarm", "error", alarm, "see vipcast status", "vipcast status")


def _port(link: LinkStatus) -> str:
    return link.group.rpartition(":")[2]
