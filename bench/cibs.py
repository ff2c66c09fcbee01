"""Clusters of any size as CIB XML, for measuring schedulers: what Pacemaker's tools and vipcast read alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

_FEATURE_SET = "3.16.1"
_DIGESTS = {0: "f2317cad3d54cec5d7d7aa7d0bf35cf8", 10_000: "4811cef7f7f94e3a35a70be7916cb2fd"}
"""of a resource without parameters, by interval_ms: another one would mean that the definition has changed"""


@dataclass(frozen=True, slots=True)
class Shape:
    """`resources` primitives, or one globally-unique clone of that many instances, on `nodes` nodes."""

    kind: Literal["primitives", "clone"]
    nodes: int
    resources: int
    running: bool
    """everything runs and nothing is to do; else nothing runs and nothing is known, as after a start of all nodes"""

    @property
    def name(self) -> str:
        what = f"{self.resources} primitives" if self.kind == "primitives" else f"a clone of {self.resources}"
        return f"{self.nodes} nodes, {what}, {'all' if self.running else 'nothing'} running"


def cib(shape: Shape) -> str:
    return "\n".join(_lines(shape)) + "\n"


def _lines(shape: Shape) -> Iterator[str]:
    nodes = [f"n{number:02}" for number in range(1, shape.nodes + 1)]
    yield (
        f'<cib crm_feature_set="{_FEATURE_SET}" validate-with="pacemaker-3.7" epoch="1" num_updates="0" '
        f'admin_epoch="0" have-quorum="1" dc-uuid="1">'
    )
    yield "<configuration><crm_config><cluster_property_set id='cib-bootstrap-options'>"
    yield "<nvpair id='fencing' name='stonith-enabled' value='false'/>"
    yield "</cluster_property_set></crm_config><nodes>"
    yield from (f"<node id='{number}' uname='{name}'/>" for number, name in enumerate(nodes, start=1))
    yield "</nodes><resources>"
    if shape.kind == "clone":
        yield "<clone id='c'><meta_attributes id='c-meta'>"
        for name, value in (("globally-unique", "true"), ("clone-max", ""), ("clone-node-max", "")):
            yield f"<nvpair id='c-{name}' name='{name}' value='{value or shape.resources}'/>"
        yield "</meta_attributes><primitive id='r' class='ocf' provider='heartbeat' type='IPaddr2'>"
        yield "<operations><op id='r-monitor' name='monitor' interval='10s'/></operations></primitive></clone>"
    else:
        for number in range(shape.resources):
            yield f"<primitive id='r{number}' class='ocf' provider='heartbeat' type='Dummy'>"
            yield f"<operations><op id='r{number}-monitor' name='monitor' interval='10s'/></operations></primitive>"
    yield "</resources><constraints/></configuration><status>"
    for place, name in enumerate(nodes):
        yield from _status(shape, place, name)
    yield "</status></cib>"


def _status(shape: Shape, place: int, name: str) -> Iterator[str]:
    yield (
        f"<node_state id='{place + 1}' uname='{name}' in_ccm='true' crmd='online' join='member' expected='member'>"
        f"<lrm id='{place + 1}'><lrm_resources>"
    )
    if shape.running:
        for number in range(shape.resources):
            yield from _resource(shape, place, number)
    yield "</lrm_resources></lrm></node_state>"


def _resource(shape: Shape, place: int, number: int) -> Iterator[str]:
    name, agent = (f"r:{number}", "IPaddr2") if shape.kind == "clone" else (f"r{number}", "Dummy")
    yield f"<lrm_resource id='{name}' class='ocf' provider='heartbeat' type='{agent}'>"
    if number % shape.nodes == place:
        yield _operation(name, "start", 0, 0, 2 * number + 1)
        yield _operation(name, "monitor", 10_000, 0, 2 * number + 2)
    else:
        yield _operation(name, "monitor", 0, 7, 2 * number + 1)
    yield "</lrm_resource>"


def _operation(resource: str, operation: str, interval_ms: int, code: int, call: int) -> str:
    key = f"{call}:1:{code}:00000000-0000-0000-0000-000000000000"
    label = "last" if not interval_ms else str(interval_ms)
    return (
        f"<lrm_rsc_op id='{resource}_{label}_{operation}' operation_key='{resource}_{operation}_{interval_ms}' "
        f"operation='{operation}' interval='{interval_ms}' crm-debug-origin='bench' crm_feature_set='{_FEATURE_SET}' "
        f"transition-key='{key}' transition-magic='0:{code};{key}' call-id='{call}' rc-code='{code}' op-status='0' "
        f"op-digest='{_DIGESTS[interval_ms]}'/>"
    )
