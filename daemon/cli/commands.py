"""Every command that `vipcast` knows: one table, from which parser, usage texts and reference page are made."""

from __future__ import annotations

from daemon.cli.constraint_commands import CONSTRAINTS
from daemon.cli.drain_commands import DRAINING
from daemon.cli.grammar import ANY, Command, Grammar, Option
from daemon.cli.membership_commands import MEMBERSHIP
from daemon.cli.monitoring_commands import MONITORING
from daemon.cli.question_commands import QUESTIONS
from daemon.cli.resource_commands import RESOURCES
from daemon.cli.rows import row as _row
from daemon.cli.stonith_commands import STONITH

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

_EVERYTHING = Option("--full", "", "tell each node, link and planned action as well")
_FULL = Option("--full", "", "show ids as well")
_FOLLOW = Option("--follow", "", "go on as entries arrive", short="-f")
_VERBOSE = Option("--verbose", "", "accepted: everything is told anyway", short="-V")
_CONFIG = Option("--config", "", "push only the configuration (what vipcast always does)")
_ALL = Option("--all", "", "on all nodes")
_START = Option("--start", "", "accepted: the service is started on each host")
_ROTATE = (
    Option(
        "--revoke", "", "the old key leaks: it is worth nothing afterwards, and who is away now joins with a token"
    ),
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
    *RESOURCES,
    *CONSTRAINTS,
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
    _row(
        "diff",
        "<index|time> [<index|time>]",
        "Show how the configuration has changed since an entry of the log or a time, or between two",
        "versions:diff",
        (1, 2),
    ),
    _row(
        "rollback",
        "<index|time>",
        "Make the configuration again what it was after that entry or at that time",
        "versions:rollback",
        _ONE,
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
    *DRAINING,
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
    _row(
        "node evacuate",
        "<node>",
        "Empty a node for an upgrade: standby, and wait (10 min) until nothing is left there; refused while another "
        "node is not back, unless --force",
        "evacuating:evacuate",
        _ONE,
    ),
    _row(
        "cluster upgrade",
        "<command>",
        "Run a command on every host in turn, each emptied before and back before the next; stops where one does not "
        "come back",
        "upgrading:upgrade",
        _ONE,
        (
            Option("--node", "NODE", "on this one only", repeats=True),
            Option("--ssh", "COMMAND", "what reaches another host (default: ssh in batch mode)"),
        ),
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
    *STONITH,
    *QUESTIONS,
    _row(
        "key rotate",
        "",
        "Replace the cluster's key by a new one on all nodes, while they run",
        "keygen:rotate",
        _NOTHING,
        _ROTATE,
    ),
    _row("key status", "", "Tell the cluster's keys by their marks, and who has and uses them", "keygen:status"),
    _row("keygen", "[<file>]", "Make a cluster key (default /etc/vipcast/authkey)", "keygen:keygen", _PERHAPS),
    *MONITORING,
    _row("help", "[<command>]...", "Show usage", "help:show", (0, ANY)),
)

_SECOND_NAMES = (
    _same("resource list", "resource agents"),
    _same("stonith delete", "resource delete"),
    _same("stonith remove", "resource delete"),
    _same("stonith update", "resource update"),
    _same("stonith config", "resource config"),
    _same("stonith", "resource config"),
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
    _same("history", "cluster history"),
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
