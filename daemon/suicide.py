"""no-quorum-policy=suicide, the last part: nothing that this node served or ran may remain.

Resources were stopped before (`daemon.executor.quorumless`); what could not be stopped in time is killed with the
control group of vipcast-runner, in which everything is that agents have started.  A group is killed only if it is
that service's own: on a host without systemd the runner shares its group with strangers.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Literal

from daemon.node import Node, boot_ns
from datapath.engine import DatapathError

log = logging.getLogger("vipcast")

CGROUPS = Path("/sys/fs/cgroup")
RUNNER_UNIT = "vipcast-runner.service"
REBOOT = ("systemctl", "reboot", "--force", "--force")
"""systemctl(1): at once, neither services nor file systems are asked"""


def end_everything(node: Node, cgroups: Path = CGROUPS) -> None:
    """Close the kernel, and kill what could not be stopped."""
    node.addresses.renew(0)
    try:
        node.addresses.remove()
    except DatapathError as error:
        log.error("the kernel's rules could not be taken away, they accept nothing: %s", error)
    if node.executor.has_stopped(node.state, boot_ns()):
        return
    group = runner_group(cgroups)
    if group is None:
        log.critical(
            "not everything could be stopped, and there is no group of %s to kill: look for what is left of the"
            " resources on this host",
            RUNNER_UNIT,
        )
        return
    log.critical("not everything could be stopped: killing all of %s", group)
    try:
        (group / "cgroup.kill").write_text("1", encoding="ascii")
    except OSError as error:
        log.critical("%s could not be killed: %s", group, error.strerror or error)


def runner_group(cgroups: Path = CGROUPS) -> Path | None:
    """The control group of the runner's own unit (cgroups(7), systemd.slice(5)); None: it has none."""
    group = cgroups / "system.slice" / RUNNER_UNIT
    return group if (group / "cgroup.kill").exists() else None


def last_word(how: Literal["end", "reboot"]) -> None:
    """After everything else: the host, where the settings say so."""
    if how == "end":
        log.critical("this node has lost quorum and ends itself (no-quorum-policy=suicide)")
        return
    log.critical("this node has lost quorum and reboots its host (no-quorum-policy=suicide)")
    try:
        os.execvp(REBOOT[0], REBOOT)  # noqa: S606 - no shell is wanted
    except OSError as error:
        log.critical("the host could not be rebooted, only the daemon ends: %s", error.strerror or error)
