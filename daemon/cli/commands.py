"""Every command that `vipcast` knows: one table, from which parser, usage texts and reference page are made."""

from __future__ import annotations

from daemon.cli.grammar import ANY, Command, Grammar, Option
from daemon.cli.membership_commands import MEMBERSHIP
from daemon.cli.rows import row as _row

GLOBAL_OPTIONS = (
    Option("--file", "FILE", "work on a file that 'cluster cib FILE' wrote, not on the cluster", short="-f"),
    Option("--json", "", "print JSON for programs"),
    Option("--wait", "[SECONDS]", "after a change, wait until the cluster has carried it out (default 60)"),
    Option("--force", "", "go on where a warning would stop"),
    Option("--socket", "PATH", "control socket of the daemon (or the variable VIPCAST_SOCKET)"),
    Option("--debug", "", "show the details of an internal error"),
    Option("--help", "", "show usage", short="-h"),
    Option("--version", "", "show the version"),
)

_GROUP = Option("--group", "GROUP", "add the resource to this group")
_BEFORE = Option("--before", "RESOURCE", "place it before this member")
_AFTER = Option("--after", "RESOURCE", "place it after this member")
_DISABLED = Option("--disabled", "", "do not start it")
_CLONE = Option("--clone", "", "clone the new resource")
_MONITOR = Option("--monitor", "", "switch their recurring monitors as well")
_EVERYTHING = Option("--full", "", "tell each node, link and planned action as well")
_FULL = Option("--full", "", "show ids as well")
_FOLLOW = Option("--follow", "", "go on as entries arrive", short="-f")
_SHOW_FULL = Option("--full", "", "show how all of them are configured")
_ROLE = (
    Option("--promoted", "", "only the promoted instance"),
    Option("--master", "", "the same, in the words of older versions"),
)
_VERBOSE = Option("--verbose", "", "accepted: everything is told anyway", short="-V")
_CONFIG = Option("--config", "", "push only the configuration (what vipcast always does)")
_NODE = Option("--node", "NODE", "on this node only")
_ALL = Option("--all", "", "on all nodes")
_START = Option("--start", "", "accepted: the service is started on each host")
_WHO = (
    Option("--vip", "ADDRESS", "without a daemon: the shared address"),
    Option("--slots", "N", "without a daemon: how many slots it has"),
    Option("--hash", "KIND", "without a daemon: sourceip, sourceip-sourceport or sourceip-sourceport-destport"),
    Option("--seed", "S", "without a daemon: start value of the hash, decimal or 0x…"),
    Option("--destport", "PORT", "the service's port, where the hash has it"),
)
_OF_A_CIB = (Option("--cib", "FILE", "of this CIB file with its status, not of the cluster"),)
_SIMULATE = (
    Option("--cib", "FILE", "plan for this CIB file with its status, not for the cluster"),
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
)
_LINES = Option("--lines", "N", "this many entries (default 50)", short="-n")
_SINCE = Option("--since", "INDEX|TIME", "from this entry, time or so long ago on: 4711, 21:10, 10min")
_AT = Option("--at", "INDEX|TIME", "as it was after this entry, at this time or so long ago, by the log")


def _same(words: str, other: str) -> Command:
    """A second name; usage, limits and options are filled in from the first one."""
    return Command(tuple(words.split()), "", "", "", like=tuple(other.split()))


_NOTHING = (0, 0)
_ONE = (1, 1)
_PERHAPS = (0, 1)

