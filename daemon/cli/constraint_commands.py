"""Rows of the table of commands: where resources may run, together and in which order."""

from __future__ import annotations

from daemon.cli.grammar import ANY, Option
from daemon.cli.rows import row

_FULL = Option("--full", "", "show ids as well")

CONSTRAINTS = (
    row("constraint", "", "List all constraints", "constraint:show", options=(_FULL,)),
    row("constraint config", "", "List all constraints", "constraint:show", options=(_FULL,)),
    row(
        "constraint location",
        "<resource> prefers|avoids <node>[=<score>]... | <resource> rule [score=<score>] <expression>",
        "Prefer or avoid nodes (score: INFINITY)",
        "location:location",
        (3, ANY),
    ),
    row(
        "constraint location add",
        "<id> <resource> <node> <score>",
        "Add a location constraint with an id of its own",
        "location:add",
        (4, 5),
    ),
    row("constraint location remove", "<id>", "Remove a location constraint", "constraint:remove", (1, ANY)),
    row(
        "constraint location config", "", "List location constraints", "constraint:show_locations", options=(_FULL,)
    ),
    row(
        "constraint colocation add",
        "[<role>] <resource> with [<role>] <resource> [score] [option=value]...",
        "Keep resources together, or apart with a negative score",
        "constraint:colocation_add",
        (3, ANY),
    ),
    row(
        "constraint colocation set",
        "<resource>... [option=value]... [set <resource>...]... [setoptions option=value...]",
        "Keep sets of resources together",
        "constraint:colocation_set",
        (1, ANY),
    ),
    row(
        "constraint colocation remove",
        "<resource> <with resource>",
        "Remove the colocation of two resources",
        "constraint:colocation_remove",
        (2, 2),
    ),
    row(
        "constraint colocation config",
        "",
        "List colocation constraints",
        "constraint:show_colocations",
        options=(_FULL,),
    ),
    row(
        "constraint order",
        "[<action>] <resource> then [<action>] <resource> [option=value]...",
        "Start one resource before another",
        "constraint:order",
        (3, ANY),
    ),
    row(
        "constraint order set",
        "<resource>... [option=value]... [set <resource>...]... [setoptions option=value...]",
        "Order sets of resources",
        "constraint:order_set",
        (1, ANY),
    ),
    row(
        "constraint order remove",
        "<resource>...",
        "Remove resources from all orders",
        "constraint:order_remove",
        (1, ANY),
    ),
    row("constraint order config", "", "List ordering constraints", "constraint:show_orders", options=(_FULL,)),
    row("constraint remove", "<id>...", "Remove constraints by their ids", "constraint:remove", (1, ANY)),
    row(
        "constraint ref",
        "<resource>...",
        "List ids of the constraints that name a resource",
        "constraint:ref",
        (1, ANY),
    ),
)
