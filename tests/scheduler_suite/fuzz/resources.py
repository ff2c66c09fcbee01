"""Random resources: primitives, groups, clones of either, templates and tags."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement

from tests.scheduler_suite.fuzz.drawing import Drawing, Running

DUMMY = {"class": "ocf", "provider": "heartbeat", "type": "Dummy"}
STATEFUL = {"class": "ocf", "provider": "pacemaker", "type": "Stateful"}


class Resources:
    def __init__(self, drawing: Drawing) -> None:
        self.drawing = drawing
        self.parent: Element

    def draw(self, parent: Element) -> None:
        drawing = self.drawing
        if drawing.fencing and drawing.chance(0.9):
            SubElement(parent, "primitive", {"id": "fencer", "class": "stonith", "type": "fence_dummy"})
        self.template = drawing.about("templates")
        if self.template:
            template = SubElement(parent, "template", {"id": "tmpl", **DUMMY})
            drawing.pairs(template, "meta_attributes", self._meta())
            self._operations(template, "tmpl", promotable=False)
        for number in range(drawing.random.randint(1, 5)):
            self._resource(parent, f"r{number}")

    def _resource(self, parent: Element, name: str) -> None:
        drawing = self.drawing
        kinds = ["primitive", "primitive"]
        kinds += ["group"] * 2 if drawing.about("groups") else []
        kinds += ["clone"] * 3 if drawing.about("clones") else []
        kinds += ["unique"] * 3 if drawing.about("unique") else []
        kinds += ["promotable"] * 3 if drawing.about("promotable") else []
        kind = drawing.pick(kinds)
        if kind == "primitive":
            drawing.units.append(name)
            self._primitive(parent, Running(name))
        elif kind == "group":
            drawing.units.append(f"g{name}")
            drawing.groups.append(f"g{name}")
            self._group(parent, f"g{name}", Running(name))
        else:
            drawing.units.append(f"c{name}")
            self._clone(parent, name, kind)

    def _clone(self, parent: Element, name: str, kind: str) -> None:
        drawing = self.drawing
        clone = SubElement(parent, "clone", {"id": f"c{name}"})
        count = drawing.random.randint(1, 4) if drawing.chance(0.4) else len(drawing.nodes)
        unique = kind == "unique" or (kind == "promotable" and drawing.about("unique") and drawing.chance(0.3))
        meta = {"clone-max": str(count), "globally-unique": str(unique).lower()}
        if unique:
            meta |= drawing.chosen(clone_node_max=(0.6, ["1", "2", "3"]))
        if kind == "promotable":
            drawing.promotables.append(f"c{name}")
            meta |= {"promotable": "true"}
            meta |= drawing.chosen(promoted_max=(0.3, ["1", "2"]), promoted_node_max=(0.1, ["1", "2"]))
        meta |= drawing.chosen(
            interleave=(0.5, ["true", "false"]),
            ordered=(0.15, ["true"]),
            clone_min=(0.08, ["1", "2"]),
            target_role=(0.06, ["Stopped", "Started", "Unpromoted" if kind == "promotable" else "Stopped"]),
            resource_stickiness=(0.15, ["0", "1", "100", "INFINITY"]),
            is_managed=(0.04, ["false"]),
            priority=(0.08, ["10"]),
        )
        drawing.pairs(clone, "meta_attributes", meta)
        one = Running(name, count, unique, kind == "promotable", cloned=True)
        if drawing.about("groups") and drawing.chance(0.4):
            self._group(clone, f"g{name}", one)
        else:
            self._primitive(clone, one)

    def _group(self, parent: Element, group_id: str, like: Running) -> None:
        group = SubElement(parent, "group", {"id": group_id})
        if not like.cloned:
            meta = self.drawing.chosen(
                resource_stickiness=(0.1, ["10", "100"]),
                target_role=(0.05, ["Stopped"]),
                is_managed=(0.04, ["false"]),
                ordered=(0.04, ["false"]),
                priority=(0.08, ["10"]),
            )
            self.drawing.pairs(group, "meta_attributes", meta)
        for member in range(self.drawing.random.randint(1, 3)):
            one = Running(f"{like.id}m{member}", like.instances, like.unique, like.promotable, like.cloned)
            self._primitive(group, one)

    def _primitive(self, parent: Element, one: Running) -> None:
        drawing = self.drawing
        agent = STATEFUL if one.promotable else DUMMY
        templated = self.template and not one.promotable and drawing.chance(0.5)
        attributes = {"template": "tmpl"} if templated else agent
        primitive = SubElement(parent, "primitive", {"id": one.id, **attributes})
        meta = self._meta()
        if drawing.about("migration") and not one.cloned and drawing.chance(0.7):
            meta["allow-migrate"] = "true"
            one.migratable = True
        drawing.pairs(primitive, "meta_attributes", meta)
        if drawing.about("utilization") and drawing.chance(0.7):
            drawing.pairs(primitive, "utilization", {"cpu": drawing.pick(["1", "2", "3", "4"])})
            # hosts that are ahead of each other in a ring have no order: the peer's comes from its hash table
            if drawing.chance(0.4) and not drawing.balanced:
                drawing.pairs(primitive, "utilization", {"memory": drawing.pick(["10", "20", "40"])})
        if not templated or drawing.chance(0.4):
            self._operations(primitive, one.id, one.promotable)
        drawing.primitives.append(one)

    def _meta(self) -> dict[str, str]:
        drawing = self.drawing
        meta = drawing.chosen(
            resource_stickiness=(0.15, ["0", "10", "100", "INFINITY"]),
            target_role=(0.08, ["Stopped", "Started"]),
            is_managed=(0.05, ["false"]),
            priority=(0.1, ["1", "10", "-5"]),
        )
        if drawing.about("failures"):
            meta |= drawing.chosen(migration_threshold=(0.3, ["1", "2", "5"]))
            if not drawing.about("unquiet"):
                # the peer takes an operation that lasts longer than that for one that has failed and is forgiven
                meta |= drawing.chosen(failure_timeout=(0.15, ["60s", "1h"]))
        if drawing.about("options"):
            meta |= drawing.chosen(
                critical=(0.15, ["false"]),
                requires=(0.15, ["nothing", "quorum", "fencing"]),
                multiple_active=(0.15, ["block", "stop_only", "stop_start"]),
                maintenance=(0.05, ["true"]),
            )
        return meta

    def _operations(self, parent: Element, name: str, promotable: bool) -> None:
        drawing = self.drawing
        operations = SubElement(parent, "operations")
        monitor = {"id": f"{name}-monitor", "name": "monitor", "interval": "10s"}
        reactions = ["block", "ignore", "stop", "restart", "standby", "fence"]
        if promotable:
            reactions.append("demote")
        failing = drawing.about("failures")
        if failing and drawing.chance(0.2):
            monitor["on-fail"] = drawing.pick(reactions)
        SubElement(operations, "op", monitor)
        if promotable:
            second = {"id": f"{name}-monitor-p", "name": "monitor", "interval": "11s", "role": "Promoted"}
            if failing and drawing.chance(0.2):
                second["on-fail"] = drawing.pick(reactions)
            SubElement(operations, "op", second)
        for task in ("start", "stop"):
            if failing and drawing.chance(0.1):
                on_fail = drawing.pick(["block", "ignore", "stop", "restart", "fence"])
                SubElement(
                    operations, "op", {"id": f"{name}-{task}", "name": task, "interval": "0", "on-fail": on_fail}
                )


def draw_tags(drawing: Drawing, parent: Element) -> None:
    """Some tags over what there is; constraints may name them afterwards."""
    if not drawing.about("tags") or len(drawing.units) < 2:
        return
    tags = SubElement(parent, "tags")
    for number in range(drawing.random.randint(1, 2)):
        members = drawing.random.sample(drawing.units, drawing.random.randint(1, min(3, len(drawing.units))))
        drawing.tags[f"tag{number}"] = members
        tag = SubElement(tags, "tag", {"id": f"tag{number}"})
        for unit in members:
            SubElement(tag, "obj_ref", {"id": unit})