_ROWS = (
    _row(
        "status",
        "",
        "Show the cluster: quorum, nodes, resources, failures",
        "status:show_all",
        options=(_EVERYTHING, _AT),
    ),
    _row("status resources", "[<resource>]", "Show resources only", "status:show_resources", _PERHAPS),
    _row("status nodes", "", "Show nodes only", "status:show_nodes"),
    _row("status slots", "[<address>]", "Show which host serves which slots", "status:show_slots", _PERHAPS),
    _row("resource", "", "Show resources and where they run", "status:show_resources"),
    _row("resource status", "[<resource>]", "Show resources and where they run", "status:show_resources", _PERHAPS),
    _row(
        "resource create",
        "<id> <standard:[provider:]type> [option=value]... [op <operation> [option=value]...]... "
        "[meta option=value...] [clone [<id>] [option=value]... | --group GROUP]",
        "Create a resource, running as soon as the cluster wants it",
        "resource:create",
        (2, ANY),
        (_GROUP, _BEFORE, _AFTER, _DISABLED, _CLONE),
    ),
    _row(
        "resource update",
        "<id> [option=value]... [op <operation> [option=value]...]... [meta option=value...]",
        "Change options of a resource; an empty value removes one",
        "resource:update",
        (2, ANY),
    ),
    _row(
        "resource delete",
        "<id>",
        "Delete a resource, group or clone and what refers to it",
        "resource:delete",
        _ONE,
    ),
    _row(
        "resource config",
        "[<id>]...",
        "Show how resources are configured",
        "resource:config",
        (0, ANY),
    ),
    _row(
        "resource describe",
        "<standard:[provider:]type>",
        "Show what an agent does, its options and the operations that it advises",
        "resource:describe",
        _ONE,
    ),
    _row("resource agents", "[<filter>]", "List the OCF agents of this host", "resource:agents", _PERHAPS),
    _row(
        "resource show",
        "[<id>]...",
        "Show resources and where they run, or how those that are named are configured",
        "resource:show",
        (0, ANY),
        (_SHOW_FULL,),
    ),
    _row(
        "resource clone",
        "<id> [<clone id>] [meta] [option=value]...",
        "Clone a resource or group",
        "resource:clone",
        (1, ANY),
    ),
    _row("resource unclone", "<id>", "Remove a clone, keep what is in it", "resource:unclone", _ONE),
    _row(
        "resource group add",
        "<group> <id>...",
        "Put resources into a group, which is made if need be",
        "group:add",
        (2, ANY),
        (_BEFORE, _AFTER),
    ),
    _row(
        "resource group remove",
        "<group> [<id>]...",
        "Take resources out of a group, or dissolve it",
        "group:remove",
        (1, ANY),
    ),
    _row("resource group list", "", "List groups and their members", "group:show"),
    _row(
        "resource meta",
        "<id> option=value...",
        "Change meta attributes; an empty value removes one",
        "resource:meta",
        (2, ANY),
    ),
    _row("resource enable", "<id>...", "Let resources run", "standing:enable", (1, ANY)),
    _row("resource disable", "<id>...", "Stop resources and keep them stopped", "standing:disable", (1, ANY)),
    _row(
        "resource manage",
        "<id>...",
        "Let the cluster look after resources again",
        "standing:manage",
        (1, ANY),
        (_MONITOR,),
    ),
    _row(
        "resource unmanage",
        "<id>...",
        "Leave resources alone, as they are",
        "standing:unmanage",
        (1, ANY),
        (_MONITOR,),
    ),
    _row(
        "resource ban",
        "<id> [<node>] [lifetime=<duration>]",
        "Keep a resource away from a node, or from where it is",
        "standing:ban",
        (1, 3),
        _ROLE,
    ),
    _row(
        "resource move",
        "<id> [<node>] [lifetime=<duration>]",
        "Move a resource to a node, or away from where it is",
        "standing:move",
        (1, 3),
        _ROLE,
    ),
    _row("resource clear", "<id> [<node>]", "Take back what ban and move have said", "standing:clear", (1, 2)),
    _row(
        "resource cleanup",
        "[<id>] [node=<node>]",
        "Forget failures, so that what failed is tried again",
        "standing:cleanup",
        (0, ANY),
        (_NODE,),
    ),
    _row(
        "resource refresh",
        "[<id>] [node=<node>]",
        "Forget results, so that resources are probed again",
        "standing:refresh",
        (0, ANY),
        (_NODE, _FULL),
    ),
    _row(
        "resource failcount",
        "[show] [<id>]",
        "Show how often resources have failed, and where",
        "status:show_failcounts",
        (0, 2),
    ),
    _row(
        "resource utilization",
        "<id> [<name>=<number>]...",
        "Show or set what a resource uses of its node",
        "utilization:of_resource",
        (1, ANY),
    ),
    _row(
        "resource defaults",
        "[option=value]...",
        "Show or set defaults of meta attributes",
        "property:resource_defaults",
        (0, ANY),
    ),
    _row(
        "resource op add",
        "<id> <operation> [option=value]...",
        "Add an operation to a resource",
        "resource:op_add",
        (2, ANY),
    ),
    _row(
        "resource op remove",
        "<id> <operation> [option=value]... | <operation id>",
        "Remove an operation",
        "resource:op_remove",
        (1, ANY),
    ),
    _row(
        "resource op defaults",
        "[option=value]...",
        "Show or set defaults of operations",
        "property:operation_defaults",
        (0, ANY),
    ),
    _row("constraint", "", "List all constraints", "constraint:show", options=(_FULL,)),
    _row("constraint config", "", "List all constraints", "constraint:show", options=(_FULL,)),
    _row(
        "constraint location",
        "<resource> prefers|avoids <node>[=<score>]... | <resource> rule [score=<score>] <expression>",
        "Prefer or avoid nodes (score: INFINITY)",
        "location:location",
        (3, ANY),
    ),
    _row(
        "constraint location add",
        "<id> <resource> <node> <score>",
        "Add a location constraint with an id of its own",
        "location:add",
        (4, 5),
    ),
    _row("constraint location remove", "<id>", "Remove a location constraint", "constraint:remove", (1, ANY)),
    _row(
        "constraint location config", "", "List location constraints", "constraint:show_locations", options=(_FULL,)
    ),
    _row(
        "constraint colocation add",
        "[<role>] <resource> with [<role>] <resource> [score] [option=value]...",
        "Keep resources together, or apart with a negative score",
        "constraint:colocation_add",
        (3, ANY),
    ),
    _row(
        "constraint colocation set",
        "<resource>... [option=value]... [set <resource>...]... [setoptions option=value...]",
        "Keep sets of resources together",
        "constraint:colocation_set",
        (1, ANY),
    ),
    _row(
        "constraint colocation remove",
        "<resource> <with resource>",
        "Remove the colocation of two resources",
        "constraint:colocation_remove",
        (2, 2),
    ),
    _row(
        "constraint colocation config",
        "",
        "List colocation constraints",
        "constraint:show_colocations",
        options=(_FULL,),
    ),
    _row(
        "constraint order",
        "[<action>] <resource> then [<action>] <resource> [option=value]...",
        "Start one resource before another",
        "constraint:order",
        (3, ANY),
    ),
    _row(
        "constraint order set",
        "<resource>... [option=value]... [set <resource>...]... [setoptions option=value...]",
        "Order sets of resources",
        "constraint:order_set",
        (1, ANY),
    ),
    _row(
        "constraint order remove",
        "<resource>...",
        "Remove resources from all orders",
        "constraint:order_remove",
        (1, ANY),
    ),
    _row("constraint order config", "", "List ordering constraints", "constraint:show_orders", options=(_FULL,)),
    _row("constraint remove", "<id>...", "Remove constraints by their ids", "constraint:remove", (1, ANY)),
    _row(
        "constraint ref",
        "<resource>...",
        "List ids of the constraints that name a resource",
        "constraint:ref",
        (1, ANY),
    ),
    _row("quorum status", "", "Show the votes, and what would follow if each node were lost next", "quorum:status"),
    _row("cluster status", "", "Show quorum, leader, term and nodes", "cluster:status"),
    _row("cluster cib", "[<file>]", "Write the configuration as CIB XML", "cluster:cib", _PERHAPS, (_CONFIG,)),
    _row(
        "cluster cib-push",
        "<file>",
        "Make a file's CIB the cluster's; refused when the configuration has moved on since, unless --force",
        "cluster:cib_push",
        (1, 2),
        (_CONFIG,),
    ),
    _row(
        "cluster verify",
        "",
        "Check the configuration and say what is wrong with it",
        "cluster:verify",
        options=(_FULL, _VERBOSE),
    ),
    _row(
        "cluster log", "", "Show the replicated log as sentences", "cluster:log", options=(_FOLLOW, _LINES, _SINCE)
    ),
    _row(
        "cluster history",
        "",
        "Show who changed the configuration, when and how",
        "history:show",
        options=(_LINES, _SINCE),
    ),
    _row("cluster events", "", "Print changes as they happen, one JSON document a line", "cluster:events"),
    *(
        _row(
            f"cluster {verb}",
            "[<word>]...",
            "Said elsewhere: tells where",
            "elsewhere:refuse",
            (0, ANY),
            (_ALL, _START),
        )
        for verb in ("auth", "start", "stop", "enable", "disable", "destroy", "node add")
    ),
    *MEMBERSHIP,
    _row("config", "", "Show the whole configuration", "config:show"),
    _row("property", "", "List the cluster's properties", "property:show"),
    _row("property config", "[<name>]...", "List the cluster's properties", "property:show", (0, ANY), (_ALL,)),
    _row(
        "property set",
        "<name>=[<value>]...",
        "Set properties; an empty value removes one",
        "property:set_values",
        (1, ANY),
    ),
    _row("property unset", "<name>...", "Remove properties, so that defaults count", "property:unset", (1, ANY)),
    _row(
        "node standby",
        "[<node>]...",
        "Let nothing run on nodes (default: this one)",
        "node:standby",
        (0, ANY),
        (_ALL,),
    ),
    _row("node unstandby", "[<node>]...", "Take standby back", "node:unstandby", (0, ANY), (_ALL,)),
    _row(
        "node maintenance",
        "[<node>]...",
        "Leave everything on nodes as it is",
        "node:maintenance",
        (0, ANY),
        (_ALL,),
    ),
    _row("node unmaintenance", "[<node>]...", "Take maintenance back", "node:unmaintenance", (0, ANY), (_ALL,)),
    _row(
        "node attribute",
        "[<node> [<name>=[<value>]...]]",
        "Show or set attributes of nodes; an empty value removes one",
        "node:attribute",
        (0, ANY),
    ),
    _row(
        "node utilization",
        "<node> [<name>=<number>]...",
        "Show or set what a node offers",
        "utilization:of_node",
        (1, ANY),
    ),
    _row("stonith", "", "Say how vipcast goes without fencing devices", "stonith:refuse", (0, ANY)),
    _row(
        "who",
        "<client>[:<port>] [<address>[:<port>]]",
        "Say which slot and host a client belongs to, and why",
        "who:who",
        (1, 2),
        _WHO,
    ),
    _row(
        "explain",
        "<resource>[:<instance>] [<node>]",
        "Say why a resource is where it is",
        "explain:explain",
        (1, 2),
        _OF_A_CIB,
    ),
    _row(
        "simulate",
        "",
        "Show what the cluster would do now, or after what the options suppose; nothing changes",
        "simulate:simulate",
        _NOTHING,
        _SIMULATE,
    ),
    _row("key rotate", "", "Replace the cluster's key by a new one on all nodes, while they run", "keygen:rotate"),
    _row("key status", "", "Tell the cluster's keys by their marks, and who has and uses them", "keygen:status"),
    _row("keygen", "[<file>]", "Make a cluster key (default /etc/vipcast/authkey)", "keygen:keygen", _PERHAPS),
    _row("help", "[<command>]...", "Show usage", "help:show", (0, ANY)),
)

