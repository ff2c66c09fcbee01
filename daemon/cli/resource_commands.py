"""Rows of the table of commands: resources and what is in them."""

from __future__ import annotations

from daemon.cli.grammar import ANY, Option
from daemon.cli.rows import row

_GROUP = Option("--group", "GROUP", "add the resource to this group")
_BEFORE = Option("--before", "RESOURCE", "place it before this member")
_AFTER = Option("--after", "RESOURCE", "place it after this member")
_DISABLED = Option("--disabled", "", "do not start it")
_CLONE = Option("--clone", "", "clone the new resource")
_MONITOR = Option("--monitor", "", "switch their recurring monitors as well")
_FULL = Option("--full", "", "show ids as well")
_SHOW_FULL = Option("--full", "", "show how all of them are configured")
_ROLE = (
    Option("--promoted", "", "only the promoted instance"),
    Option("--master", "", "the same, in the words of older versions"),
)
_NODE = Option("--node", "NODE", "on this node only")
_ONE = (1, 1)
_PERHAPS = (0, 1)

RESOURCES = (
    row("resource", "", "Show resources and where they run", "status:show_resources"),
    row("resource status", "[<resource>]", "Show resources and where they run", "status:show_resources", _PERHAPS),
    row(
        "resource create",
        "<id> <standard:[provider:]type> [option=value]... [op <operation> [option=value]...]... "
        "[meta option=value...] [clone [<id>] [option=value]... | --group GROUP]",
        "Create a resource, running as soon as the cluster wants it",
        "resource:create",
        (2, ANY),
        (_GROUP, _BEFORE, _AFTER, _DISABLED, _CLONE),
    ),
    row(
        "resource update",
        "<id> [option=value]... [op <operation> [option=value]...]... [meta option=value...]",
        "Change options of a resource; an empty value removes one",
        "resource:update",
        (2, ANY),
    ),
    row(
        "resource delete",
        "<id>",
        "Delete a resource, group or clone and what refers to it",
        "resource:delete",
        _ONE,
    ),
    row(
        "resource config",
        "[<id>]...",
        "Show how resources are configured",
        "resource:config",
        (0, ANY),
    ),
    row(
        "resource describe",
        "<standard:[provider:]type>",
        "Show what an agent does, its options and the operations that it advises",
        "resource:describe",
        _ONE,
    ),
    row("resource agents", "[<filter>]", "List the OCF agents of this host", "resource:agents", _PERHAPS),
    row(
        "resource show",
        "[<id>]...",
        "Show resources and where they run, or how those that are named are configured",
        "resource:show",
        (0, ANY),
        (_SHOW_FULL,),
    ),
    row(
        "resource clone",
        "<id> [<clone id>] [meta] [option=value]...",
        "Clone a resource or group",
        "resource:clone",
        (1, ANY),
    ),
    row("resource unclone", "<id>", "Remove a clone, keep what is in it", "resource:unclone", _ONE),
    row(
        "resource group add",
        "<group> <id>...",
        "Put resources into a group, which is made if need be",
        "group:add",
        (2, ANY),
        (_BEFORE, _AFTER),
    ),
    row(
        "resource group remove",
        "<group> [<id>]...",
        "Take resources out of a group, or dissolve it",
        "group:remove",
        (1, ANY),
    ),
    row("resource group list", "", "List groups and their members", "group:show"),
    row(
        "resource meta",
        "<id> option=value...",
        "Change meta attributes; an empty value removes one",
        "resource:meta",
        (2, ANY),
    ),
    row("resource enable", "<id>...", "Let resources run", "standing:enable", (1, ANY)),
    row("resource disable", "<id>...", "Stop resources and keep them stopped", "standing:disable", (1, ANY)),
    row(
        "resource manage",
        "<id>...",
        "Let the cluster look after resources again",
        "standing:manage",
        (1, ANY),
        (_MONITOR,),
    ),
    row(
        "resource unmanage",
        "<id>...",
        "Leave resources alone, as they are",
        "standing:unmanage",
        (1, ANY),
        (_MONITOR,),
    ),
    row(
        "resource failback",
        "<id>...",
        "Give nodes that are back their share of a shared address's slots now",
        "standing:failback",
        (1, ANY),
    ),
    row(
        "resource ban",
        "<id> [<node>] [lifetime=<duration>]",
        "Keep a resource away from a node, or from where it is",
        "standing:ban",
        (1, 3),
        _ROLE,
    ),
    row(
        "resource move",
        "<id> [<node>] [lifetime=<duration>]",
        "Move a resource to a node, or away from where it is",
        "standing:move",
        (1, 3),
        _ROLE,
    ),
    row("resource clear", "<id> [<node>]", "Take back what ban and move have said", "standing:clear", (1, 2)),
    row(
        "resource cleanup",
        "[<id>] [node=<node>]",
        "Forget failures, so that what failed is tried again",
        "standing:cleanup",
        (0, ANY),
        (_NODE,),
    ),
    row(
        "resource refresh",
        "[<id>] [node=<node>]",
        "Forget results, so that resources are probed again",
        "standing:refresh",
        (0, ANY),
        (_NODE, _FULL),
    ),
    row(
        "resource failcount",
        "[show] [<id>]",
        "Show how often resources have failed, and where",
        "status:show_failcounts",
        (0, 2),
    ),
    row(
        "resource utilization",
        "<id> [<name>=<number>]...",
        "Show or set what a resource uses of its node",
        "utilization:of_resource",
        (1, ANY),
    ),
    row(
        "resource defaults",
        "[option=value]...",
        "Show or set defaults of meta attributes",
        "property:resource_defaults",
        (0, ANY),
    ),
    row(
        "resource op add",
        "<id> <operation> [option=value]...",
        "Add an operation to a resource",
        "resource:op_add",
        (2, ANY),
    ),
    row(
        "resource op remove",
        "<id> <operation> [option=value]... | <operation id>",
        "Remove an operation",
        "resource:op_remove",
        (1, ANY),
    ),
    row(
        "resource op defaults",
        "[option=value]...",
        "Show or set defaults of operations",
        "property:operation_defaults",
        (0, ANY),
    ),
)
