"""What an operation or an address is run with: parameters out of the configuration, and a digest of them.

Pure.  Which of several attribute sets counts says `daemon.model.precedence`; operation defaults fill what an operation
leaves open.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address

from daemon.model.configuration import AttributeSet, Clone, Configuration, Group, Operation, Primitive
from daemon.model.precedence import merged
from daemon.model.rules import is_about_agents_alone
from daemon.model.values import parse_duration_ms
from daemon.scheduler.rules import Facts, holds

CHECK_LEVEL = "OCF_CHECK_LEVEL"
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


def addresses_of(configuration: Configuration) -> dict[str, str]:
    """Every primitive that is an IP address, plain or shared → its ip, in one spelling."""
    return {
        resource.id: canonical_ip(parameters_of(configuration, resource).get("ip", ""))
        for resource in configuration.walk()
        if isinstance(resource, Primitive) and _agent_of(configuration, resource) in ADDRESS_AGENTS
    }


@lru_cache(maxsize=1024)
def canonical_ip(text: str) -> str:
    """An ip as everybody spells it, so that two spellings of one are equal; other text stays what it is."""
    try:
        return str(ip_address(text.strip()))
    except ValueError:
        return text.strip()


def parameters_of(configuration: Configuration, primitive: Primitive) -> dict[str, str]:
    return merged((*_template_of(configuration, primitive, "instance"), *primitive.instance))


def meta_of(configuration: Configuration, resource_id: str) -> dict[str, str]:
    """Meta attributes as they hold for a resource: its own, its template's, its parents', the defaults."""
    values = merged(configuration.resource_defaults)
    for resource in configuration.walk():  # what holds others comes before them
        if resource.id == resource_id or any(child.id == resource_id for child in _children(resource)):
            template = _template_of(configuration, resource, "meta") if isinstance(resource, Primitive) else ()
            values |= merged((*template, *resource.meta))
    return values


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


def _agent_parts(configuration: Configuration, primitive: Primitive) -> tuple[str, str, str]:
    """Its standard, provider and type."""
    template = next((t for t in configuration.templates if t.id == primitive.template), primitive)
    named = primitive if primitive.agent else template
    return named.standard, named.provider, named.type


def _operation_of(
    configuration: Configuration, primitive: Primitive, operation: str, interval_ms: int
) -> Operation | None:
    """The entry of exactly this interval."""
    named = _operations_of(configuration, primitive, operation)
    return next((o for o in named if parse_duration_ms(o.interval) == interval_ms), None)


def _operations_of(configuration: Configuration, primitive: Primitive, operation: str) -> list[Operation]:
    template = next((t for t in configuration.templates if t.id == primitive.template), None)
    known = (*primitive.operations, *(template.operations if template is not None else ()))
    return [o for o in known if o.name == operation]


def _timeout_ms(configuration: Configuration, primitive: Primitive, operation: str, interval_ms: int) -> int:
    entry = _operation_of(configuration, primitive, operation, interval_ms)
    if entry is None:
        # A probe has no entry of its own; like Pacemaker it takes the timeout of the shortest monitor.
        named = _operations_of(configuration, primitive, operation)
        entry = min(named, key=lambda o: parse_duration_ms(o.interval), default=None)
    timeout = entry.timeout or merged(entry.meta).get("timeout") if entry is not None else None
    timeout = timeout or _operation_defaults(configuration, primitive, operation, interval_ms).get("timeout")
    return parse_duration_ms(timeout) if timeout else OPERATION_TIMEOUT_MS


def _operation_defaults(
    configuration: Configuration, primitive: Primitive, operation: str, interval_ms: int
) -> dict[str, str]:
    """The defaults for this operation of this agent, without those that go by dates or nodes (validation says so)."""
    agent = Facts(resource=_agent_parts(configuration, primitive), operation=(operation, interval_ms))
    return merged(
        one.model_copy(update={"rule": None})
        for one in configuration.operation_defaults
        if one.rule is None or (is_about_agents_alone(one.rule) and holds(one.rule, agent))
    )


def _own_parameters(entry: Operation | None) -> dict[str, str]:
    """An operation's own parameters, as its agent finds them (Pacemaker's lib/services gives the level plainly)."""
    values = merged(entry.instance) if entry is not None else {}
    return {name if name == CHECK_LEVEL else f"OCF_RESKEY_{name}": value for name, value in values.items()}


def define(configuration: Configuration, instance: str, operation: str, interval_ms: int) -> Definition | None:
    """Everything that an agent needs to know; None where the configuration no longer has the resource.

    The environment carries Pacemaker's OCF_RESKEY_CRM_meta_* for what agents read of them.
    """
    primitive = primitive_of(configuration, instance)
    if primitive is None:
        return None
    entry = _operation_of(configuration, primitive, operation, interval_ms)
    timeout_ms = _timeout_ms(configuration, primitive, operation, interval_ms)
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
        environment={f"OCF_RESKEY_{name}": value for name, value in environment.items()} | _own_parameters(entry),
        timeout_ms=timeout_ms,
        digest=digest(parameters),
    )


def digest(parameters: dict[str, str]) -> str:
    """A short name for a set of parameters."""
    text = "\n".join(f"{name}={value}" for name, value in sorted(parameters.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
