"""All checks, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from daemon import settings
from daemon.control.schema import StatusDocument
from daemon.doctor import daemon as running
from daemon.doctor import host, network
from daemon.doctor.complaint import Complaint
from daemon.settings import Settings, SettingsError

CHECKS: tuple[Callable[[Settings], Iterator[Complaint]], ...] = (
    host.disk,
    host.clock,
    host.kernel,
    host.sysctls,
    network.links,
    network.firewall,
)


def examine(file: Path, status: StatusDocument | None) -> list[Complaint]:
    """All that is wrong, or could not be looked at; `status` is the running daemon's, None where none answers."""
    found = [
        Complaint(
            "settings",
            finding.severity,
            f"{finding.where}: {finding.message}",
            _CAUSES[finding.severity],
            finding.remedy,
        )
        for finding in settings.check(file)
    ]
    try:
        configured = settings.load(file)
    except SettingsError:
        return found
    for check in CHECKS:
        found += check(configured)
    if status is None:
        found += host.real_time(configured)
        found.append(
            Complaint(
                "daemon",
                "error",
                f"vipcastd does not answer on {configured.paths.control_socket}",
                "this host serves nothing of the cluster, or nobody can ask it",
                "systemctl start vipcastd   # and then: journalctl -u vipcastd -n 50",
            )
        )
    else:
        found += running.of_status(status)
    return found


_CAUSES = {"error": "vipcastd does not start", "warning": "vipcastd starts, and is not what it could be"}