_SECOND_NAMES = (
    _same("resource list", "resource agents"),
    _same("resource remove", "resource delete"),
    _same("resource group delete", "resource group remove"),
    _same("resource ungroup", "resource group remove"),
    _same("resource group show", "resource group list"),
    _same("resource op delete", "resource op remove"),
    _same("constraint list", "constraint config"),
    _same("constraint show", "constraint config"),
    _same("constraint delete", "constraint remove"),
    _same("constraint rm", "constraint remove"),
    _same("constraint location delete", "constraint location remove"),
    _same("constraint location list", "constraint location config"),
    _same("constraint location show", "constraint location config"),
    _same("constraint colocation delete", "constraint colocation remove"),
    _same("constraint colocation list", "constraint colocation config"),
    _same("constraint colocation show", "constraint colocation config"),
    _same("constraint order add", "constraint order"),
    _same("constraint order delete", "constraint order remove"),
    _same("constraint order list", "constraint order config"),
    _same("constraint order show", "constraint order config"),
    _same("property list", "property config"),
    _same("property show", "property config"),
    _same("cluster standby", "node standby"),
    _same("cluster unstandby", "node unstandby"),
    _same("cluster node remove", "node remove"),
    _same("cluster node delete", "node remove"),
    _same("node delete", "node remove"),
    _same("status status", "status"),
    _same("status cluster", "cluster status"),
    _same("status quorum", "quorum status"),
    _same("quorum", "quorum status"),
)


def grammar() -> Grammar:
    """The table with its second names resolved."""
    rows = {row.words: row for row in _ROWS}
    seconds = []
    for second in _SECOND_NAMES:
        first = rows[second.like]
        seconds.append(
            Command(
                second.words,
                first.usage,
                first.summary,
                first.handler,
                first.needs,
                first.takes,
                first.options,
                second.like,
            )
        )
    return Grammar((*_ROWS, *seconds), GLOBAL_OPTIONS)
