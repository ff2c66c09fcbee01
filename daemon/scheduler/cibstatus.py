"""From a CIB with its status section to a `View`: what Pacemaker knew when the file was saved.

A node_state says whether a node is a member (`in_ccm`), whether its process talks (`crmd`), whether it has joined
(`join`) and what was expected of it; with fencing, everything else than a clean member or a clean absence makes the
node unclean.  Values are booleans and words up to Pacemaker 2.1.6, and times since then.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cmp_to_key

from daemon.model.cib_read import read_section
from daemon.model.configuration import INFINITY, Configuration, NodeEntry
from daemon.model.findings import Refused, error
from daemon.model.values import BadValue, add_scores, parse_boolean, parse_duration_ms, parse_score
from daemon.model.xmltree import XmlNode, parse_xml
from daemon.scheduler.cluster import Options, merged, span_ms
from daemon.scheduler.rules import Facts
from daemon.scheduler.view import NodeView, OperationView, TicketView, View

STATUSES = {
    -1: "pending",
    0: "done",
    1: "cancelled",
    2: "timeout",
    3: "not-supported",
    4: "error",
    5: "hard",
    6: "fatal",
    7: "not-installed",
    8: "not-connected",
    9: "invalid",
    10: "no-fence-device",
    11: "no-secrets",
}
EFFECTIVE = frozenset({"monitor", "start", "stop", "promote", "demote", "migrate_to", "migrate_from"})
"""operations whose results say something about a resource's state"""
PER_OPERATION_COUNTS = (3, 0, 13)
"""feature set since which fail counts are kept for each operation"""
_FAILURES = re.compile(r"(fail-count|last-failure)-(.+)")
_OPERATION = re.compile(r"(.+)#[^#]+_[0-9]+")
_KEY = re.compile(r"(-?\d+):(-?\d+):(-?\d+):(.*)")
_MAGIC = re.compile(r"(-?\d+):(-?\d+);(.*)")


def read_view(document: bytes | str, now_ms: int) -> View:
    """The view of a whole CIB; `now_ms` (since 1970) counts where the file has no execution-date.

    Raises `Refused` for what is no XML, or no CIB.
    """
    root = parse_xml(document)
    section = root.first("configuration")
    if root.tag != "cib" or section is None:
        raise Refused(error("no-cib", "line 1", "this is not a CIB", "give a file that `cibadmin --query` wrote"))
    configuration, findings = read_section(section)
    status = root.first("status") or XmlNode("status", {}, root.line)
    stamp = root.get("execution-date")
    if stamp is not None and stamp.isdigit():
        now_ms = int(stamp) * 1000
    quorate = _true(root.get("have-quorum"), False)
    options = Options.of(merged(configuration.properties, Facts(now_ms=now_ms)))
    feature_set, leader = _feature_set(root.get("crm_feature_set")), root.get("dc-uuid") or ""
    reader = _Reader(configuration, options, now_ms, feature_set, leader)
    reader.read(status)
    view = View(
        configuration=configuration,
        nodes=reader.nodes,
        operations=tuple(reader.operations),
        failures=reader.failures,
        last_failure_ms=reader.last_failure_ms,
        quorate=quorate,
        now_ms=now_ms,
        tickets=_tickets(status),
        locks=reader.locks,
        notes=tuple(str(finding) for finding in findings),
    )
    if not quorate and options.no_quorum in {"suicide", "fence"}:
        return _without_quorum(view, options, _true(root.get("no-quorum-panic"), False))
    return view


def _without_quorum(view: View, options: Options, panic: bool) -> View:
    """no-quorum-policy=suicide: those that are here are to be fenced, if this partition ever had quorum."""
    if not (panic and options.fencing):
        return replace(view, policy="stop")
    nodes = {n: replace(node, unclean=True) if node.online else node for n, node in view.nodes.items()}
    return replace(view, nodes=nodes)


