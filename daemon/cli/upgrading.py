"""`vipcast cluster upgrade`: a command on every host, one after the other, each emptied before and back again after.

It stops where a host does not come back: the others go on serving, and nothing more is touched.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Callable, Iterable

from daemon.cli.call import OK, Call, CommandError
from daemon.cli.editing import store
from daemon.cli.evacuating import POLL_S, SHOWN_MAX, TOLD_EVERY_S, WAIT_S, empty, unready
from daemon.cli.members import with_members
from daemon.control.client import ControlError
from daemon.control.schema import StatusDocument
from daemon.model.configuration import Configuration
from daemon.model.edits import nodes

REMOTE_SHELL = "ssh -o BatchMode=yes -o ConnectTimeout=5 -o ServerAliveInterval=15"
STEADY_S = 1.0
"""the cluster has to be whole for so long: what a returned host is given is planned a moment after it is back"""


def upgrade(call: Call) -> int:
    """`cluster upgrade [--node NODE]… [--ssh COMMAND] [--wait=SECONDS] [--force] <command>`"""
    (command,) = call.arguments
    remote_shell = _remote_shell(call)
    status = call.client.status()
    turns = _turns(call, status)
    for number, name in enumerate(turns):
        still = ", ".join(turns[number + 1 :])
        call.out.line(f"{name}: emptied{f' ({still} to come)' if still else ''}")
        empty(call, name)
        _run(
            call,
            name,
            ["sh", "-c", command] if name == status.node else [*remote_shell, name, command],
            turns[number:],
        )
        _take_back(call, name)
        call.out.line(f"{name}: done, and takes its share again")
    return OK


def _remote_shell(call: Call) -> list[str]:
    try:
        words = shlex.split(call.value("--ssh") or REMOTE_SHELL)
    except ValueError as error:
        raise call.misuse(f"--ssh: {error}") from error
    if not words:
        raise call.misuse("--ssh takes the command that reaches another host, such as 'ssh -l admin'")
    return words


def _turns(call: Call, status: StatusDocument) -> list[str]:
    """Who has a turn, this host last: by then the others have shown that the command does no harm."""
    known = [node.name for node in status.nodes]
    wanted = [value for name, value in call.invocation.given if name == "--node" and value]
    for name in wanted:
        if name not in known:
            raise CommandError(f"there is no node '{name}'; there are: {', '.join(known)}")
    return sorted(set(wanted or known), key=lambda name: (name == status.node, known.index(name)))


def _run(call: Call, name: str, command: list[str], left: list[str]) -> None:
    """What it prints is shown as it comes.  Raises CommandError; the host then stays empty."""
    try:
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as running:
            assert running.stdout is not None
            for line in running.stdout:
                call.out.note(f"{name}: {line.rstrip()}")
            code = running.wait()
    except OSError as error:
        problem = f"cannot run {command[0]}: {error.strerror or error}"
    else:
        if not code:
            return
        problem = f"the command ended with status {code}"
    rest = "".join(f" --node {one}" for one in left)
    raise CommandError(
        f"{name}: {problem}.  {name} stays in standby and the others serve.  Mend it, vipcast node unstandby {name}, "
        f"then go on with: vipcast cluster upgrade{rest} …"
    )


def _take_back(call: Call, name: str) -> None:
    """Raises CommandError where the host, or what moves to it, is not well again in time."""
    end = time.monotonic() + (call.wait_s or WAIT_S)
    _await(call, name, end, lambda status: _absent(status, name))

    def taking_part(configuration: Configuration) -> Configuration:
        return nodes.unstandby(with_members(call, configuration), nodes=(name,))

    store(call, taking_part)
    _await(call, name, end, lambda status: tuple(unready(status)))


def _absent(status: StatusDocument, name: str) -> tuple[str, ...]:
    (node,) = (node for node in status.nodes if node.name == name)
    if not status.quorate:
        return ("there is no quorum",)
    return () if node.online and node.role not in {"learner", "joining"} else (f"{name} is not online",)


def _await(call: Call, name: str, end: float, wrong: Callable[[StatusDocument], Iterable[str]]) -> None:
    """Wait until nothing is wrong, and has not been for a moment.  Raises CommandError with what still is."""
    told = since = time.monotonic()
    while True:
        try:
            found = tuple(wrong(call.client.status()))
        except ControlError as error:  # this host's own daemon is being upgraded
            found = (str(error),)
        now = time.monotonic()
        if found:
            since = now
        elif now - since >= STEADY_S:
            return
        shown = "; ".join(found[:SHOWN_MAX]) + (" …" if len(found) > SHOWN_MAX else "")
        if now >= end:
            raise CommandError(f"{name} is not well again: {shown}.  The other hosts are left as they are")
        if found and now - told >= TOLD_EVERY_S:
            call.out.note(f"{name}: waiting, for {shown}")
            told = now
        time.sleep(POLL_S)
