"""Rows of the table of commands: taking slots away gently, and giving them back."""

from __future__ import annotations

from daemon.cli.rows import row

DRAINING = (
    row("drain", "", "Show what is drained, and how far it is", "draining:show"),
    row("drain status", "", "Show what is drained, and how far it is", "draining:show"),
    row(
        "drain node",
        "[<node>]",
        "Have all slots leave a node (default: this one) without breaking a connection; the rest runs on",
        "draining:drain_node",
        (0, 1),
    ),
    row(
        "drain address",
        "<address> [<node>]",
        "The same for one address: on a node, or everywhere, which ends its service gently",
        "draining:drain_address",
        (1, 2),
    ),
    row(
        "drain slot",
        "<address>:<slot> [<node>]",
        "Have one slot leave its present owner (or stay away from a node)",
        "draining:drain_slot",
        (1, 2),
    ),
    row(
        "undrain node",
        "[<node>]",
        "Let a node (default: this one) take its share of slots again",
        "draining:undrain_node",
        (0, 1),
    ),
    row(
        "undrain address",
        "<address> [<node>]",
        "Take the drain of an address back",
        "draining:undrain_address",
        (1, 2),
    ),
    row(
        "undrain slot",
        "<address>:<slot> [<node>]",
        "Take the drain of a slot back",
        "draining:undrain_slot",
        (1, 2),
    ),
)
