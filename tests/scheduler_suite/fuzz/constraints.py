"""Random constraints: locations, colocations and orders, with rules, roles and sets."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement

from tests.scheduler_suite.fuzz.drawing import Drawing

SCORES = ("INFINITY", "-INFINITY", "100", "10", "1", "-1", "-50", "500")
COLOCATION_SCORES = ("INFINITY", "INFINITY", "INFINITY", "-INFINITY", "100", "-100", "10")
ROLES = ("Started", "Promoted", "Unpromoted")


class Constraints:
    def __init__(self, drawing: Drawing) -> None:
        self.drawing = drawing
        self.parent: Element
        self.paired: set[frozenset[str]] = set()
        self.ordered: set[tuple[str, str]] = set()

    def draw(self, parent: Element) -> None:
        self.parent = parent
        drawing = self.drawing
        for number in range(drawing.random.randint(0, 4)):
            self._location(f"l{number}")
        if len(drawing.units) < 2:
            return
        for number in range(drawing.random.randint(0, 3)):
            self._colocation(f"k{number}")
        for number in range(drawing.random.randint(0, 3)):
            self._order(f"o{number}")
        if drawing.about("sets"):
            self._sets()

    # ---- locations

    def _location(self, name: str) -> None:
        drawing = self.drawing
        unit = drawing.pick(drawing.units)
        attributes = {"id": name}
        if drawing.tags and drawing.chance(0.3):
            attributes["rsc"] = drawing.pick(list(drawing.tags))
        elif drawing.about("rules") and drawing.chance(0.1):
            attributes["rsc-pattern"] = drawing.pick(["r[0-2]$", "^g", "c(r.)"])
        else:
            attributes["rsc"] = unit
        if drawing.about("discovery") and drawing.chance(0.5):
            attributes["resource-discovery"] = drawing.pick(["always", "never", "exclusive"])
        if unit in drawing.promotables and drawing.about("roles") and drawing.chance(0.5):
            attributes["role"] = drawing.pick(["Promoted", "Unpromoted", "Started"])
        if drawing.about("rules") and drawing.chance(0.6):
            role = attributes.pop("role", None)
            constraint = SubElement(self.parent, "rsc_location", attributes)
            for number in range(drawing.random.randint(1, 2)):
                self._rule(constraint, f"{name}-rule{number}", role)
            return
        attributes |= {"node": drawing.pick(drawing.nodes), "score": drawing.pick(SCORES)}
        SubElement(self.parent, "rsc_location", attributes)

    def _rule(self, parent: Element, name: str, role: str | None) -> None:
        drawing = self.drawing
        attributes = {"id": name}
        if drawing.chance(0.15):
            attributes["score-attribute"] = drawing.pick(["weight", "absent"])
        else:
            attributes["score"] = drawing.pick(SCORES)
        if role is not None:
            attributes["role"] = role
        count = drawing.random.randint(1, 2)
        if count > 1 or drawing.chance(0.2):
            attributes["boolean-op"] = drawing.pick(["and", "or"])
        rule = SubElement(parent, "rule", attributes)
        for number in range(count):
            self._expression(rule, f"{name}-x{number}")

    def _expression(self, rule: Element, name: str) -> None:
        drawing = self.drawing
        kind = drawing.random.random()
        if kind < 0.15:
            operation = drawing.pick(["gt", "lt", "in_range", "date_spec"])
            date = SubElement(rule, "date_expression", {"id": name, "operation": operation})
            early, late = drawing.pick(
                [("2023-01-01", "2024-01-01"), ("2022-01-01", "2023-01-01"), ("2030-01-01",) * 2]
            )
            if operation in {"gt", "in_range"}:
                date.set("start", early)
            if operation in {"lt", "in_range"}:
                date.set("end", late)
            if operation == "date_spec":
                part, value = drawing.pick(
                    [("hours", "9-23"), ("hours", "0-9"), ("weekdays", "1-5"), ("years", "2023")]
                )
                SubElement(date, "date_spec", {"id": f"{name}-spec", part: value})
            return
        attributes = {"id": name}
        if kind < 0.4:
            attributes |= {"attribute": "#uname", "operation": drawing.pick(["eq", "ne"])}
            attributes["value"] = drawing.pick(drawing.nodes)
        elif kind < 0.55:
            attributes |= {"attribute": drawing.pick(["site", "absent"])}
            attributes["operation"] = drawing.pick(["defined", "not_defined"])
        elif kind < 0.8:
            attributes |= {
                "attribute": "site",
                "operation": drawing.pick(["eq", "ne"]),
                "value": drawing.pick(["a", "b"]),
            }
        else:
            attributes |= {"attribute": "weight", "operation": drawing.pick(["lt", "gt", "lte", "gte"])}
            attributes |= {
                "value": drawing.pick(["5", "10"]),
                "type": drawing.pick(["number", "integer", "string"]),
            }
        SubElement(rule, "expression", attributes)

    # ---- colocations

    def _colocation(self, name: str) -> None:
        drawing = self.drawing
        one, two = drawing.random.sample(drawing.units, 2)
        if frozenset((one, two)) in self.paired:
            return
        self.paired.add(frozenset((one, two)))
        attributes = {"id": name, "rsc": one, "with-rsc": two, "score": drawing.pick(COLOCATION_SCORES)}
        tags = [tag for tag, members in drawing.tags.items() if two not in members]
        if tags and drawing.chance(0.15):
            attributes["rsc"] = drawing.pick(tags)
        if drawing.about("roles"):
            if one in drawing.promotables and drawing.chance(0.5):
                attributes["rsc-role"] = drawing.pick(ROLES)
            if two in drawing.promotables and drawing.chance(0.6):
                attributes["with-rsc-role"] = drawing.pick(ROLES)
        if drawing.about("rules") and drawing.chance(0.2) and attributes["rsc"] == one:
            # of a tag's colocation the peer forgets it
            attributes["node-attribute"] = "site"
        if drawing.about("options") and drawing.chance(0.2):
            attributes["influence"] = drawing.pick(["true", "false"])
        SubElement(self.parent, "rsc_colocation", attributes)

    # ---- orders

    def _order(self, name: str) -> None:
        drawing = self.drawing
        # only forwards: circles of orders mean nothing to either side; and one order a pair: of an optional and a
        # mandatory one the peer forgets the second
        early, late = sorted(drawing.random.sample(range(len(drawing.units)), 2))
        one, two = drawing.units[early], drawing.units[late]
        if (one, two) in self.ordered:
            return
        self.ordered.add((one, two))
        attributes = {"id": name, "first": one, "then": two}
        attributes["kind"] = drawing.pick(["Mandatory", "Mandatory", "Mandatory", "Optional", "Serialize"])
        if attributes["kind"] != "Serialize" and drawing.chance(0.15):
            attributes["symmetrical"] = "false"
        if one in drawing.promotables and drawing.about("roles") and drawing.chance(0.6):
            attributes["first-action"] = drawing.pick(["promote", "start", "demote"])
            if attributes["first-action"] != "start":
                attributes["then-action"] = "start" if attributes["first-action"] == "promote" else "stop"
        if two in drawing.promotables and drawing.about("roles") and drawing.chance(0.3):
            attributes.setdefault("first-action", "start")
            attributes["then-action"] = "promote"
        if drawing.chance(0.08):
            attributes["require-all"] = "false"
        SubElement(self.parent, "rsc_order", attributes)

    # ---- sets

    def _sets(self) -> None:
        drawing = self.drawing
        units = drawing.random.sample(drawing.units, min(len(drawing.units), drawing.random.randint(2, 4)))
        if drawing.chance(0.6) and not self.paired:
            score = drawing.pick(["INFINITY", "INFINITY", "100", "-INFINITY", "-100"])
            constraint = SubElement(self.parent, "rsc_colocation", {"id": "ks", "score": score})
            self._fill(constraint, "ks", units, orders=False)
        if drawing.chance(0.6) and not self.ordered:
            units = sorted(units, key=drawing.units.index)
            kind = drawing.pick(["Mandatory", "Mandatory", "Optional"])
            constraint = SubElement(self.parent, "rsc_order", {"id": "os", "kind": kind})
            self._fill(constraint, "os", units, orders=True)
        if drawing.chance(0.3):
            attributes = {"id": "ls", "node": drawing.pick(drawing.nodes), "score": drawing.pick(SCORES)}
            constraint = SubElement(self.parent, "rsc_location", attributes)
            self._fill(constraint, "ls", units[:2], orders=None)

    def _fill(self, constraint: Element, name: str, units: list[str], orders: bool | None) -> None:
        drawing = self.drawing
        cut = drawing.random.randint(1, len(units)) if len(units) > 1 and orders is not None else len(units)
        for number, part in enumerate((units[:cut], units[cut:])):
            if not part:
                continue
            attributes = {"id": f"{name}-set{number}"}
            if orders is not None:
                attributes |= drawing.chosen(sequential=(0.4, ["true", "false"]))
            if orders and attributes.get("sequential") == "false" and drawing.chance(0.3):
                attributes["require-all"] = "false"
            if orders is False and drawing.about("roles") and all(u in drawing.promotables for u in part):
                attributes["role"] = drawing.pick(ROLES)
            made = SubElement(constraint, "resource_set", attributes)
            for unit in part:
                SubElement(made, "resource_ref", {"id": unit})
