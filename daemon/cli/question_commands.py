"""Rows of the table of commands: questions, which change nothing."""

from __future__ import annotations

from daemon.cli.grammar import Option
from daemon.cli.rows import row

_WHO = (
    Option("--vip", "ADDRESS", "without a daemon: the shared address"),
    Option("--slots", "N", "without a daemon: how many slots it has"),
    Option(
        "--hash",
        "KIND",
        "without a daemon: sourceip, sourceip-sourceport, sourceip-sourceport-destport or sourcenet",
    ),
    Option("--seed", "S", "without a daemon: start value of the hash, decimal or 0x…"),
    Option("--destport", "PORT", "the service's port, where the hash has it"),
)
_OF_A_CIB = (Option("--cib", "FILE", "of this CIB file with its status, not of the cluster"),)
_SIMULATE = (
    Option("--cib", "FILE", "plan for this CIB file with its status, not for the cluster"),
    Option("--bundle", "FILE", "plan for the cluster as a support bundle has it"),
    Option("--node-fail", "NODE", "what if the node failed", repeats=True),
    Option("--node-up", "NODE", "what if the node came (back) online", repeats=True),
    Option("--node-standby", "NODE", "what if the node were put in standby", repeats=True),
    Option("--node-unstandby", "NODE", "what if it were taken out of standby", repeats=True),
    Option(
        "--op-fail",
        "INSTANCE:OPERATION:NODE[:CODE]",
        "what if the operation failed there, with this exit code (default 1)",
        repeats=True,
    ),
    Option(
        "--set",
        "WHAT=VALUE",
        "what if a cluster property (NAME), a resource's meta attribute (RESOURCE:NAME) or a node's attribute "
        "(NODE:NAME) had this value",
        repeats=True,
    ),
    Option("--dot", "", "print the transition as a graph for Graphviz"),
    Option("--transition", "", "with --json: the actions and all reasons too, as what-if options give them"),
)
_NOTHING = (0, 0)

QUESTIONS = (
    row(
        "who",
        "<client>[:<port>] [<address>[:<port>]]",
        "Say which slot and host a client belongs to, and why",
        "who:who",
        (1, 2),
        _WHO,
    ),
    row(
        "explain",
        "<resource>[:<instance>] [<node>]",
        "Say why a resource is where it is",
        "explain:explain",
        (1, 2),
        _OF_A_CIB,
    ),
    row(
        "simulate",
        "",
        "Show what the cluster would do now, or after what the options suppose; nothing changes",
        "simulate:simulate",
        _NOTHING,
        _SIMULATE,
    ),
)
