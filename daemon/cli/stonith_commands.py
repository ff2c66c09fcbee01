"""Rows of the table of commands: devices that cut a host's power, and the word of somebody who has."""

from __future__ import annotations

from daemon.cli.grammar import ANY, Option
from daemon.cli.rows import row

STONITH = (
    row(
        "stonith create",
        "<id> <fence agent> [option=value]... [op <operation> [option=value]...]... [meta option=value...]",
        "Create a device that cuts the power of hosts (pcmk_host_list, pcmk_host_map), for two nodes",
        "stonith:create",
        (2, ANY),
        (Option("--disabled", "", "do not use it"),),
    ),
    row(
        "stonith confirm",
        "<node>",
        "Say that the other one of two nodes is without power, so that this one goes on alone",
        "stonith:confirm",
        (1, 1),
        (Option("--yes", "", "do not ask"),),
    ),
)
