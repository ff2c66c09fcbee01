"""Rows of the table of commands: how a cluster begins, grows and shrinks."""

from __future__ import annotations

from daemon.cli.grammar import ANY, Option
from daemon.cli.rows import row

_ENABLE = Option("--enable", "", "the same as --start")
_START = Option("--start", "", "enable and start vipcastd on this host now")
_THIS_NODE = Option("--name", "NAME", "this node's name (default: the host's, without its domain)")
_SETTINGS = Option(
    "--settings", "FILE", "write this file, and authkey beside it (default /etc/vipcast/vipcast.toml)"
)
_OF_THE_NODE = Option("--settings", "FILE", "of the node (default /etc/vipcast/vipcast.toml)")
_NEW_LINK = (
    Option("--link", "INTERFACE", "the interface for heartbeats (default: the one that suggests itself)"),
    Option("--group", "ADDRESS", "its multicast group (default: made of the cluster's name)"),
    Option("--port", "PORT", "its UDP port (default 5405)"),
    Option("--profile", "PROFILE", "timers: default or fast"),
)
_HERE = (_START, _ENABLE, _SETTINGS)
_INIT = (*_NEW_LINK, _THIS_NODE, *_HERE)
_TOKEN = (
    Option("--ttl", "TIME", "how long it is good, up to 24h (default 10m)"),
    Option("--uses", "N", "for how many hosts (default 1)"),
)
_JOIN = (
    *_NEW_LINK,
    _THIS_NODE,
    Option("--replace", "", "take the place of an offline node of this name, whose disk was lost"),
    Option("--witness", "", "as a witness: it votes and serves nothing, and needs no root"),
    Option("--key", "FILE", "with the cluster's key and name instead of a token"),
    *_HERE,
)

MEMBERSHIP = (
    row(
        "cluster init",
        "<name>",
        "Make a new cluster with this host as its first node",
        "founding:init",
        (1, 1),
        _INIT,
    ),
    row(
        "cluster setup",
        "<name> [<node>]",
        "The same as cluster init, in the words of pcs",
        "founding:setup",
        (1, ANY),
        (*_NEW_LINK, Option("--name", "NAME", "the cluster's name, as older versions have it"), *_HERE),
    ),
    row(
        "cluster token",
        "",
        "Print a token by which a host joins within a short time",
        "joining:token",
        options=_TOKEN,
    ),
    row(
        "cluster join",
        "<token> | <cluster> --key FILE",
        "Make this host a member of a cluster that is there",
        "joining:join",
        (1, 1),
        _JOIN,
    ),
    row(
        "cluster leave",
        "",
        "Have this host give everything away and leave the cluster; its daemon ends",
        "leaving:leave",
    ),
    row(
        "node remove",
        "<node>",
        "Have a node give everything away and leave the cluster for good",
        "leaving:remove",
        (1, 1),
    ),
    row(
        "node reset",
        "",
        "Move this node's memory aside, so that it joins again with an empty one; vipcastd must not run",
        "resetting:reset",
        options=(
            Option("--yes", "", "do not ask"),
            _OF_THE_NODE,
        ),
    ),
    row(
        "cluster recover",
        "",
        "Go on with this host alone where most of the others are gone for good; vipcastd must not run",
        "recovering:recover",
        options=(Option("--yes", "", "do not ask"), _OF_THE_NODE),
    ),
    row(
        "cluster reload",
        "",
        "Have this host's vipcastd read vipcast.toml again, and tell what takes effect and what needs a restart",
        "reloading:reload",
    ),
    row(
        "panic",
        "",
        "Silence this host at once, with or without a daemon, until 'panic off'",
        "panic:on",
        options=(_OF_THE_NODE,),
    ),
    row("panic off", "", "Let this host take its share again", "panic:off", options=(_OF_THE_NODE,)),
    row(
        "panic status",
        "",
        "Tell whether this host is silenced, since when and by whom",
        "panic:status",
        options=(_OF_THE_NODE,),
    ),
)