class _Reader:
    def __init__(
        self, configuration: Configuration, options: Options, now_ms: int, feature_set: tuple[int, ...], leader: str
    ) -> None:
        self.leader = leader
        self.configuration = configuration
        self.options = options
        self.now_s = now_ms // 1000
        self.per_operation = feature_set >= PER_OPERATION_COUNTS
        self.by_id = {entry.id: entry for entry in configuration.nodes}
        self.by_name = {entry.name: entry for entry in configuration.nodes}
        self.nodes: dict[str, NodeView] = {}
        self.operations: list[OperationView] = []
        self.failures: dict[tuple[str, str], int] = {}
        self.last_failure_ms: dict[tuple[str, str], int] = {}
        self.locks: dict[str, tuple[str, int]] = {}
        self.serial = 0

    def read(self, status: XmlNode) -> None:
        unseen_unclean = self.options.startup_fencing
        for entry in self.configuration.nodes:
            if entry.type in {"member", "normal"}:
                self.nodes[entry.name] = NodeView(entry.name, online=False, unclean=unseen_unclean)
        for name, node in list(self.nodes.items()):
            self.nodes[name] = replace(node, transient=self._leads(self.by_name[name]))
        for state in status.all("node_state"):
            known = self.by_id.get(state.get("id") or "") or self.by_name.get(state.get("uname") or "")
            if known is not None and known.name in self.nodes:
                self.nodes[known.name] = self._node(known, state)
                self._resources(known.name, state)

    # ---- a node's standing

    def _leads(self, entry: NodeEntry) -> dict[str, str]:
        """`#is_dc`, which rules may ask for."""
        return {"#is_dc": "true" if entry.id == self.leader else "false"}

    def _node(self, entry: NodeEntry, state: XmlNode) -> NodeView:
        transient = _attributes(state.first("transient_attributes")) | self._leads(entry)
        self._failures(entry.name, transient)
        attributes = merged(entry.attributes, Facts(now_ms=self.now_s * 1000)) | transient
        shutdown = attributes.get("shutdown", "0") not in {"0", "", "false"}
        view = NodeView(entry.name, online=False, shutdown=shutdown, transient=transient)
        member = self._member(state)
        talks = _talks(state)
        if not self.options.fencing:
            return self._unfenced(view, state, member, talks)
        return self._fenced(view, state, member, talks, attributes.get("terminate"))

    def _member(self, state: XmlNode) -> int:
        """Since when the node is a member: 0 it is none, -1 it was never seen."""
        text = state.get("in_ccm")
        if text is None:
            return -1
        try:
            return max(1, self.now_s) if parse_boolean(text) else 0
        except BadValue:
            return int(text) if text.isdigit() else -1

    def _unfenced(self, view: NodeView, state: XmlNode, member: int, talks: int) -> NodeView:
        if member <= 0:
            return view
        if talks > 0:
            return replace(view, online=state.get("join") == "member")
        expected = not view.shutdown and state.get("expected") == "member"
        return replace(view, unclean=expected)

    def _fenced(self, view: NodeView, state: XmlNode, member: int, talks: int, terminate: str | None) -> NodeView:
        if view.shutdown:
            return replace(view, online=talks > 0)
        if member < 0:
            return replace(view, unclean=True)
        join, expected = state.get("join"), state.get("expected")
        view = replace(view, online=member > 0)
        if join == "banned":
            return replace(view, unclean=True)
        if _asked_to_terminate(terminate):
            if member <= 0 and talks <= 0 and join == "down":
                return replace(view, online=False)
            return replace(view, unclean=True)
        if expected is None or expected == "down":
            timeout_s = span_ms(self.options.values, "node-pending-timeout") // 1000
            if timeout_s and member > 0 and talks <= 0 and self.now_s >= member + timeout_s:
                return replace(view, unclean=True)
            return replace(view, pending=member > 0 or talks > 0)
        if member <= 0 or talks <= 0:
            return replace(view, unclean=True)
        if join == "member":
            return view
        if join in {"pending", "down"}:
            return replace(view, pending=True)
        return replace(view, unclean=True)

    def _failures(self, node: str, transient: dict[str, str]) -> None:
        for name, text in transient.items():
            match = _FAILURES.fullmatch(name)
            if match is None:
                continue
            operation = _OPERATION.fullmatch(match[2])
            if self.per_operation != (operation is not None):
                continue
            key = (operation[1] if operation is not None else match[2], node)
            if match[1] == "fail-count":
                try:
                    self.failures[key] = add_scores(self.failures.get(key, 0), parse_score(text))
                except BadValue:
                    self.failures[key] = max(0, min(INFINITY, self.failures.get(key, 0)))
            elif text.isdigit():
                self.last_failure_ms[key] = max(self.last_failure_ms.get(key, 0), int(text) * 1000)

    # ---- results of operations

    def _resources(self, node: str, state: XmlNode) -> None:
        for lrm in state.all("lrm"):
            for resources in lrm.all("lrm_resources"):
                for resource in resources.all("lrm_resource"):
                    self._lock(node, resource)
                    entries = [op for op in resource.all("lrm_rsc_op") if op.get("operation") in EFFECTIVE]
                    entries.reverse()  # of entries that nothing orders, the one written later comes first
                    for entry in sorted(entries, key=cmp_to_key(_older)):
                        self._operation(node, resource, entry)

    def _lock(self, node: str, resource: XmlNode) -> None:
        since = resource.get("shutdown-lock") or ""
        if since.isdigit() and int(since):
            self.locks[resource.get("id") or ""] = (node, int(since) * 1000)

    def _operation(self, node: str, resource: XmlNode, entry: XmlNode) -> None:
        status = STATUSES.get(_number(entry.get("op-status"), 0))
        name = resource.get("id")
        if status in {None, "cancelled"} or name is None:
            return
        self.serial += 1
        stamp = entry.get("last-rc-change") or ""
        self.operations.append(
            OperationView(
                node=node,
                instance=name,
                operation=entry.get("operation") or "",
                interval_ms=_number(entry.get("interval"), 0),
                exit_code=_number(entry.get("rc-code"), 0),
                status=status or "",
                expected=_expected(entry),
                serial=self.serial,
                stamp_ms=int(stamp) * 1000 if stamp.isdigit() else 0,
                definition=entry.get("op-digest") or "",
                reason=entry.get("exit-reason") or "",
                details={**entry.attributes, "class": resource.get("class") or ""},
            )
        )


