"""Random tickets, shutdown locks, and attribute sets that contradict each other."""

from __future__ import annotations

from copy import deepcopy
from xml.etree.ElementTree import Element, SubElement

from tests.scheduler_suite.fuzz.drawing import Drawing
from tests.scheduler_suite.fuzz.status import NOW_S

TICKETS = ("one", "two")


def draw_ticket_constraints(drawing: Drawing, parent: Element) -> None:
    if not drawing.about("tickets"):
        return
    for number in range(drawing.random.randint(1, 3)):
        unit = drawing.pick(drawing.units)
        attributes = {"id": f"t{number}", "rsc": unit, "ticket": drawing.pick(TICKETS)}
        if unit in drawing.promotables and drawing.chance(0.6):
            attributes["rsc-role"] = drawing.pick(["Promoted", "Started"])
        attributes |= drawing.chosen(loss_policy=(0.7, ["stop", "demote", "freeze", "fence"]))
        SubElement(parent, "rsc_ticket", attributes)


def draw_ticket_states(drawing: Drawing, status: Element) -> None:
    if not drawing.about("tickets") or drawing.chance(0.2):
        return
    tickets = SubElement(status, "tickets")
    for name in TICKETS:
        if drawing.chance(0.8):
            state = {"id": name, "granted": drawing.pick(["true", "false"])}
            SubElement(tickets, "ticket_state", state | drawing.chosen(standby=(0.3, ["true"])))


def draw_locks(drawing: Drawing, status: Element) -> None:
    if not drawing.about("locks"):
        return
    for state in status.findall("node_state"):
        for history in state.iter("lrm_resource"):
            if drawing.chance(0.25):
                history.set("shutdown-lock", str(NOW_S - drawing.pick([30, 300, 3_000])))


SETS = ("meta_attributes", "instance_attributes", "utilization", "cluster_property_set")
OTHERWISE = {
    "target-role": ("Stopped", "Started"),
    "standby": ("true", "false"),
    "resource-stickiness": ("0", "100", "INFINITY"),
    "is-managed": ("true", "false"),
    "priority": ("0", "10"),
    "clone-max": ("1", "2", "3"),
    "migration-threshold": ("1", "3"),
    "site": ("a", "b"),
    "cpu": ("1", "4"),
    "memory": ("20", "60"),
    "no-quorum-policy": ("stop", "ignore", "freeze"),
    "symmetric-cluster": ("true", "false"),
    "ordered": ("true", "false"),
    "interleave": ("true", "false"),
}
"""name → values that a second set may give it"""


def draw_second_sets(drawing: Drawing, configuration: Element) -> None:
    """Beside some attribute sets a second one that says otherwise, with or without a score."""
    if not drawing.about("twice"):
        return
    for parent in list(configuration.iter()):
        for stated in [child for child in parent if child.tag in SETS and drawing.chance(0.5)]:
            second = deepcopy(stated)
            drawing.serial += 1
            second.set("id", f"second-{drawing.serial}")
            for pair in list(second.iter("nvpair")):
                drawing.serial += 1
                pair.set("id", f"pair-{drawing.serial}")
                values = OTHERWISE.get(pair.get("name", ""))
                if values is None:
                    second.remove(pair)
                else:
                    pair.set("value", drawing.pick(values))
            for rule in list(second.iter("rule")):
                second.remove(rule)
            for one in (stated, second):
                if drawing.chance(0.25):
                    one.set("score", drawing.pick(["1", "5", "INFINITY"]))
            if len(second):
                parent.insert(list(parent).index(stated) + drawing.random.randint(0, 1), second)
