"""The configuration with which a cluster begins."""

from __future__ import annotations

from collections.abc import Sequence

from daemon.model.configuration import AttributeSet, Configuration, NodeEntry
from daemon.model.edits.settings import BOOTSTRAP


def initial_configuration(cluster_name: str, nodes: Sequence[str]) -> Configuration:
    """The nodes, numbered from 1 in the order given, and the properties that Pacemaker's tools expect.

    `stonith-enabled=false`: an address needs no fencing device (its leases end by themselves), and without one
    Pacemaker's `crm_verify` calls a configuration that leaves fencing on an error.
    """
    return Configuration(
        properties=(
            AttributeSet(
                id=BOOTSTRAP,
                values={
                    "have-watchdog": "false",
                    "cluster-infrastructure": "vipcast",
                    "cluster-name": cluster_name,
                    "stonith-enabled": "false",
                },
            ),
        ),
        nodes=tuple(NodeEntry(id=str(number), name=name) for number, name in enumerate(nodes, start=1)),
    )