def _tickets(status: XmlNode) -> dict[str, TicketView]:
    states = [state for tickets in status.all("tickets") for state in tickets.all("ticket_state")]
    return {
        state.get("id") or "": TicketView(_true(state.get("granted"), False), _true(state.get("standby"), False))
        for state in states
    }


def _attributes(section: XmlNode | None) -> dict[str, str]:
    values: dict[str, str] = {}
    # of several sets the last one counts, as everywhere (daemon.model.precedence)
    for group in reversed(list(section.all("instance_attributes"))) if section is not None else ():
        for pair in group.all("nvpair"):
            name, value = pair.get("name"), pair.get("value")
            if name is not None and value is not None:
                values.setdefault(name, value)
    return values


def _true(text: str | None, default: bool) -> bool:
    try:
        return default if text is None else parse_boolean(text)
    except BadValue:
        return default


def _talks(state: XmlNode) -> int:
    text = state.get("crmd") or "offline"
    if text in {"online", "offline"}:
        return int(text == "online")
    return int(text) if text.isdigit() else 0


def _asked_to_terminate(text: str | None) -> bool:
    if text is None:
        return False
    try:
        return parse_boolean(text)
    except BadValue:
        return text.isdigit() and int(text) > 0


def _number(text: str | None, default: int) -> int:
    if text is None:
        return default
    try:
        return int(text)
    except ValueError:
        try:
            return parse_duration_ms(text)
        except BadValue:
            return default


def _expected(entry: XmlNode) -> int:
    match = _KEY.match(entry.get("transition-key") or "")
    return int(match[3]) if match else -1


def _feature_set(text: str | None) -> tuple[int, ...]:
    return tuple(int(part) for part in (text or "0").split(".") if part.isdigit())


def _older(left: XmlNode, right: XmlNode) -> int:
    """Negative if `left` happened before `right`: by call id, then by time; pending ones by their transition."""
    one, two = _number(left.get("call-id"), -1), _number(right.get("call-id"), -1)
    if left.get("id") == right.get("id") or (one == -1 and two == -1):
        return 0
    if one >= 0 and two >= 0:
        if one != two:
            return -1 if one < two else 1
        stamps = _number(left.get("last-rc-change"), -1), _number(right.get("last-rc-change"), -1)
        if 0 <= stamps[0] < stamps[1]:
            return -1
        return 1 if 0 <= stamps[1] < stamps[0] else 0
    if one >= 0 > two and two != -1:
        return 1
    if two >= 0 > one and one != -1:
        return -1
    return _by_transition(left, right, one, two)


def _by_transition(left: XmlNode, right: XmlNode, one: int, two: int) -> int:
    magics = [_MAGIC.match(node.get("transition-magic") or "") for node in (left, right)]
    keys = [_KEY.match(magic[3]) if magic else None for magic in magics]
    if keys[0] is None or keys[1] is None:
        return 0
    numbers = int(keys[0][2]), int(keys[1][2])
    if keys[0][4] != keys[1][4] or numbers[0] == numbers[1]:
        return -1 if two == -1 else 1 if one == -1 else 0
    if 0 <= numbers[0] < numbers[1] or numbers[1] == -1:
        return -1
    return 1
