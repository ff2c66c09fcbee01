"""The scheduler's view as a document, and back: what lets a client plan by itself, away from the daemon's time."""

from __future__ import annotations

import msgspec
from pydantic import ValidationError

from daemon.control.schema import ViewDocument, ViewDrain, ViewFailure, ViewNode, ViewResult, ViewSlots
from daemon.model.configuration import Configuration
from daemon.scheduler.drained import Drained
from daemon.scheduler.view import NodeView, OperationView, SlotsView, View


class ViewError(ValueError):
    """The document has no configuration that this program can read."""


def document(view: View) -> ViewDocument:
    return ViewDocument(
        configuration=msgspec.Raw(view.configuration.model_dump_json().encode()),
        nodes=tuple(
            ViewNode(n.name, n.online, n.pending, n.unclean, n.shutdown, n.transient, n.weight, n.since_ms)
            for n in view.nodes.values()
        ),
        results=tuple(
            ViewResult(
                node=o.node,
                instance=o.instance,
                operation=o.operation,
                interval_ms=o.interval_ms,
                exit_code=o.exit_code,
                status=o.status,
                expected=o.expected,
                serial=o.serial,
                stamp_ms=o.stamp_ms,
                definition=o.definition,
                reason=o.reason,
                details=o.details,
            )
            for o in view.operations
        ),
        failures=tuple(
            ViewFailure(instance, node, view.failures.get((instance, node), 0), stamp_ms)
            for (instance, node), stamp_ms in sorted(
                (dict.fromkeys(view.failures, 0) | view.last_failure_ms).items(),
            )
        ),
        slots=tuple(ViewSlots(s.address, s.owners, s.holders) for s in view.slots.values()),
        ready={address: tuple(sorted(nodes)) for address, nodes in view.ready.items()},
        quorate=view.quorate,
        now_ms=view.now_ms,
        defaults=view.defaults,
        policy=view.policy,
        notes=view.notes,
        drains=tuple(ViewDrain(d.node, d.address, d.slot) for d in sorted(view.drains, key=lambda d: d.key)),
        homes=tuple(sorted(view.homes)),
    )


def view_of(shown: ViewDocument) -> View:
    """The view that a document was made from.  Raises ViewError."""
    try:
        configuration = Configuration.model_validate_json(bytes(shown.configuration))
    except (ValidationError, RecursionError) as problem:
        raise ViewError(str(problem).splitlines()[0]) from problem
    return View(
        configuration=configuration,
        nodes={
            n.name: NodeView(n.name, n.online, n.pending, n.unclean, n.shutdown, n.transient, n.weight, n.since_ms)
            for n in shown.nodes
        },
        operations=tuple(
            OperationView(
                node=o.node,
                instance=o.instance,
                operation=o.operation,
                interval_ms=o.interval_ms,
                exit_code=o.exit_code,
                status=o.status,
                expected=o.expected,
                serial=o.serial,
                stamp_ms=o.stamp_ms,
                definition=o.definition,
                reason=o.reason,
                details=o.details,
            )
            for o in shown.results
        ),
        failures={(f.instance, f.node): f.count for f in shown.failures if f.count},
        last_failure_ms={(f.instance, f.node): f.last_ms for f in shown.failures if f.last_ms},
        slots={s.address: SlotsView(s.address, s.owners, s.holders) for s in shown.slots},
        ready={address: frozenset(nodes) for address, nodes in shown.ready.items()},
        quorate=shown.quorate,
        now_ms=shown.now_ms,
        defaults=shown.defaults,
        policy=shown.policy,
        notes=shown.notes,
        drains=frozenset(Drained(d.node, d.address, d.slot) for d in shown.drains),
        homes=frozenset(shown.homes),
    )
