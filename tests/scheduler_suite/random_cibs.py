"""Random CIBs, one a seed: small clusters with all kinds of resources, constraints, states and failures."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from xml.etree.ElementTree import Element, SubElement, tostring

KINDS = ("primitive", "primitive", "group", "clone", "clone", "cloned-group")
SINGLE = ("primitive", "primitive", "group")
"""resources that run once: about clones Pacemaker's versions differ too much to compare with just any of them"""
SCORES = ("INFINITY", "-INFINITY", "100", "10", "1", "-1", "-50", "500")
COLOCATION_SCORES = ("INFINITY", "INFINITY", "-INFINITY", "100", "-100", "10")
DIGESTS = {0: "f2317cad3d54cec5d7d7aa7d0bf35cf8", 10_000: "4811cef7f7f94e3a35a70be7916cb2fd"}
"""of operations without parameters: so the peer sees no changed definition"""


@dataclass
class CibMaker:
    """Builds one document; every choice comes from `random`."""

    random: Random
    kinds: tuple[str, ...] = KINDS
    nodes: list[str] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    """what constraints may name: top-level resources"""
    primitives: list[tuple[str, int, bool]] = field(default_factory=list)
    """(id, instances, globally unique)"""
    serial: int = 0
    fencing: bool = False
    maintained: set[str] = field(default_factory=set)

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def make(self) -> bytes:
        cib = Element("cib", {"validate-with": "pacemaker-3.7", "crm_feature_set": "3.16.1", "epoch": "1"})
        cib.attrib |= {"num_updates": "0", "admin_epoch": "0", "execution-date": "1700000000"}
        cib.set("have-quorum", "0" if self.chance(0.1) else "1")
        configuration = SubElement(cib, "configuration")
        self._properties(SubElement(configuration, "crm_config"))
        self._nodes(SubElement(configuration, "nodes"))
        self._resources(SubElement(configuration, "resources"))
        self._constraints(SubElement(configuration, "constraints"))
        if self.chance(0.3):
            defaults = SubElement(SubElement(configuration, "rsc_defaults"), "meta_attributes", {"id": "defaults"})
            self._pair(defaults, "resource-stickiness", self.random.choice(["0", "1", "100", "INFINITY"]))
        self._status(SubElement(cib, "status"))
        return tostring(cib)

    def _pair(self, parent: Element, name: str, value: str) -> None:
        self.serial += 1
        SubElement(parent, "nvpair", {"id": f"pair-{self.serial}", "name": name, "value": value})

    def _properties(self, parent: Element) -> None:
        options = SubElement(parent, "cluster_property_set", {"id": "cib-bootstrap-options"})
        self.fencing = self.chance(0.4)
        self._pair(options, "stonith-enabled", str(self.fencing).lower())
        if self.fencing and self.chance(0.2):
            self._pair(options, "startup-fencing", "false")
        self._pair(options, "no-quorum-policy", self.random.choice(["stop", "ignore", "freeze"]))
        if self.chance(0.1):
            self._pair(options, "symmetric-cluster", "false")
        if self.chance(0.05):
            self._pair(options, "maintenance-mode", "true")

    def _nodes(self, parent: Element) -> None:
        for number in range(1, self.random.randint(2, 5)):
            name = f"node{number}"
            self.nodes.append(name)
            node = SubElement(parent, "node", {"id": str(number), "uname": name})
            if self.chance(0.12):
                attributes = SubElement(node, "instance_attributes", {"id": f"nodes-{number}"})
                state = self.random.choice(["standby", "standby", "maintenance"])
                self._pair(attributes, state, "true")
                if state == "maintenance":
                    self.maintained.add(name)

    def _meta(self, parent: Element, **choices: tuple[float, list[str]]) -> None:
        chosen = {k: self.random.choice(values) for k, (p, values) in choices.items() if self.chance(p)}
        if chosen:
            meta = SubElement(parent, "meta_attributes", {"id": f"{parent.get('id')}-meta"})
            for name, value in chosen.items():
                self._pair(meta, name.replace("_", "-"), value)

    def _primitive(self, parent: Element, name: str, instances: int = 1, unique: bool = True) -> None:
        primitive = SubElement(
            parent, "primitive", {"id": name, "class": "ocf", "provider": "heartbeat", "type": "Dummy"}
        )
        operations = SubElement(primitive, "operations")
        SubElement(operations, "op", {"id": f"{name}-monitor", "name": "monitor", "interval": "10s"})
        self._meta(
            primitive,
            resource_stickiness=(0.2, ["0", "10", "100", "INFINITY"]),
            target_role=(0.1, ["Stopped", "Started"]),
            is_managed=(0.06, ["false"]),
            migration_threshold=(0.15, ["1", "2", "5"]),
            priority=(0.1, ["1", "10", "-5"]),
        )
        self.primitives.append((name, instances, unique))

    def _resources(self, parent: Element) -> None:
        if self.fencing and self.chance(0.9):
            SubElement(parent, "primitive", {"id": "fencer", "class": "stonith", "type": "fence_dummy"})
        for number in range(self.random.randint(1, 6)):
            kind = self.random.choice(self.kinds)
            name = f"r{number}"
            self.units.append(name if kind == "primitive" else f"{kind[0]}{name}")
            if kind == "primitive":
                self._primitive(parent, name)
                continue
            if kind == "group":
                self._group(parent, f"g{name}", name)
                continue
            clone = SubElement(parent, "clone", {"id": f"c{name}"})
            unique = self.chance(0.3)
            count = self.random.randint(1, 4) if self.chance(0.4) else len(self.nodes)
            meta = SubElement(clone, "meta_attributes", {"id": f"c{name}-meta"})
            self._pair(meta, "clone-max", str(count))
            self._pair(meta, "globally-unique", str(unique).lower())
            if unique and self.chance(0.6):
                self._pair(meta, "clone-node-max", str(self.random.randint(1, 3)))
            if self.chance(0.5):
                self._pair(meta, "interleave", "true")
            if kind == "clone":
                self._primitive(clone, name, count, unique)
            else:
                self._group(clone, f"g{name}", name, count, unique)

    def _group(self, parent: Element, group_id: str, name: str, instances: int = 1, unique: bool = True) -> None:
        group = SubElement(parent, "group", {"id": group_id})
        for member in range(self.random.randint(1, 3)):
            self._primitive(group, f"{name}m{member}", instances, unique)

    def _constraints(self, parent: Element) -> None:
        for number in range(self.random.randint(0, 4)):
            unit, node = self.random.choice(self.units), self.random.choice(self.nodes)
            score = self.random.choice(SCORES)
            SubElement(parent, "rsc_location", {"id": f"l{number}", "rsc": unit, "node": node, "score": score})
        if len(self.units) < 2:
            return
        pairs: set[frozenset[str]] = set()
        for number in range(self.random.randint(0, 3)):
            one, two = self.random.sample(self.units, 2)
            if frozenset((one, two)) in pairs:
                continue
            pairs.add(frozenset((one, two)))
            score = self.random.choice(COLOCATION_SCORES)
            SubElement(parent, "rsc_colocation", {"id": f"k{number}", "rsc": one, "with-rsc": two, "score": score})
        ordered = set()
        for number in range(self.random.randint(0, 3)):
            # only forwards: circles of orders mean nothing to either side; and one order a pair: of an optional and
            # a mandatory one the peer forgets the second
            early, late = sorted(self.random.sample(range(len(self.units)), 2))
            if (early, late) in ordered:
                continue
            ordered.add((early, late))
            kind = self.random.choice(["Mandatory", "Mandatory", "Optional"])
            order = {"id": f"o{number}", "first": self.units[early], "then": self.units[late], "kind": kind}
            if self.chance(0.2):
                order["symmetrical"] = "false"
            SubElement(parent, "rsc_order", order)

    # ---- status

    def _status(self, parent: Element) -> None:
        # of a host that is both gone and in maintenance the peer does not show what it holds to run there
        online = {node: node in self.maintained or not self.chance(0.15) for node in self.nodes}
        homes = self._homes(online)
        for number, node in enumerate(self.nodes, 1):
            up = online[node]
            state = {"id": str(number), "uname": node, "in_ccm": str(up).lower(), "expected": "member"}
            state |= {"crmd": "online" if up else "offline", "join": "member" if up else "down"}
            if up and self.chance(0.05):
                state["join"] = "pending"
            if not up and self.chance(0.3):
                state["expected"] = "down"
            entry = SubElement(parent, "node_state", state)
            if not up and not (self.fencing and self.chance(0.5)):
                continue
            self._failures(entry, node)
            lrm = SubElement(SubElement(entry, "lrm", {"id": str(number)}), "lrm_resources")
            for name in sorted(homes[node]):
                self._history(lrm, name, homes[node][name])

    def _homes(self, online: dict[str, bool]) -> dict[str, dict[str, str]]:
        """node → instance → what happened there: running, stopped, failed"""
        homes: dict[str, dict[str, str]] = {node: {} for node in self.nodes}
        if self.chance(0.25):
            return homes
        for name, instances, unique in self.primitives:
            places = [node for node in self.nodes if online[node] or self.fencing]
            self.random.shuffle(places)
            for number in range(instances):
                instance = f"{name}:{number}" if unique and instances > 1 else name
                if self.chance(0.15) or not places:
                    continue
                node = self.random.choice(places) if unique else places.pop()
                homes[node][instance] = "failed" if self.chance(0.1) else "running"
            for node in self.nodes:
                if self.chance(0.6) and name not in homes[node] and not (unique and instances > 1):
                    homes[node][name] = "stopped"
        return homes

    def _failures(self, entry: Element, node: str) -> None:
        if not self.chance(0.25):
            return
        attributes = SubElement(SubElement(entry, "transient_attributes", {"id": node}), "instance_attributes")
        attributes.set("id", f"status-{node}")
        name, instances, unique = self.random.choice(self.primitives)
        counted = f"{name}:0" if unique and instances > 1 else name
        count = self.random.choice(["1", "2", "5", "INFINITY"])
        self._pair(attributes, f"fail-count-{counted}#monitor_10000", count)

    def _history(self, parent: Element, name: str, what: str) -> None:
        resource = SubElement(
            parent, "lrm_resource", {"id": name, "class": "ocf", "provider": "heartbeat", "type": "Dummy"}
        )
        if what == "stopped":
            self._operation(resource, name, "monitor", 0, 7, 7)
            return
        self._operation(resource, name, "start", 0, 0, 0)
        self._operation(resource, name, "monitor", 10_000, 0, 0)
        if what == "failed":
            self._operation(resource, name, "monitor", 10_000, self.random.choice([1, 7]), 0, "_last_failure_0")
            if self.chance(0.3):
                self._operation(resource, name, "stop", 0, 1, 0)

    def _operation(
        self, parent: Element, name: str, task: str, interval: int, code: int, expected: int, suffix: str = ""
    ) -> None:
        self.serial += 1
        key = f"{self.serial}:1:{expected}:00000000-0000-0000-0000-000000000000"
        SubElement(
            parent,
            "lrm_rsc_op",
            {
                "id": f"{name}{suffix or f'_{task}_{interval}'}",
                "operation_key": f"{name}_{task}_{interval}",
                "operation": task,
                "interval": str(interval),
                "call-id": str(self.serial),
                "rc-code": str(code),
                "op-status": "0",
                "transition-key": key,
                "transition-magic": f"0:{code};{key}",
                "crm_feature_set": "3.16.1",
                "op-digest": DIGESTS[interval],
            },
        )


def random_cib(seed: int, kinds: tuple[str, ...] = KINDS) -> bytes:
    return CibMaker(Random(seed), kinds).make()
