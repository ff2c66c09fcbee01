"""Which resources are slot-driven, and what their slots' numbers mean."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from daemon.definition import digest, parameters_of
from daemon.model.configuration import Clone, Configuration, Primitive
from daemon.model.instances import SLOTS_MAX
from daemon.model.precedence import merged
from daemon.model.values import BadValue, parse_boolean

ADDRESS_AGENT = "ocf:heartbeat:IPaddr2"
MEANING = ("ip", "clusterip_hash", "hash_seed")
"""parameters that decide which client has which slot"""
MEANING_TOO = ("clusterip_hash_order", "clusterip_hash_seed", "port_rules")
"""the same, but named only where they are given: so what was computed before there were any is still right"""
_MEANING_OF_THE_AGENTS_SEED = ("cidr_netmask", "broadcast")


@dataclass(frozen=True, slots=True)
class SlotDriven:
    """A cloned, globally-unique IPaddr2: clone instance `VIP:k` is slot k."""

    address: str
    clone: str
    slots: int
    mapping: str
    """equal for two configurations under which the same client has the same slot"""
    parameters: Mapping[str, str]
    """of the primitive, as they are to be put into force"""

    @property
    def definition(self) -> str:
        """A short name for all of it: another one has to be told to the kernel although no slot has changed."""
        return digest({**self.parameters, "": str(self.slots)})


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
        meta = merged(clone.meta)
        if agent != ADDRESS_AGENT or not _true(meta.get("globally-unique")):
            continue
        parameters = parameters_of(configuration, child)
        slots = _count(meta.get("clone-max"), nodes)
        text = "\n".join([str(slots), *(parameters.get(name, "") for name in MEANING), *_further(parameters)])
        mapping = hashlib.sha256(text.encode()).hexdigest()[:16]
        found[child.id] = SlotDriven(child.id, clone.id, slots, mapping, parameters)
    return found


def _further(parameters: Mapping[str, str]) -> Iterator[str]:
    of_the_seed = _MEANING_OF_THE_AGENTS_SEED if parameters.get("hash_seed") == "agent" else ()
    for name in (*MEANING_TOO, *of_the_seed):
        if parameters.get(name, "").strip():
            yield f"{name}={parameters[name]}"


def _true(text: str | None) -> bool:
    try:
        return text is not None and parse_boolean(text)
    except BadValue:
        return False


def _count(text: str | None, default: int) -> int:
    try:
        # A store from before there was a limit may say anything.
        return min(max(0, int(text)), SLOTS_MAX) if text is not None else default
    except ValueError:
        return 0
