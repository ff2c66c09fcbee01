"""What if: from a view to the view after something has happened that has not.

`suppose(view, *events)` puts events into a view, one after the other, so that `plan` answers what the cluster would do
about them.  An edit is the same function of the configuration that the command line would use, so a rehearsal is
refused for the reasons for which the real command would be.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from daemon.model.configuration import INFINITY, Configuration, Primitive
from daemon.model.edits import nodes as node_edits
from daemon.model.edits import resources as resource_edits
from daemon.model.edits import settings as setting_edits
from daemon.model.findings import Refused, error
from daemon.scheduler.cluster import Options, merged
from daemon.scheduler.operations import interval_of
from daemon.scheduler.rules import Facts
from daemon.scheduler.view import OperationView, SlotsView, View

MONITOR_INTERVAL_MS = 10_000
"""of a monitor that fails although none is configured"""
EXIT_CODE_MAX = 255


@dataclass(frozen=True, slots=True)
class NodeFails:
    """A node is gone without a word.

    Where a lost node is known to serve nothing (leases, `View.defaults`) or fencing is off, it is simply away; with
    fencing it is unclean, and what it ran waits until it is fenced.
    """

    node: str

    def __str__(self) -> str:
        return f"{self.node} fails"


@dataclass(frozen=True, slots=True)
class NodeReturns:
    """A node is back, freshly booted: nothing is known of what runs there."""

    node: str

    def __str__(self) -> str:
        return f"{self.node} comes online"


@dataclass(frozen=True, slots=True)
class NodeStandby:
    """`vipcast node standby NODE`"""

    node: str

    def __str__(self) -> str:
        return f"{self.node} is put in standby"


@dataclass(frozen=True, slots=True)
class NodeUnstandby:
    """`vipcast node unstandby NODE`"""

    node: str

    def __str__(self) -> str:
        return f"{self.node} is taken out of standby"


@dataclass(frozen=True, slots=True)
class OperationFails:
    """An operation has just ended with `exit_code` (1 to 255), as if the agent had said so."""

    instance: str
    operation: str
    node: str
    exit_code: int = 1

    def __str__(self) -> str:
        return f"{self.operation} of {self.instance} fails on {self.node} with exit code {self.exit_code}"


@dataclass(frozen=True, slots=True)
class PropertySet:
    """`vipcast property set NAME=VALUE`; an empty value removes it."""

    name: str
    value: str

    def __str__(self) -> str:
        return _change(f"cluster property {self.name}", self.value)


@dataclass(frozen=True, slots=True)
class MetaSet:
    """`vipcast resource meta RESOURCE NAME=VALUE`"""

    resource: str
    name: str
    value: str

    def __str__(self) -> str:
        return _change(f"meta attribute {self.name} of {self.resource}", self.value)


@dataclass(frozen=True, slots=True)
class AttributeSet:
    """`vipcast node attribute NODE NAME=VALUE`"""

    node: str
    name: str
    value: str

    def __str__(self) -> str:
        return _change(f"attribute {self.name} of node {self.node}", self.value)


WhatIf = (
    NodeFails | NodeReturns | NodeStandby | NodeUnstandby | OperationFails | PropertySet | MetaSet | AttributeSet
)


def _change(what: str, value: str) -> str:
    return f"{what} is {value}" if value else f"{what} is not set"


def suppose(view: View, *events: WhatIf) -> View:
    """The view after the events, in their order.  Raises Refused for one that names what does not exist."""
    for event in events:
        view = _after(view, event)
    return view


def _after(view: View, event: WhatIf) -> View:
    match event:
        case NodeFails(node):
            return _failed(view, _known(view, node))
        case NodeReturns(node):
            return _returned(view, _known(view, node))
        case NodeStandby(node):
            listed = node_edits.list_nodes(view.configuration, names=[_known(view, node)])
            return replace(view, configuration=node_edits.standby(listed, nodes=[node]))
        case NodeUnstandby(node):
            return _unstandby(view, _known(view, node))
        case OperationFails():
            return _operation_failed(view, event)
        case PropertySet(name, value):
            edited = setting_edits.set_properties(view.configuration, properties={name: value})
            return replace(view, configuration=edited)
        case MetaSet(resource, name, value):
            edited = resource_edits.set_meta(view.configuration, resource=resource, meta={name: value})
            return replace(view, configuration=edited)
        case AttributeSet(node, name, value):
            listed = node_edits.list_nodes(view.configuration, names=[_known(view, node)])
            return replace(
                view,
                configuration=node_edits.set_attributes(listed, nodes=[node], attributes={name: value}),
            )


def _known(view: View, node: str) -> str:
    if node not in view.nodes:
        listed = ", ".join(sorted(view.nodes)) or "none"
        raise Refused(error("unknown-node", node, f"there is no node '{node}'", f"nodes are {listed}"))
    return node


# ---- nodes


def _failed(view: View, name: str) -> View:
    fenced = _unclean_when_lost(view)
    node = replace(view.nodes[name], online=False, pending=False, shutdown=False, unclean=fenced)
    gone = replace(view, nodes=view.nodes | {name: node})
    if fenced:
        return gone  # what it ran counts as running until it is fenced
    slots = {address: _without(held, name) for address, held in view.slots.items()}
    return replace(_forgotten(gone, name, failures=True), slots=slots)


def _unclean_when_lost(view: View) -> bool:
    """Only fencing could make sure of a lost node; a vipcast cluster makes sure by leases."""
    if view.defaults.get("stonith-enabled") == "false":
        return False
    values = merged(view.configuration.properties, Facts(now_ms=view.now_ms))
    return Options.of(view.defaults | values).fencing


def _forgotten(view: View, node: str, *, failures: bool) -> View:
    """Nothing is known of what runs on the node; its failures go with it when it is lost."""
    forgotten = replace(
        view,
        operations=tuple(result for result in view.operations if result.node != node),
        ready={address: nodes - {node} for address, nodes in view.ready.items()},
    )
    if not failures:
        return forgotten
    return replace(
        forgotten,
        failures={key: count for key, count in view.failures.items() if key[1] != node},
        last_failure_ms={key: stamp for key, stamp in view.last_failure_ms.items() if key[1] != node},
    )


def _without(slots: SlotsView, node: str) -> SlotsView:
    """Slots after a holder or successor is lost: the other one has them, those of neither are free."""
    holders = slots.holders or slots.owners
    owners = {}
    for slot in sorted(slots.owners.keys() | holders.keys()):
        candidates = (slots.owners.get(slot), holders.get(slot))
        heir = next((name for name in candidates if name not in {None, node}), None)
        if heir is not None:
            owners[slot] = heir
    return replace(slots, owners=owners, holders=dict(owners))


def _returned(view: View, name: str) -> View:
    node = view.nodes[name]
    transient = {key: value for key, value in node.transient.items() if key != "shutdown"}
    back = replace(node, online=True, pending=False, unclean=False, shutdown=False, transient=transient)
    known = view if node.online and not node.unclean else _forgotten(view, name, failures=True)
    return replace(known, nodes=view.nodes | {name: back})


def _unstandby(view: View, name: str) -> View:
    listed = node_edits.list_nodes(view.configuration, names=[name])
    node = view.nodes[name]
    transient = {key: value for key, value in node.transient.items() if key != "standby"}
    return replace(
        view,
        configuration=node_edits.unstandby(listed, nodes=[name]),
        nodes=view.nodes | {name: replace(node, transient=transient)},
    )


# ---- results


def _operation_failed(view: View, event: OperationFails) -> View:
    _known(view, event.node)
    if not 1 <= event.exit_code <= EXIT_CODE_MAX:
        raise Refused(
            error(
                "bad-exit-code",
                event.instance,
                f"exit code {event.exit_code} is no failure",
                f"name one from 1 to {EXIT_CODE_MAX}",
            )
        )
    address = event.instance.partition(":")[0]
    if address in view.slots:
        return _counted(_unready(view, address, event.node), address, event.node, 1)
    primitive = _primitive(view.configuration, event.instance)
    counted = _known_as(view, event)
    result = OperationView(
        node=event.node,
        instance=counted,
        operation=event.operation,
        interval_ms=_interval_ms(primitive) if event.operation == "monitor" else 0,
        exit_code=event.exit_code,
        status="done",
        expected=0,
        serial=1 + max((known.serial for known in view.operations), default=0),
        stamp_ms=view.now_ms,
        reason="supposed",
    )
    kept = tuple(known for known in view.operations if _slot_of(known) != _slot_of(result))
    weight = INFINITY if _fatal(view, event.operation) else 1
    return _counted(replace(view, operations=(*kept, result)), counted, event.node, weight)


def _unready(view: View, address: str, node: str) -> View:
    ready = view.ready.get(address, frozenset()) - {node}
    return replace(view, ready=view.ready | {address: ready})


def _counted(view: View, instance: str, node: str, weight: int) -> View:
    key = (instance, node)
    count = min(INFINITY, view.failures.get(key, 0) + weight)
    return replace(
        view,
        failures=view.failures | {key: count},
        last_failure_ms=view.last_failure_ms | {key: view.now_ms},
    )


def _slot_of(result: OperationView) -> tuple[str, str, str, int]:
    """Only the newest result of each operation is kept."""
    return (result.node, result.instance, result.operation, result.interval_ms)


def _primitive(configuration: Configuration, instance: str) -> Primitive:
    name = instance.rpartition(":")[0] if configuration.find(instance) is None else instance
    found = configuration.find(name)
    if isinstance(found, Primitive):
        return found
    primitives = ", ".join(one.id for one in configuration.walk() if isinstance(one, Primitive)) or "none"
    said = f"'{instance}' is a {found.kind}" if found is not None else f"there is no resource '{instance}'"
    raise Refused(error("unknown-resource", instance, said, f"primitives are {primitives}"))


def _known_as(view: View, event: OperationFails) -> str:
    """The name that results on that node carry: an anonymous clone's instance may be known as `web:0`."""
    names: Iterable[str] = (known.instance for known in view.operations if known.node == event.node)
    known = sorted({name for name in names if event.instance in {name, name.partition(":")[0]}})
    return event.instance if event.instance in known or not known else known[0]


def _interval_ms(primitive: Primitive) -> int:
    monitors = (interval_of(one) for one in primitive.operations if one.name == "monitor")
    return next((interval for interval in monitors if interval > 0), MONITOR_INTERVAL_MS)


def _fatal(view: View, operation: str) -> bool:
    """Such a failure keeps the resource away for good: it counts as INFINITY failures."""
    if operation == "stop":
        return True
    values = merged(view.configuration.properties, Facts(now_ms=view.now_ms))
    return operation == "start" and Options.of(view.defaults | values).start_failure_is_fatal
