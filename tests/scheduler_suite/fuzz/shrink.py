"""From a CIB that is planned differently to the smallest one that still is.

Elements are taken out as long as the difference stays: first big ones (resources, nodes with their status,
constraints), then what is left of options and results.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from xml.etree.ElementTree import Element, tostring

from defusedxml.ElementTree import fromstring

REMOVABLE = (
    frozenset({"primitive", "group", "clone", "node", "rsc_location", "rsc_colocation", "rsc_order", "tag"})
    | {"lrm_resource", "template", "rsc_defaults", "transient_attributes"}
    | {"nvpair", "lrm_rsc_op", "meta_attributes", "instance_attributes", "utilization"}
    | {"rule", "expression", "date_expression", "resource_set", "resource_ref", "obj_ref", "node_state"}
)
KEPT_OPTIONS = frozenset({"stonith-enabled", "promotable", "globally-unique"})
ROUNDS_MAX = 12


def shrink(document: bytes, differs: Callable[[bytes], bool]) -> bytes:
    """The smallest document found for which `differs` still holds."""
    root = fromstring(document)
    for _ in range(ROUNDS_MAX):
        smaller = _round(root, differs)
        if smaller is None:
            break
        root = smaller
    return bytes(tostring(root))


def _round(root: Element, differs: Callable[[bytes], bool]) -> Element | None:
    """The document with everything taken out that could be, in one pass; None if that is nothing."""
    changed = None
    position = 0
    while True:
        victims = _victims(root)
        if position >= len(victims):
            return changed
        candidate = _without(root, victims[position])
        if candidate is not None and differs(bytes(tostring(candidate))):
            root = changed = candidate
        else:
            position += 1


def _victims(root: Element) -> list[list[int]]:
    """Paths to what may be taken out, the biggest first."""
    found: list[tuple[int, list[int]]] = []

    def walk(element: Element, path: list[int]) -> int:
        size = 1
        for number, child in enumerate(element):
            size += walk(child, [*path, number])
        if element.tag in REMOVABLE and element.get("name") not in KEPT_OPTIONS:
            found.append((size, path))
        return size

    walk(root, [])
    return [path for _, path in sorted(found, key=lambda entry: -entry[0])]


def _without(root: Element, path: list[int]) -> Element | None:
    copy = deepcopy(root)
    parent = copy
    for step in path[:-1]:
        parent = parent[step]
    victim = parent[path[-1]]
    parent.remove(victim)
    if victim.tag == "node":
        _forget_node(copy, victim.get("id", ""), victim.get("uname", ""))
    return _tidy(copy)


def _forget_node(root: Element, number: str, name: str) -> None:
    for status in root.iter("status"):
        for state in status.findall("node_state"):
            if state.get("id") == number:
                status.remove(state)
    for constraints in root.iter("constraints"):
        for constraint in constraints.findall("rsc_location"):
            if constraint.get("node") == name:
                constraints.remove(constraint)


def _tidy(root: Element) -> Element:
    """Without what names something that is gone, or holds nothing any more."""
    while True:
        known = {element.get("id") for section in root.iter("configuration") for element in section.iter()}
        dead: list[tuple[Element, Element]] = []
        for parent in root.iter():
            for child in parent:
                hollow = child.tag in {"group", "clone"} and not any(
                    inner.tag in {"primitive", "group"} for inner in child
                )
                names = [
                    child.get(key) for key in ("rsc", "with-rsc", "first", "then", "template") if child.get(key)
                ]
                if child.tag in {"resource_ref", "obj_ref"}:
                    names.append(child.get("id"))
                    known_names = {
                        element.get("id") for resources in root.iter("resources") for element in resources.iter()
                    }
                    lost = any(name not in known_names for name in names)
                else:
                    lost = any(name not in known for name in names)
                empty = (
                    child.tag in {"resource_set", "tag", "rule", "tags", "rsc_defaults", "operations"}
                    and len(child) == 0
                )
                empty |= (
                    child.tag in {"rsc_colocation", "rsc_order"}
                    and child.get("rsc", child.get("first")) is None
                    and (len(child) == 0)
                )
                empty |= child.tag == "rsc_location" and child.get("node") is None and len(child) == 0
                if hollow or lost or empty:
                    dead.append((parent, child))
        if not dead:
            return root
        for parent, child in dead:
            parent.remove(child)
