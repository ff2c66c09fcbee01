"""`vipcast node remove` and `vipcast cluster leave`: how a node goes for good."""

from __future__ import annotations

import shutil
import subprocess
import time

from daemon.cli.author import author
from daemon.cli.call import OK, Call, CommandError
from daemon.cli.editing import ATTEMPTS_MAX, POLL_S
from daemon.cli.founding import SYSTEMD_RUNS
from daemon.cli.sources import Superseded
from daemon.control.client import ControlError, RefusalError
from daemon.control.schema import NodeStatus, RemoveNodeRequest, StatusDocument
from daemon.model.edits.nodes import forget

LEAVE_WAIT_S = 120.0
"""what has to be given away may have connections to drain"""
ENDS_WITHIN_S = 10.0
"""the daemon, once it has been told that it is no member any more"""


def remove(call: Call) -> int:
    """`vipcast node remove <node>`"""
    (name,) = call.arguments
    wait_s = call.wait_s
    _ask(call, name)
    if wait_s is not None:
        _wait(call, name, wait_s)
    if call.out.json_wanted:
        call.out.document({"node": name, "removed": wait_s is not None})
    elif wait_s is None:
        call.out.line(
            f"{name} gives everything away, then it leaves the cluster; 'vipcast cluster log -f' shows it"
        )
    else:
        call.out.line(f"{name} has left the cluster")
    return OK


def leave(call: Call) -> int:
    """`vipcast cluster leave`: this host, until its daemon has ended."""
    wait_s = call.wait_s or LEAVE_WAIT_S
    name = call.client.status().node
    _ask(call, name)
    call.out.note(f"{name} gives everything away, then it leaves the cluster …")
    _wait(call, name, wait_s)
    _end_daemon(call)
    if call.out.json_wanted:
        call.out.document({"node": name, "removed": True})
        return OK
    call.out.line(f"{name} has left the cluster, and vipcastd has ended here")
    call.out.note(
        "What stays on this host: its settings, the cluster's key and the log (/etc/vipcast, /var/lib/vipcast)"
    )
    call.out.note("So that it does not start again at boot:  systemctl disable vipcastd vipcast-runner")
    call.out.note("To join again:  vipcast node reset, then 'vipcast cluster token' on a member, and here")
    call.out.note("                vipcast cluster join TOKEN --force")
    return OK


def _ask(call: Call, name: str) -> None:
    """Have the cluster begin.  Raises CommandError and what the control client raises."""
    try:
        call.client.remove_node(RemoveNodeRequest(name, author(call.environment)))
    except RefusalError as refusal:
        raise CommandError(refusal.problem.error, code=refusal.problem.code) from refusal
    _forget_entry(call, name)


def _forget_entry(call: Call, name: str) -> None:
    """Take the node's attributes and utilization out of the configuration, as `crm_node --remove` does for pcs.

    Constraints that name it stay, as they do there.
    """
    for _ in range(ATTEMPTS_MAX):
        loaded = call.source.load()
        after = forget(loaded.configuration, nodes=(name,))
        if after == loaded.configuration:
            return
        try:
            call.source.store(after, loaded.epoch, call.typed)
        except Superseded:
            continue
        return
    call.out.note(f"Warning: others edit all the time: attributes of {name} stay in the configuration")


def _wait(call: Call, name: str, wait_s: float) -> None:
    """Until the node is off the roster.  A daemon that has ended here was this node's own.  Raises CommandError."""
    deadline = time.monotonic() + wait_s
    own = ""
    while True:
        try:
            status = call.client.status()
        except ControlError as gone:
            if own == name and not isinstance(gone, RefusalError):
                return
            raise
        own = status.node
        node = next((found for found in status.nodes if found.name == name), None)
        if node is None:
            return
        if time.monotonic() >= deadline:
            raise CommandError(
                f"after {wait_s:g} s {name} is still a member: {_left(status, node)}. "
                "It goes on; 'vipcast status' shows how far it is",
                code="timeout",
            )
        time.sleep(POLL_S)


def _left(status: StatusDocument, node: NodeStatus) -> str:
    """What a node on its way out still has."""
    left = [f"{a.operation} of {a.instance}" for a in status.pending_actions if a.node == node.name]
    for address in status.addresses:
        numbers = [str(slot.slot) for slot in address.slots if node.name in (slot.holder, slot.successor)]
        if numbers:
            left.append(f"slots {', '.join(numbers)} of {address.id}")
    if left:
        return "what is left there: " + "; ".join(left)
    if not status.quorate:
        return "there is no quorum to agree on it"
    return "it has given everything away, and the leader has not taken it off the roster yet"


def _end_daemon(call: Call) -> None:
    """The daemon ends by itself when it is told; a service manager is asked where it did not."""
    deadline = time.monotonic() + ENDS_WITHIN_S
    while time.monotonic() < deadline:
        try:
            call.client.status()
        except ControlError as gone:
            if not isinstance(gone, RefusalError):
                return
        time.sleep(POLL_S)
    if SYSTEMD_RUNS.is_dir() and shutil.which("systemctl") is not None:
        done = subprocess.run(("systemctl", "stop", "vipcastd"), check=False, capture_output=True, text=True)
        if done.returncode == 0:
            return
    raise CommandError("this host is no member any more, but vipcastd still runs here: stop it", code="still-runs")
