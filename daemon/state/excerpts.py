"""What of a configuration defines one primitive: small enough to be kept for everything that an edit changes.

`define(excerpt, …)` and `define(whole, …)` give the same for every operation of the primitive: its own element in
its group and clone (whose meta attributes count), its template and the defaults.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from daemon.model.configuration import AnyResource, Clone, Configuration, Group, Primitive


@dataclass(frozen=True, slots=True)
class Excerpt:
    """One primitive's part of a configuration that is not in force any more."""

    configuration: Configuration
    encoded: bytes
    """its JSON: made once, because it is compared and written down more often than it is made"""

    @classmethod
    def decode(cls, encoded: bytes) -> Excerpt:
        """Raises ValueError (pydantic's) for what is no configuration."""
        return cls(Configuration.model_validate_json(encoded), encoded)


def superseded(former: Configuration, current: Configuration) -> dict[str, Excerpt]:
    """By id: the primitives of `former` that `current` defines otherwise, or does not have."""
    around = ("templates", "resource_defaults", "operation_defaults")
    same_around = all(getattr(former, part) == getattr(current, part) for part in around)
    tops = {top.id: top for top in current.resources} if same_around else {}
    kept = {top.id for top in former.resources if tops.get(top.id) == top}
    today = {p.id: (top, p) for top, p in _primitives(current) if top.id not in kept}
    found = {}
    for top, primitive in _primitives(former):
        if top.id in kept:
            continue
        then = _of(former, top, primitive)
        now = _of(current, *today[primitive.id]) if primitive.id in today else None
        if now is None or now.encoded != then.encoded:
            found[primitive.id] = then
    return found


def _primitives(configuration: Configuration) -> Iterator[tuple[AnyResource, Primitive]]:
    """Every primitive with the resource at the top that it is in."""
    for top in configuration.resources:
        inner = top.child if isinstance(top, Clone) else top
        for primitive in inner.members if isinstance(inner, Group) else (inner,):
            yield top, primitive


def _of(configuration: Configuration, top: AnyResource, primitive: Primitive) -> Excerpt:
    inner = top.child if isinstance(top, Clone) else top
    if isinstance(inner, Group):
        alone = inner.model_copy(update={"members": (primitive,)})
        top = top.model_copy(update={"child": alone}) if isinstance(top, Clone) else alone
    part = Configuration(
        resources=(top,),
        templates=tuple(t for t in configuration.templates if t.id == primitive.template),
        resource_defaults=configuration.resource_defaults,
        operation_defaults=configuration.operation_defaults,
    )
    return Excerpt(part, part.model_dump_json().encode())
