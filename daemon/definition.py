"""What an operation or an address is run with: parameters out of the configuration, and a digest of them.

Pure.  Pacemaker's rules: of several attribute sets the one with the higher score wins, then the first in order; a
template's sets come after the resource's own; operation defaults fill what an operation leaves open.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address

from daemon.model.configuration import AttributeSet, Clone, Configuration, Group, Operation, Primitive
from daemon.model.values import BadValue, parse_duration_ms, parse_score

OPERATION_TIMEOUT_MS = 20_000
"""Pacemaker's default-action-timeout"""


@dataclass(frozen=True, slots=True)
class Definition:
    """One operation of one instance, complete."""

    instance: str
    agent: str
    operation: str
    interval_ms: int
    parameters: dict[str, str]
    environment: dict[str, str]
    timeout_ms: int
    digest: str


def primitive_of(configuration: Configuration, instance: str) -> Primitive | None:
    """The primitive behind an instance id (`db:1` → `db`)."""
    found = configuration.find(instance) or configuration.find(instance.rpartition(":")[0])
    return found if isinstance(found, Primitive) else None


ADDRESS_AGENTS = frozenset({"ocf:heartbeat:IPaddr2", "ocf:vipcast:IPaddr2"})
"""agents that are native: they add and remove an address, or drive slots"""


def is_address(configuration: Configuration, instance: str) -> bool:
    """Whether an instance is an IP address, plain or shared."""
    primitive = primitive_of(configuration, instance)
    return primitive is not None and _agent_of(configuration, primitive) in ADDRESS_AGENTS


def merged(sets: Iterable[AttributeSet]) -> dict[str, str]:
    """Values of several sets; the earlier and the higher score win.  Sets under a rule are not looked at."""
    values: dict[str, str] = {}
    plain = [s for s in sets if s.rule is None]
    for attributes in sorted(plain, key=lambda s: -_score(s)):
        for name, value in attributes.values.items():
            values.setdefault(name, value)
    return values


def _score(attributes: AttributeSet) -> int:
    try:
        return parse_score(attributes.score or "0")
    except BadValue:
        return 0


@lru_cache(maxsize=1024)
def canonical_ip(text: str) -> str:
    """An ip as everybody spells it, so that two spellings of one are equal; other text stays what it is."""
    try:
        return str(ip_address(text.strip()))
    except ValueError:
        return text.strip()


def parameters_of(configuration: Configuration, primitive: Primitive) -> dict[str, str]:
    return merged((*primitive.instance, *_template_of(configuration, primitive, "instance")))


def meta_of(configuration: Configuration, resource_id: str) -> dict[str, str]:
    """Meta attributes as they hold for a resource: its own, its template's, its parents', the defaults."""
    sets: list[AttributeSet] = []
    for resource in reversed(list(configuration.walk())):
        children = _children(resource)
        if resource.id == resource_id or any(child.id == resource_id for child in children):
            sets += resource.meta
            if isinstance(resource, Primitive):
                sets += _template_of(configuration, resource, "meta")
    return merged((*sets, *configuration.resource_defaults))


def _children(resource: Primitive | Group | Clone) -> tuple[Primitive | Group, ...]:
    if isinstance(resource, Clone):
        inner = resource.child
        return (inner, *inner.members) if isinstance(inner, Group) else (inner,)
    return resource.members if isinstance(resource, Group) else ()


def _template_of(configuration: Configuration, primitive: Primitive, what: str) -> tuple[AttributeSet, ...]:
    template = next((t for t in configuration.templates if t.id == primitive.template), None)
    return getattr(template, what) if template is not None else ()


def _agent_of(configuration: Configuration, primitive: Primitive) -> str:
    template = next((t for t in configuration.templates if t.id == primitive.template), None)
    return primitive.agent or (template.agent if template is not None else "")


def _operation_of(
    configuration: Configuration, primitive: Primitive, operation: str, interval_ms: int
) -> Operation | None:
    template = next((t for t in configuration.templates if t.id == primitive.template), None)
    known = (*primitive.operations, *(template.operations if template is not None else ()))
    named = [o for o in known if o.name == operation]
    exact = (o for o in named if parse_duration_ms(o.interval) == interval_ms)
    # A probe has no entry of its own; like Pacemaker it takes what the shortest monitor says.
    return next(exact, min(named, key=lambda o: parse_duration_ms(o.interval), default=None))


def define(configuration: Configuration, instance: str, operation: str, interval_ms: int) -> Definition | None:
    """Everything that an agent needs to know; None where the configuration no longer has the resource.

    The environment carries Pacemaker's OCF_RESKEY_CRM_meta_* for what agents read of them.
    """
    primitive = primitive_of(configuration, instance)
    if primitive is None:
        return None
    entry = _operation_of(configuration, primitive, operation, interval_ms)
    defaults = merged(configuration.operation_defaults)
    timeout = (entry.timeout if entry is not None else None) or defaults.get("timeout")
    timeout_ms = parse_duration_ms(timeout) if timeout else OPERATION_TIMEOUT_MS
    parameters = parameters_of(configuration, primitive)
    environment = {f"CRM_meta_{k.replace('-', '_')}": v for k, v in meta_of(configuration, primitive.id).items()}
    environment |= {"CRM_meta_timeout": str(timeout_ms), "CRM_meta_name": operation}
    if interval_ms:
        environment["CRM_meta_interval"] = str(interval_ms)
    if ":" in instance:
        environment["CRM_meta_clone"] = instance.rpartition(":")[2]
    return Definition(
        instance=instance,
        agent=_agent_of(configuration, primitive),
        operation=operation,
        interval_ms=interval_ms,
        parameters=parameters,
        environment={f"OCF_RESKEY_{name}": value for name, value in environment.items()},
        timeout_ms=timeout_ms,
        digest=digest(parameters),
    )


def digest(parameters: dict[str, str]) -> str:
    """A short name for a set of parameters."""
    text = "\n".join(f"{name}={value}" for name, value in sorted(parameters.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
