"""Edits as Hypothesis draws them: small pools of names, so that they meet, and values right and wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from daemon.model.configuration import Configuration
from daemon.model.edits import (
    clones,
    colocation,
    constraints,
    groups,
    location,
    moves,
    nodes,
    operations,
    order,
    resources,
    settings,
    standing,
)
from daemon.model.edits.constraints import SetRequest
from daemon.model.edits.operations import OperationRequest
from daemon.model.initial import initial_configuration

Edit = Callable[[Configuration], Configuration]

PRIMITIVES = ("VIP", "V2", "web", "db", "fs", "one", "two")
GROUPS = ("G", "H")
NODES = ("a1", "a2", "a3")


@dataclass(frozen=True)
class Pick:
    """A resource of the configuration that is being edited, by its place there: drawn names would rarely exist."""

    place: int

    def of(self, configuration: Configuration) -> str:
        names = [resource.id for resource in configuration.walk()]
        return names[self.place % len(names)] if names else "nobody"


def _resolved(value: Any, configuration: Configuration) -> Any:
    match value:
        case Pick():
            return value.of(configuration)
        case list():
            return [_resolved(part, configuration) for part in value]
        case SetRequest():
            return SetRequest(_resolved(value.resources, configuration), value.options)
        case _:
            return value


anything: st.SearchStrategy[Any] = st.one_of(
    *[st.integers(0, 20).map(Pick)] * 12, st.sampled_from(["nobody", "1x", "VIP-clone", "G"])
)
new = st.sampled_from([*PRIMITIVES, "1x", "G-clone"])
primitive = st.sampled_from(PRIMITIVES)
node = st.sampled_from([*NODES, "stranger"])
score = st.sampled_from(["INFINITY", "-INFINITY", "0", "50", "-7", "+3", "x"])
some = st.lists(anything, min_size=1, max_size=3)
meta = st.dictionaries(
    st.sampled_from(
        ["clone-max", "clone-node-max", "globally-unique", "target-role", "priority", "interleave", "typo"]
    ),
    st.sampled_from(["", "1", "4", "true", "false", "Stopped", "Started", "INFINITY"]),
    max_size=3,
)
operation = st.builds(
    OperationRequest,
    st.sampled_from(["monitor", "start", "stop"]),
    st.dictionaries(
        st.sampled_from(["interval", "timeout", "on-fail", "role", "OCF_CHECK_LEVEL", "enabled"]),
        st.sampled_from(["10s", "20s", "PT1M", "block", "Promoted", "10", "true", "bad"]),
        max_size=3,
    ),
)
options = st.dictionaries(
    st.sampled_from(["ip", "cidr_netmask", "clusterip_hash", "mac", "nic", "configfile", "state"]),
    st.sampled_from(
        ["192.0.2.1", "192.0.2.2", "2001:db8::1", "24", "sourceip", "01:00:5e:7f:00:01", "eth0", "", "<&\"'>"]
    ),
    max_size=3,
)
agent = st.sampled_from(
    ["IPaddr2", "ocf:heartbeat:IPaddr2", "ocf:heartbeat:apache", "systemd:nginx", "ocf:heartbeat:Dummy", "a b"]
)
sets = st.lists(
    st.builds(
        SetRequest,
        st.lists(anything, min_size=1, max_size=3, unique=True),
        st.dictionaries(
            st.sampled_from(["sequential", "require-all"]), st.sampled_from(["true", "false", "x"]), max_size=2
        ),
    ),
    min_size=1,
    max_size=2,
)
rules = st.sampled_from(
    [
        "#uname eq a1",
        "defined pingd and pingd gt integer 5",
        "a eq 1 or (b ne 2 and not_defined c)",
        "date gt 2026-01-01",
        "x is y",
    ]
)


def _edit(
    function: Callable[..., Configuration], **strategies: st.SearchStrategy[Any]
) -> st.SearchStrategy[tuple[str, Edit]]:
    def make(arguments: dict[str, Any]) -> tuple[str, Edit]:
        return f"{function.__name__}({arguments})", lambda configuration: function(
            configuration, **{name: _resolved(value, configuration) for name, value in arguments.items()}
        )

    return st.fixed_dictionaries(strategies).map(make)


edits: st.SearchStrategy[tuple[str, Edit]] = st.one_of(
    _edit(
        resources.create_resource,
        resource=new,
        agent=agent,
        options=options,
        operations=st.lists(operation, max_size=2),
        meta=meta,
    ),
    _edit(resources.create_resource, resource=primitive, agent=st.just("ocf:heartbeat:Dummy")),
    _edit(resources.create_resource, resource=primitive, agent=st.just("ocf:heartbeat:apache")),
    _edit(
        resources.update_resource,
        resource=anything,
        options=options,
        operations=st.lists(operation, max_size=2),
        meta=meta,
    ),
    _edit(resources.set_meta, resource=anything, meta=meta),
    _edit(resources.delete_resource, resource=anything),
    _edit(operations.add_operation, resource=anything, request=operation),
    _edit(operations.remove_operation, resource=anything, request=operation),
    _edit(clones.clone_resource, resource=anything, meta=meta),
    _edit(clones.unclone_resource, resource=anything),
    _edit(groups.add_to_group, group=st.sampled_from(GROUPS), resources=some),
    _edit(groups.add_to_group, group=st.sampled_from(GROUPS), resources=some, before=anything),
    _edit(
        groups.remove_from_group,
        group=st.sampled_from(GROUPS),
        resources=st.lists(st.sampled_from(["one", "two"]), max_size=2),
    ),
    _edit(clones.unclone_resource, resource=st.sampled_from(["fs", "fs-clone", "VIP", "web"])),
    _edit(clones.clone_resource, resource=st.sampled_from(["G", "one", "VIP", "web"])),
    _edit(standing.enable, resources=some),
    _edit(standing.disable, resources=some),
    _edit(standing.manage, resources=some),
    _edit(standing.unmanage, resources=some),
    _edit(colocation.add_colocation, resource=anything, with_resource=anything, score=score),
    _edit(colocation.add_colocation_sets, sets=sets),
    _edit(order.add_order, first=anything, then=anything),
    _edit(order.add_order, first=anything, then=anything, options=st.just({"kind": "Optional"})),
    _edit(order.add_order_sets, sets=sets),
    _edit(location.prefer_nodes, resource=anything, scores=st.dictionaries(node, score, max_size=2)),
    _edit(location.avoid_nodes, resource=anything, scores=st.dictionaries(node, score, max_size=2)),
    _edit(location.add_location_rule, resource=anything, expression=rules.map(lambda text: [text])),
    _edit(constraints.delete_constraints, constraints=st.just(["order-web-db-mandatory"])),
    _edit(moves.ban, resource=anything, node=node, until=st.sampled_from([None, "2030-01-01 00:00:00Z"])),
    _edit(moves.move, resource=anything, node=node),
    _edit(moves.clear, resource=anything),
    _edit(
        settings.set_properties,
        properties=st.dictionaries(
            st.sampled_from(["no-quorum-policy", "maintenance-mode", "cluster-recheck-interval", "no-such"]),
            st.sampled_from(["", "stop", "true", "5min", "bad"]),
            max_size=2,
        ),
    ),
    _edit(settings.set_resource_defaults, values=meta),
    _edit(
        settings.set_operation_defaults,
        values=st.dictionaries(st.just("timeout"), st.sampled_from(["30s", "", "x"])),
    ),
    _edit(nodes.standby, nodes=st.lists(node, max_size=2)),
    _edit(nodes.unstandby, nodes=st.lists(node, max_size=2)),
    _edit(
        nodes.set_attributes,
        nodes=st.lists(node, max_size=2),
        attributes=st.dictionaries(st.sampled_from(["rack", "a b"]), st.sampled_from(["1", ""])),
    ),
)


def populated() -> Configuration:
    """A cluster with some of everything, for edits to meet."""
    configuration = initial_configuration("lab", NODES)
    for name in PRIMITIVES[2:]:
        configuration = resources.create_resource(configuration, resource=name, agent="ocf:heartbeat:Dummy")
    configuration = resources.create_resource(
        configuration, resource="VIP", agent="ocf:heartbeat:IPaddr2", options={"ip": "192.0.2.1"}
    )
    configuration = order.add_order(configuration, first="web", then="db")
    configuration = clones.clone_resource(configuration, resource="fs")
    configuration = groups.add_to_group(configuration, group="G", resources=["one", "two"])
    return colocation.add_colocation(configuration, resource="web", with_resource="VIP")
