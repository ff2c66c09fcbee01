"""docs/reference/metrics.md, made from the table: `python -m daemon.control.metrics.reference > docs/…`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from daemon.control.metrics.cluster import CLUSTER
from daemon.control.metrics.corosync import COROSYNC
from daemon.control.metrics.metric import Metric
from daemon.control.metrics.pacemaker import PACEMAKER
from daemon.control.metrics.serving import SERVING

_HEAD = """\
# Metrics

Generated from the tables in `daemon/control/metrics/` by `python -m daemon.control.metrics.reference`; a test compares
them.

`GET /metrics` on the control socket answers in Prometheus' text format, to root and to members of the groups `vipcast`
and `vipcast-ro`:

    curl --unix-socket /run/vipcast/control.sock http://localhost/metrics

`vipcast metrics` prints the same. How Prometheus gets at a socket, and rules for alerts, are in the guide
([monitoring](../guide/monitoring.md)).

Every node answers for the cluster as it sees it, and for its own kernel, links and agents. Times are in seconds,
counters began with the daemon (packets: with the kernel's rules).
"""

_PARTS: tuple[tuple[str, str, tuple[Metric, ...]], ...] = (
    (
        "Serving",
        "Slots, packets, the plan, agents.",
        SERVING,
    ),
    (
        "Consensus",
        "Log, leases, links, lateness.",
        CLUSTER,
    ),
    (
        "As ha_cluster_exporter has them for Pacemaker",
        "Names and labels are that exporter's. Slots of a shared address stand where Pacemaker has instances of a"
        " globally-unique clone. Scores and counts of INFINITY are `+Inf`.",
        PACEMAKER,
    ),
    (
        "As ha_cluster_exporter has them for Corosync",
        "`node_id` is the node's rank, counted from 1; `ring_id` is the leader's and the term. SBD and DRBD have no"
        " meaning here.",
        COROSYNC,
    ),
)


def reference() -> str:
    """The whole page."""
    return "\n".join(_page()).rstrip("\n") + "\n"


def _page() -> Iterator[str]:
    yield _HEAD
    for title, words, metrics in _PARTS:
        yield f"## {title}\n"
        yield f"{words}\n"
        yield "| name | kind | labels | meaning |"
        yield "|---|---|---|---|"
        for metric in metrics:
            labels = ", ".join(f"`{label}`" for label in metric.labels)
            yield f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |"
        yield ""


if __name__ == "__main__":
    sys.stdout.write(reference())
