"""Random status: how nodes stand, what ran where, what failed, what had begun and not ended."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement

from tests.scheduler_suite.fuzz.drawing import Drawing, Running

NOW_S = 1_700_000_000
DIGESTS = {0: "f2317cad3d54cec5d7d7aa7d0bf35cf8", 10_000: "4811cef7f7f94e3a35a70be7916cb2fd"}
"""of operations without parameters: so the peer sees no changed definition"""
UNKNOWN_ERROR, NOT_INSTALLED, NOT_RUNNING, PROMOTED, FAILED_PROMOTED = 1, 5, 7, 8, 9
PENDING = 193


class Status:
    def __init__(self, drawing: Drawing) -> None:
        self.drawing = drawing
        self.call = 0

    def draw(self, parent: Element) -> None:
        drawing = self.drawing
        # of a host that is both gone and in maintenance the peer does not show what it holds to run there
        online = {node: node in drawing.maintained or not drawing.chance(0.15) for node in drawing.nodes}
        homes = self._homes(online)
        for number, node in enumerate(drawing.nodes, 1):
            up = online[node]
            state = {"id": str(number), "uname": node, "in_ccm": str(up).lower(), "expected": "member"}
            state |= {"crmd": "online" if up else "offline", "join": "member" if up else "down"}
            leaving = up and drawing.about("unquiet") and drawing.chance(0.15)
            if up and drawing.about("unquiet") and drawing.chance(0.1):
                state["join"] = "pending"
            if not up and drawing.chance(0.4):
                state["expected"] = "down"
            entry = SubElement(parent, "node_state", state)
            if up or drawing.fencing:
                self._attributes(entry, node, leaving)
            if not up and not (drawing.fencing and drawing.chance(0.5)):
                continue
            lrm = SubElement(SubElement(entry, "lrm", {"id": str(number)}), "lrm_resources")
            for name in sorted(homes[node]):
                self._history(lrm, node, name, homes[node][name])

    # ---- where everything is

    def _homes(self, online: dict[str, bool]) -> dict[str, dict[str, str]]:
        """node → instance → what happened there"""
        drawing = self.drawing
        homes: dict[str, dict[str, str]] = {node: {} for node in drawing.nodes}
        if drawing.chance(0.2):
            return homes
        for one in drawing.primitives:
            self._home(one, homes, [node for node in drawing.nodes if online[node] or drawing.fencing])
        if drawing.about("orphans"):
            homes[drawing.pick(drawing.nodes)]["orphan"] = "running"
            clones = [one for one in drawing.primitives if one.unique and one.instances > 1]
            if clones and drawing.chance(0.5):
                surplus = drawing.pick(clones)
                homes[drawing.pick(drawing.nodes)][f"{surplus.id}:{surplus.instances}"] = "running"
        return homes

    def _home(self, one: Running, homes: dict[str, dict[str, str]], places: list[str]) -> None:
        drawing = self.drawing
        drawing.random.shuffle(places)
        several = one.unique and one.cloned
        masters = 0
        for number in range(one.instances):
            if drawing.chance(0.15) or not places:
                continue
            node = drawing.pick(places) if one.unique else places.pop()
            state = "running"
            if one.promotable and masters < 1 and drawing.chance(0.5):
                state, masters = "promoted", 1
            if drawing.about("failures") and drawing.chance(0.15):
                state = drawing.pick(["failed", "failed", "start-failed", "stop-failed", "died"])
                if one.promotable and drawing.chance(0.4):
                    state = drawing.pick(["promote-failed", "demote-failed", "promoted-failed"])
            elif drawing.about("unquiet") and drawing.chance(0.15):
                state = drawing.pick(["starting", "stopping", "probing", "running-pending-monitor"])
                if one.promotable and drawing.chance(0.4):
                    state = drawing.pick(["promoting", "demoting"])
            homes[node][f"{one.id}:{number}" if several else one.id] = state
            self._elsewhere(one, homes, node, places)
        for known in homes.values():
            if one.id not in known and not several and drawing.chance(0.6):
                known[one.id] = "stopped"
                if drawing.about("failures") and drawing.chance(0.05):
                    known[one.id] = "not-installed"

    def _elsewhere(self, one: Running, homes: dict[str, dict[str, str]], node: str, places: list[str]) -> None:
        """A second place: it moves, or it runs twice."""
        drawing = self.drawing
        others = [other for other in places if other != node]
        if one.cloned or not others:
            return
        other = drawing.pick(others)
        if one.migratable and drawing.chance(0.3):
            homes[node][one.id] = f"{drawing.pick(['left', 'leaving', 'leave-failed'])} {other}"
            arrival = drawing.pick(["arrived", "arriving", "arrive-failed", "", "stopped"])
            if arrival:
                homes[other][one.id] = f"{arrival} {node}"
        elif drawing.about("options") and drawing.chance(0.06):
            homes[other][one.id] = "running"

    # ---- a node's transient attributes

    def _attributes(self, entry: Element, node: str, leaving: bool) -> None:
        drawing = self.drawing
        values: dict[str, str] = {"shutdown": str(NOW_S - 100)} if leaving else {}
        if drawing.about("unquiet"):
            values |= drawing.chosen(standby=(0.06, ["on", "true", "false"]))
        if drawing.about("rules"):
            values |= drawing.chosen(site=(0.1, ["a", "b"]))
        for one in drawing.primitives:
            if one.promotable and drawing.chance(0.7):
                for number in range(one.instances if one.unique else 1):
                    name = f"{one.id}:{number}" if one.unique else one.id
                    values[f"master-{name}"] = drawing.pick(["5", "10", "10", "100", "-1", "1000000", "-INFINITY"])
        if drawing.primitives and drawing.chance(0.4 if drawing.about("failures") else 0.05):
            one = drawing.pick(drawing.primitives)
            counted = f"{one.id}:0" if one.unique and one.cloned else one.id
            operation = drawing.pick(["monitor_10000", "monitor_10000", "start_0", "stop_0"])
            values[f"fail-count-{counted}#{operation}"] = drawing.pick(["1", "2", "5", "INFINITY"])
            values[f"last-failure-{counted}#{operation}"] = str(NOW_S - drawing.pick([10, 100, 10_000]))
        if not values:
            return
        parent = SubElement(SubElement(entry, "transient_attributes", {"id": node}), "instance_attributes")
        parent.set("id", f"status-{node}")
        for name, value in values.items():
            drawing.pair(parent, name, value)

    # ---- results of operations

    def _history(self, parent: Element, node: str, name: str, what: str) -> None:
        drawing = self.drawing
        promotable = any(one.promotable and one.id == name.partition(":")[0] for one in drawing.primitives)
        agent = {"class": "ocf", "provider": "pacemaker", "type": "Stateful"} if promotable else {}
        agent = agent or {"class": "ocf", "provider": "heartbeat", "type": "Dummy"}
        self.node = node
        self.resource = SubElement(parent, "lrm_resource", {"id": name, **agent})
        what, _, other = what.partition(" ")
        if what in {"stopped", "probing", "starting", "start-failed", "not-installed", "arrived", "arriving"} or (
            what == "arrive-failed"
        ):
            if what == "probing":
                self._pending("monitor", 0)
                return
            if what == "not-installed":
                self._done("monitor", 0, NOT_INSTALLED, NOT_RUNNING)
                return
            self._done("monitor", 0, NOT_RUNNING, NOT_RUNNING)
        else:
            self._done("start", 0, 0, 0)
            self._done("monitor", 10_000, 0, 0)
        match what:
            case "promoted" | "promoted-failed":
                self._done("promote", 0, 0, 0)
                self._done("monitor", 11_000, PROMOTED, PROMOTED)
                if what == "promoted-failed":
                    self._failed(
                        "monitor", 11_000, drawing.pick([UNKNOWN_ERROR, FAILED_PROMOTED, NOT_RUNNING]), PROMOTED
                    )
            case "failed":
                self._failed("monitor", 10_000, UNKNOWN_ERROR, 0)
                if drawing.chance(0.3):
                    self._done("stop", 0, UNKNOWN_ERROR, 0)
            case "died":
                self._failed("monitor", 10_000, NOT_RUNNING, 0)
            case "start-failed":
                self._failed("start", 0, drawing.pick([1, 2, 4, 5, 6]), 0)
                if drawing.chance(0.5):
                    self._done("stop", 0, 0, 0)
            case "stop-failed":
                self._failed("stop", 0, UNKNOWN_ERROR, 0)
            case "promote-failed":
                self._failed("promote", 0, UNKNOWN_ERROR, 0)
            case "demote-failed":
                self._done("promote", 0, 0, 0)
                self._failed("demote", 0, drawing.pick([UNKNOWN_ERROR, NOT_RUNNING]), 0)
            case "starting":
                self._pending("start", 0)
            case "stopping":
                self._pending("stop", 0)
            case "running-pending-monitor":
                self._pending("monitor", 10_000)
            case "promoting":
                self._pending("promote", 0)
            case "demoting":
                self._done("promote", 0, 0, 0)
                self._pending("demote", 0)
            case "left" | "leaving" | "leave-failed" | "arrived" | "arriving" | "arrive-failed":
                self._migration(what, other)

    def _migration(self, what: str, other: str) -> None:
        away = what.startswith("l")
        task = "migrate_to" if away else "migrate_from"
        ends = {"migrate_source": self.node, "migrate_target": other}
        if not away:
            ends = {"migrate_source": other, "migrate_target": self.node}
        if what in {"left", "arrived"}:
            self._done(task, 0, 0, 0, **ends)
        elif what in {"leaving", "arriving"}:
            self._pending(task, 0, **ends)
        else:
            self._done(task, 0, UNKNOWN_ERROR, 0, **ends)
        if what == "left" and self.drawing.chance(0.4):
            self._done("stop", 0, 0, 0)

    def _done(self, task: str, interval: int, code: int, expected: int, **more: str) -> None:
        self._operation(_entry(task, interval), task, interval, code, expected, more)

    def _failed(self, task: str, interval: int, code: int, expected: int) -> None:
        self._operation(_entry(task, interval), task, interval, code, expected, {})
        self.call -= 1
        self._operation("_last_failure_0", task, interval, code, expected, {})

    def _pending(self, task: str, interval: int, **more: str) -> None:
        self._operation(_entry(task, interval), task, interval, PENDING, 0, more)

    def _operation(
        self, suffix: str, task: str, interval: int, code: int, expected: int, more: dict[str, str]
    ) -> None:
        name = self.resource.get("id", "")
        self.call += 1
        pending = code == PENDING
        for stale in [op for op in self.resource if op.get("id") == f"{name}{suffix}"]:
            self.resource.remove(stale)
        key = f"{self.call}:1:{expected}:00000000-0000-0000-0000-000000000000"
        SubElement(
            self.resource,
            "lrm_rsc_op",
            {
                "id": f"{name}{suffix}",
                "operation_key": f"{name}_{task}_{interval}",
                "operation": task,
                "interval": str(interval),
                "call-id": "-1" if pending else str(self.call),
                "rc-code": str(code),
                "op-status": "-1" if pending else "0",
                "transition-key": key,
                "transition-magic": f"{-1 if pending else 0}:{code};{key}",
                "crm_feature_set": "3.16.1",
                "on_node": self.node,
                "last-rc-change": str(NOW_S - 5_000 + self.call),
                "op-digest": DIGESTS.get(interval, DIGESTS[0]),
                **more,
            },
        )


def _entry(task: str, interval: int) -> str:
    """Under which id a result is kept: the last one of all that do not recur, but migrations for themselves."""
    return f"_{task}_{interval}" if interval or task.startswith("migrate") else "_last_0"
