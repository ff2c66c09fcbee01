"""A whole random CIB, one for each seed."""

from __future__ import annotations

from random import Random
from xml.etree.ElementTree import Element, SubElement, tostring

from tests.scheduler_suite.fuzz.constraints import Constraints
from tests.scheduler_suite.fuzz.drawing import THEMES, Drawing
from tests.scheduler_suite.fuzz.further import (
    draw_locks,
    draw_second_sets,
    draw_ticket_constraints,
    draw_ticket_states,
)
from tests.scheduler_suite.fuzz.resources import Resources, draw_tags
from tests.scheduler_suite.fuzz.status import NOW_S, Status


def random_cib(seed: int, themes: frozenset[str] | None = None, further: frozenset[str] = frozenset()) -> bytes:
    """The CIB of a seed; `themes` (see `THEMES`) instead of the few that the seed would choose, and what is to be
    `FURTHER` in it."""
    random = Random(seed)
    chosen = frozenset(random.sample(THEMES, random.randint(1, 6)))
    return _draw(Drawing(random, (chosen if themes is None else themes) | further))


def _draw(drawing: Drawing) -> bytes:
    cib = Element("cib", {"validate-with": "pacemaker-3.7", "crm_feature_set": "3.16.1", "epoch": "1"})
    cib.attrib |= {"num_updates": "0", "admin_epoch": "0", "execution-date": str(NOW_S)}
    cib.set("have-quorum", "0" if drawing.chance(0.1) else "1")
    configuration = SubElement(cib, "configuration")
    _properties(drawing, SubElement(configuration, "crm_config"))
    _nodes(drawing, SubElement(configuration, "nodes"))
    Resources(drawing).draw(SubElement(configuration, "resources"))
    constraints = SubElement(configuration, "constraints")
    draw_tags(drawing, configuration)
    Constraints(drawing).draw(constraints)
    draw_ticket_constraints(drawing, constraints)
    _defaults(drawing, configuration)
    draw_second_sets(drawing, configuration)
    status = SubElement(cib, "status")
    Status(drawing).draw(status)
    draw_ticket_states(drawing, status)
    draw_locks(drawing, status)
    return bytes(tostring(cib))


def _properties(drawing: Drawing, parent: Element) -> None:
    drawing.fencing = drawing.about("fencing") and drawing.chance(0.8)
    values = {"stonith-enabled": str(drawing.fencing).lower()}
    if drawing.fencing:
        values |= drawing.chosen(startup_fencing=(0.2, ["false"]), concurrent_fencing=(0.2, ["false"]))
    values["no-quorum-policy"] = drawing.pick(["stop", "ignore", "freeze"])
    if drawing.about("utilization"):
        values["placement-strategy"] = drawing.pick(["utilization", "minimal", "balanced"])
        drawing.balanced = values["placement-strategy"] == "balanced"
    if drawing.about("options"):
        values |= drawing.chosen(
            symmetric_cluster=(0.3, ["false"]),
            maintenance_mode=(0.1, ["true"]),
            stop_all_resources=(0.08, ["true"]),
            enable_startup_probes=(0.1, ["false"]),
        )
    if drawing.about("failures"):
        values |= drawing.chosen(start_failure_is_fatal=(0.3, ["false"]))
    if drawing.about("orphans"):
        values |= drawing.chosen(stop_orphan_resources=(0.4, ["false"]))
    if drawing.about("demote"):
        values["no-quorum-policy"] = "demote"
    if drawing.about("locks"):
        values["shutdown-lock"] = "true"
        values |= drawing.chosen(shutdown_lock_limit=(0.5, ["60s", "10min"]))
    if drawing.about("health"):
        values["node-health-strategy"] = drawing.pick(["migrate-on-red", "only-green", "progressive", "custom"])
        values |= drawing.chosen(
            node_health_base=(0.3, ["10", "-5"]), node_health_red=(0.3, ["-100"]), node_health_yellow=(0.3, ["-7"])
        )
    options = SubElement(parent, "cluster_property_set", {"id": "cib-bootstrap-options"})
    for name, value in values.items():
        drawing.pair(options, name, value)


def _nodes(drawing: Drawing, parent: Element) -> None:
    for number in range(1, drawing.random.randint(2, 5)):
        name = f"node{number}"
        drawing.nodes.append(name)
        node = SubElement(parent, "node", {"id": str(number), "uname": name})
        values: dict[str, str] = {}
        if drawing.chance(0.12):
            state = drawing.pick(["standby", "standby", "maintenance"])
            values[state] = "true"
            if state == "maintenance":
                drawing.maintained.add(name)
        if drawing.about("rules"):
            values |= drawing.chosen(site=(0.8, ["a", "b"]), weight=(0.7, ["1", "5", "10", "-20"]))
        if drawing.about("health"):
            health = drawing.chosen(cpu=(0.4, ["red", "yellow", "green", "-30"]), disk=(0.3, ["yellow", "40"]))
            values |= {f"#health-{name}": value for name, value in health.items()}
        drawing.pairs(node, "instance_attributes", values)
        if drawing.about("utilization"):
            memory = {} if drawing.balanced else {"memory": drawing.pick(["20", "60"])}
            drawing.pairs(node, "utilization", {"cpu": drawing.pick(["2", "4", "8"]), **memory})


def _defaults(drawing: Drawing, configuration: Element) -> None:
    values = drawing.chosen(resource_stickiness=(0.3, ["0", "1", "100", "INFINITY"]))
    several = drawing.about("defaults")
    if several:
        values |= drawing.chosen(migration_threshold=(0.3, ["1", "3"]), priority=(0.2, ["5"]))
    if not values and not several:
        return
    defaults = SubElement(configuration, "rsc_defaults")
    if several and drawing.chance(0.5):
        made = SubElement(defaults, "meta_attributes", {"id": "of-agents", "score": drawing.pick(["1", "100"])})
        rule = SubElement(made, "rule", {"id": "of-agents-rule", "score": "INFINITY"})
        chosen = drawing.pick(["Dummy", "Stateful"])
        SubElement(rule, "rsc_expression", {"id": "of-agents-x", "class": "ocf", "type": chosen})
        drawing.pair(made, "resource-stickiness", drawing.pick(["7", "INFINITY"]))
    drawing.pairs(defaults, "meta_attributes", values)
    if several and drawing.chance(0.7):
        operations = SubElement(configuration, "op_defaults")
        made = SubElement(operations, "meta_attributes", {"id": "of-operations"})
        if drawing.chance(0.6):
            rule = SubElement(made, "rule", {"id": "of-operations-rule", "score": "INFINITY"})
            name = drawing.pick(["monitor", "start", "promote", "demote"])
            SubElement(rule, "op_expression", {"id": "of-operations-x", "name": name})
        drawing.pair(made, "on-fail", drawing.pick(["block", "ignore", "stop", "standby", "restart", "fence"]))
