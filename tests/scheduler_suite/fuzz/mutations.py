"""Neighbours of the suite's cases: a real-life CIB with a few things changed, which nobody wrote down an answer for."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from xml.etree.ElementTree import Element, SubElement, tostring

from defusedxml.ElementTree import fromstring

from tests.scheduler_suite.cases import case_names, load
from tests.scheduler_suite.fuzz.status import NOW_S
from tests.scheduler_suite.known_differences import KNOWN

SCORES = ("INFINITY", "-INFINITY", "0", "1", "100", "-1", "-100", "1000")
CHANGES_MAX = 3
TRIES_MAX = 12
COLLECTIVES = ("primitive", "group", "clone", "master")


def neighbour(seed: int) -> bytes:
    """One of the suite's cases, changed; those that are known to differ are left out."""
    names = [name for name in case_names() if name not in KNOWN]
    return mutated(load(names[seed % len(names)]).document, seed)


def mutated(document: bytes, seed: int) -> bytes:
    """The document with one to three changes, which the seed decides; ids that nothing has any more may remain."""
    root = fromstring(document)
    root.attrib.setdefault("execution-date", str(NOW_S))
    return _Mutation(root, Random(seed)).run()


class _Mutation:
    def __init__(self, root: Element, random: Random) -> None:
        self.root = root
        self.random = random
        self.serial = 0

    def run(self) -> bytes:
        changes: tuple[Callable[[], bool], ...] = (
            self.lose_a_node,
            self.drop_a_node,
            self.stand_by,
            self.score,
            self.score,
            self.stickiness,
            self.fail_count,
            self.fail_count,
            self.meta,
            self.meta,
            self.drop_a_constraint,
            self.forget_a_result,
            self.forget_a_result,
            self.other_result,
            self.other_result,
            self.property,
            self.count_of_a_clone,
            self.order,
            self.add_a_location,
            self.add_a_location,
            self.add_a_colocation,
            self.add_an_order,
            self.move_a_history,
            self.drop_a_resource,
            self.drop_an_option,
        )
        left = self.random.randint(1, CHANGES_MAX)
        for _ in range(TRIES_MAX):
            if left and self.random.choice(changes)():
                left -= 1
        return bytes(tostring(self.root))

    # ---- what there is

    def one(self, *tags: str) -> Element | None:
        found = [element for tag in tags for element in self.root.iter(tag)]
        return self.random.choice(found) if found else None

    def section(self, name: str) -> Element:
        configuration = self.root.find("configuration")
        assert configuration is not None
        found = configuration.find(name)
        return found if found is not None else SubElement(configuration, name)

    def parent_of(self, child: Element) -> Element:
        return next(parent for parent in self.root.iter() if child in list(parent))

    def tops(self) -> list[str]:
        return [e.get("id", "") for e in self.section("resources") if e.tag in COLLECTIVES]

    def nodes(self) -> list[str]:
        return [e.get("uname", "") for e in self.section("nodes") if e.get("type", "member") == "member"]

    def fresh(self, what: str) -> str:
        self.serial += 1
        return f"changed-{what}-{self.serial}"

    def option(self, parent: Element, tag: str, name: str, value: str) -> bool:
        """Set a name/value pair in the first set of this kind."""
        made = next((e for e in parent.findall(tag) if e.find("rule") is None and not e.get("id-ref")), None)
        if made is None:
            made = Element(tag, {"id": self.fresh("set")})
            parent.insert(0, made)
        for pair in made.iter("nvpair"):
            if pair.get("name", "").replace("_", "-") == name:
                pair.set("value", value)
                return True
        SubElement(made, "nvpair", {"id": self.fresh("pair"), "name": name, "value": value})
        return True

    # ---- changes: True if there was something to change

    def lose_a_node(self) -> bool:
        state = self.one("node_state")
        if state is None:
            return False
        gone = self.random.choice(
            [
                {"in_ccm": "false", "crmd": "offline", "join": "down", "expected": "down"},
                {"in_ccm": "false", "crmd": "offline", "join": "down", "expected": "member"},
                {"in_ccm": "true", "crmd": "offline", "join": "member", "expected": "member"},
                {"in_ccm": "true", "crmd": "online", "join": "member", "expected": "member"},
            ]
        )
        state.attrib.update(gone)
        return True

    def drop_a_node(self) -> bool:
        node = self.one("node")
        if node is None or len(self.nodes()) < 2:
            return False
        self.parent_of(node).remove(node)
        status = self.root.find("status")
        for state in list(status) if status is not None else []:
            if state.get("uname") == node.get("uname") and status is not None:
                status.remove(state)
        return True

    def stand_by(self) -> bool:
        node = self.one("node")
        name = self.random.choice(["standby", "standby", "maintenance"])
        return node is not None and self.option(
            node, "instance_attributes", name, self.random.choice(["on", "true", "false"])
        )

    def score(self) -> bool:
        scored = self.one("rsc_location", "rsc_colocation", "rule")
        if scored is None or "score" not in scored.attrib:
            return False
        text = scored.attrib["score"]
        turned = text.removeprefix("-") if text.startswith("-") else f"-{text.removeprefix('+')}"
        scored.set("score", self.random.choice([turned, turned, *SCORES]))
        return True

    def stickiness(self) -> bool:
        value = self.random.choice(["0", "1", "100", "INFINITY", "-1"])
        if self.random.random() < 0.5:
            return self.option(self.section("rsc_defaults"), "meta_attributes", "resource-stickiness", value)
        resource = self.one(*COLLECTIVES)
        return resource is not None and self.option(resource, "meta_attributes", "resource-stickiness", value)

    def fail_count(self) -> bool:
        history, state = self.one("lrm_resource"), self.one("node_state")
        if history is None or state is None:
            return False
        name = history.get("id", "")
        transient = state.find("transient_attributes")
        if transient is None:
            transient = SubElement(state, "transient_attributes", {"id": state.get("id", "")})
        operation = self.random.choice(["start_0", "monitor_10000", "stop_0"])
        count = self.random.choice(["1", "2", "3", "INFINITY"])
        self.option(transient, "instance_attributes", f"fail-count-{name}#{operation}", count)
        return self.option(transient, "instance_attributes", f"last-failure-{name}#{operation}", "1")

    def meta(self) -> bool:
        resource = self.one(*COLLECTIVES)
        if resource is None:
            return False
        name, values = self.random.choice(
            [
                ("target-role", ["Stopped", "Started", "Slave", "Master", "Promoted", "Unpromoted"]),
                ("is-managed", ["false", "true"]),
                ("maintenance", ["true"]),
                ("priority", ["0", "10", "-5", "1000"]),
                ("migration-threshold", ["1", "2", "0", "INFINITY"]),
                ("critical", ["false"]),
                ("multiple-active", ["block", "stop_only", "stop_start", "stop_unexpected"]),
                ("requires", ["nothing", "quorum", "fencing"]),
                ("allow-migrate", ["true", "false"]),
                ("ordered", ["true", "false"]),
                ("interleave", ["true", "false"]),
            ]
        )
        return self.option(resource, "meta_attributes", name, self.random.choice(values))

    def drop_a_constraint(self) -> bool:
        found = list(self.section("constraints"))
        if not found:
            return False
        self.section("constraints").remove(self.random.choice(found))
        return True

    def forget_a_result(self) -> bool:
        victim = self.one("lrm_resource", "lrm_rsc_op")
        if victim is None:
            return False
        self.parent_of(victim).remove(victim)
        return True

    def other_result(self) -> bool:
        result = self.one("lrm_rsc_op")
        if result is None:
            return False
        code = self.random.choice(["0", "1", "7", "8", "5"])
        result.set("rc-code", code)
        status, _, rest = result.get("transition-magic", "0:0;").partition(":")
        result.set("transition-magic", f"{status}:{code};{rest.partition(';')[2]}")
        return True

    def property(self) -> bool:
        name, values = self.random.choice(
            [
                ("no-quorum-policy", ["stop", "freeze", "ignore", "demote", "suicide"]),
                ("stonith-enabled", ["true", "false"]),
                ("symmetric-cluster", ["true", "false"]),
                ("maintenance-mode", ["true", "false"]),
                ("stop-all-resources", ["true", "false"]),
                ("stop-orphan-resources", ["true", "false"]),
                ("start-failure-is-fatal", ["true", "false"]),
                ("startup-fencing", ["true", "false"]),
                ("enable-startup-probes", ["true", "false"]),
                ("concurrent-fencing", ["true", "false"]),
                ("placement-strategy", ["default", "utilization", "minimal"]),
                ("have-quorum", ["0", "1"]),
            ]
        )
        if name == "have-quorum":
            self.root.set(name, self.random.choice(values))
            return True
        return self.option(self.section("crm_config"), "cluster_property_set", name, self.random.choice(values))

    def count_of_a_clone(self) -> bool:
        clone = self.one("clone", "master")
        if clone is None:
            return False
        names = ["clone-max", "clone-max", "clone-node-max", "clone-min", "promoted-max", "promoted-node-max"]
        name = self.random.choice(names)
        if clone.tag == "master":
            name = name.replace("promoted", "master")
        return self.option(clone, "meta_attributes", name, str(self.random.randint(1, 4)))

    def order(self) -> bool:
        order = self.one("rsc_order")
        if order is None:
            return False
        if self.random.random() < 0.5:
            order.attrib.pop("score", None)
            order.set("kind", self.random.choice(["Mandatory", "Optional", "Serialize"]))
        elif order.get("kind") != "Serialize":
            order.set("symmetrical", self.random.choice(["true", "false"]))
        return True

    def add_a_location(self) -> bool:
        tops, nodes = self.tops(), self.nodes()
        if not tops or not nodes:
            return False
        attributes = {
            "id": self.fresh("location"),
            "rsc": self.random.choice(tops),
            "score": self.random.choice(SCORES),
        }
        SubElement(self.section("constraints"), "rsc_location", {**attributes, "node": self.random.choice(nodes)})
        return True

    def _pair(self, tag: str) -> tuple[str, str] | None:
        """Two resources without a constraint of this kind: of two orders the peer forgets one, and of circles of
        colocations it makes what it can."""
        tops = self.tops()
        if len(tops) < 2:
            return None
        one, two = sorted(self.random.sample(range(len(tops)), 2))
        pair = tops[one], tops[two]
        for constraint in self.section("constraints").iter(tag):
            named = {constraint.get(key) for key in ("rsc", "with-rsc", "first", "then")}
            named |= {reference.get("id") for reference in constraint.iter("resource_ref")}
            if named >= set(pair):
                return None
        return pair

    def add_a_colocation(self) -> bool:
        pair = self._pair("rsc_colocation")
        if pair is None:
            return False
        attributes = {"id": self.fresh("colocation"), "rsc": pair[1], "with-rsc": pair[0]}
        SubElement(
            self.section("constraints"), "rsc_colocation", {**attributes, "score": self.random.choice(SCORES)}
        )
        return True

    def add_an_order(self) -> bool:
        pair = self._pair("rsc_order")
        if pair is None:
            return False
        attributes = {"id": self.fresh("order"), "first": pair[0], "then": pair[1]}
        kind = self.random.choice(["Mandatory", "Mandatory", "Optional"])
        SubElement(self.section("constraints"), "rsc_order", {**attributes, "kind": kind})
        return True

    def move_a_history(self) -> bool:
        history, target = self.one("lrm_resource"), self.one("lrm_resources")
        if history is None or target is None:
            return False
        if any(known.get("id") == history.get("id") for known in target):
            return False
        self.parent_of(history).remove(history)
        target.append(history)
        return True

    def drop_a_resource(self) -> bool:
        tops = [e for e in self.section("resources") if e.tag in COLLECTIVES]
        if len(tops) < 2:
            return False
        victim = self.random.choice(tops)
        self.section("resources").remove(victim)
        gone = {e.get("id") for e in victim.iter()}
        for constraint in list(self.section("constraints")):
            named = {constraint.get(key) for key in ("rsc", "with-rsc", "first", "then")}
            named |= {reference.get("id") for reference in constraint.iter("resource_ref")}
            if named & gone:
                self.section("constraints").remove(constraint)
        return not any(reference.get("id") in gone for reference in self.root.iter("obj_ref"))

    def drop_an_option(self) -> bool:
        pair = self.one("nvpair")
        if pair is None:
            return False
        self.parent_of(pair).remove(pair)
        return True
