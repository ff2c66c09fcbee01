"""The cluster's nodes, for edits that name one: a configuration need not list them all, the cluster knows them."""

from __future__ import annotations

from daemon.cli.call import Call
from daemon.model.configuration import Configuration
from daemon.model.edits.nodes import list_nodes


def with_members(call: Call, configuration: Configuration) -> Configuration:
    """The configuration with every member of the living cluster in its list of nodes; of a file, as it is."""
    if call.has("--file"):
        return configuration
    return list_nodes(configuration, names=[node.name for node in call.client.status().nodes])
