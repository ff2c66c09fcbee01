"""Which resources are slot-driven, and what their slots' numbers mean."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from daemon.model.configuration import AttributeSet, Clone, Configuration, Primitive
from daemon.model.values import BadValue, parse_boolean

ADDRESS_AGENT = "ocf:heartbeat:IPaddr2"
MEANING = ("ip", "clusterip_hash", "clusterip_seed", "seed")
"""parameters that decide which client has which slot"""


@dataclass(frozen=True, slots=True)
class SlotDriven:
    """A cloned, globally-unique IPaddr2: clone instance `VIP:k` is slot k."""

    address: str
    clone: str
    slots: int
    mapping: str
    """equal for two configurations under which the same client has the same slot"""


def slot_driven(configuration: Configuration, nodes: int) -> dict[str, SlotDriven]:
    """All shared addresses by their primitive's id; `nodes` is clone-max where none is given."""
    found: dict[str, SlotDriven] = {}
    templates = {template.id: template for template in configuration.templates}
    for clone in configuration.resources:
        if not isinstance(clone, Clone) or not isinstance(clone.child, Primitive):
            continue
        child = clone.child
        template = templates.get(child.template or "")
        agent = child.agent or (template.agent if template is not None else "")
        meta = _merged(clone.meta)
        if agent != ADDRESS_AGENT or not _true(meta.get("globally-unique")):
            continue
        parameters = _merged((*child.instance, *(template.instance if template is not None else ())))
        slots = _count(meta.get("clone-max"), nodes)
        text = "\n".join([str(slots), *(parameters.get(name, "") for name in MEANING)])
        mapping = hashlib.sha256(text.encode()).hexdigest()[:16]
        found[child.id] = SlotDriven(child.id, clone.id, slots, mapping)
    return found


def _merged(sets: tuple[AttributeSet, ...]) -> dict[str, str]:
    values: dict[str, str] = {}
    for attributes in sets:
        if attributes.rule is None:
            for name, value in attributes.values.items():
                values.setdefault(name, value)
    return values


def _true(text: str | None) -> bool:
    try:
        return text is not None and parse_boolean(text)
    except BadValue:
        return False


def _count(text: str | None, default: int) -> int:
    try:
        return max(0, int(text)) if text is not None else default
    except ValueError:
        return 0
