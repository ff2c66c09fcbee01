"""no-quorum-policy=suicide, the last part: nothing that this node served or ran may remain.

Resources were stopped before (`daemon.executor.quorumless`); what could not be stopped in time is killed with the
control group of vipcast-runner, in which everything is that agents have started.  A group is killed only if it is
that service's own: on a host without systemd the runner shares its group with strangers.  Killing and rebooting are
root's to do; a core that is not root asks the runner (`agents.privileges`).
"""

from __future__ import annotations

import contextlib
import logging
import os
from typing import Literal

from agents import privileges
from daemon.cluster.clock import boot_ns
from daemon.node import Node
from datapath.engine import DatapathError
from datapath.host import privileged

log = logging.getLogger("vipcast")

RUNNER_COMES_S = 5.0
"""it may be starting again just now; the loop waits, well below WatchdogSec="""


def end_everything(node: Node) -> None:
    """Close the kernel, and kill what could not be stopped."""
    node.addresses.renew(0)
    try:
        node.addresses.remove()
    except DatapathError as error:
        log.error("the kernel's rules could not be taken away, they accept nothing: %s", error)
    if node.executor.has_stopped(node.state, boot_ns()):
        return
    try:
        if os.geteuid() == 0:
            privileges.kill_agents()
        else:
            privileged.insist(privileged.KillAgents(), RUNNER_COMES_S)
    except privileged.RunnerEndedError:
        return  # the runner is in the group that it has killed
    except OSError as error:
        log.critical("not everything could be stopped: %s", error.strerror or error)


def last_word(how: Literal["end", "reboot"]) -> None:
    """After everything else: the host, where the settings say so."""
    if how == "end":
        log.critical("this node has lost quorum and ends itself (no-quorum-policy=suicide)")
        return
    log.critical("this node has lost quorum and reboots its host (no-quorum-policy=suicide)")
    try:
        if os.geteuid() != 0:
            with contextlib.suppress(privileged.RunnerEndedError):  # the host goes down already
                privileged.insist(privileged.Reboot(), RUNNER_COMES_S)
            return
        os.execvp(privileges.REBOOT[0], privileges.REBOOT)  # noqa: S606 - no shell is wanted
    except OSError as error:
        log.critical("the host could not be rebooted, only the daemon ends: %s", error.strerror or error)
