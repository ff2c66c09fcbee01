"""Rows of the table of commands: for monitoring."""

from __future__ import annotations

from daemon.cli.grammar import Option
from daemon.cli.rows import row

MONITORING = (
    row(
        "metrics",
        "",
        "Print all that is measured in Prometheus' text format",
        "monitoring:metrics",
        options=(
            Option("--out", "FILE", "write it whole into FILE, as node_exporter's textfile collector wants it"),
        ),
    ),
    row(
        "doctor",
        "",
        "Look at this host from inside: what is wrong, what it will cause, and the command that mends it",
        "doctor:doctor",
        options=(Option("--settings", "FILE", "of the node (default /etc/vipcast/vipcast.toml)"),),
    ),
    row(
        "support-bundle",
        "[<file>]",
        "Put what every node knows into one archive, without secrets, for those who are to help",
        "bundling:support_bundle",
        (0, 1),
        options=(
            Option("--local", "", "of this host alone; nobody else is asked"),
            Option("--since", "TIME", "how far the journal goes back, as journalctl takes it (default -24h)"),
            Option(
                "--hide", "PATTERN", "hide values of such parameters too, by a part of their names", repeats=True
            ),
            Option("--ssh", "COMMAND", "what reaches another host (default: ssh in batch mode)"),
            Option("--settings", "FILE", "of the node (default /etc/vipcast/vipcast.toml)"),
        ),
    ),
)
