"""The cluster as it was after an entry of the log."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.cli.layout import cluster
from daemon.cli.layout.resources import Paint, plain, resources
from daemon.cli.when import stamp
from daemon.control.schema import StatusDocument


def status(document: StatusDocument, now_ms: int, told: str, paint: Paint = plain) -> Iterator[str]:
    """`vipcast status --at`; `told` is the entry itself."""
    yield f"Cluster name: {document.cluster}"
    when = stamp(now_ms) if document.applied_index else "before the first one"
    yield f"As of entry {document.applied_index}, {when} (configuration {document.epoch})"
    if told:
        yield f"  {told}"
    yield ""
    yield from cluster.nodes(document, paint)
    yield ""
    yield "Full list of resources:"
    yield ""
    yield from resources(document.resources, paint)
    if document.addresses:
        yield ""
        yield from cluster.slots(document, paint)
    yield from cluster.failures(document, paint)
    yield from cluster.pending(document)
