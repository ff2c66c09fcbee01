"""`vipcast stonith …`: devices that cut a host's power, and the word of somebody who has."""

from __future__ import annotations

import sys
from dataclasses import replace

from daemon.cli import resource
from daemon.cli.author import author
from daemon.cli.call import OK, Call, CommandError
from daemon.control.client import RefusalError
from daemon.control.schema import ConfirmFencedRequest

AGENTS = "fence_"


def create(call: Call) -> int:
    """`stonith create <id> fence_AGENT [option=value]... [op …] [meta …]`, as pcs has it."""
    name, agent, *rest = call.arguments
    if not agent.startswith(AGENTS):
        raise CommandError(
            f"'{agent}' is no fence agent: their names begin with {AGENTS} (see /usr/sbin/fence_*)", code="refused"
        )
    arguments = (name, f"stonith:{agent}", *rest)
    done = resource.create(replace(call, invocation=replace(call.invocation, arguments=arguments)))
    if done == OK and not call.has("--file"):
        _tell_where_it_counts(call)
    return done


def _tell_where_it_counts(call: Call) -> None:
    voters = sum(node.votes > 0 for node in call.client.quorum().nodes)
    if voters != 2:
        call.out.note(
            f"Warning: the cluster has {voters} voters: devices are used where there are exactly two. With more, a"
            " majority goes on without the lost node, and nothing waits for its power to be cut"
        )


def confirm(call: Call) -> int:
    """`stonith confirm <node>`: as pcs, it asks first."""
    (node,) = call.arguments
    if not call.has("--force") and not call.has("--yes"):
        _ask(call, node)
    try:
        confirmed = call.client.confirm_fenced(ConfirmFencedRequest(node, author(call.environment)))
    except RefusalError as refusal:
        raise CommandError(refusal.problem.error, code=refusal.problem.code) from refusal
    if call.out.json_wanted:
        call.out.document(confirmed)
        return OK
    call.out.line(f"Node: {node} confirmed fenced")
    call.out.note(f"This host counts its vote until {node} has booted and takes part again.")
    return OK


def _ask(call: Call, node: str) -> None:
    call.out.note(
        f"WARNING: If node '{node}' is not powered off or it does have access to shared resources, data corruption"
        " and/or cluster failure may occur."
    )
    call.out.note(
        "What this host changes from now on only its own disk has. A wrong word can lose it, and run things twice."
    )
    if not sys.stdin.isatty():
        raise CommandError("nothing was changed: say --force to go on without being asked", code="unconfirmed")
    call.out.note(
        f"Are you sure you want to confirm that node '{node}' is powered off? Type 'yes' or 'y' to proceed"
    )
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was changed", code="unconfirmed")
