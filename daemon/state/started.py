"""By which definition what runs was started: the one to stop it by, whatever has become of it since.

A resource that is deleted while it runs, or given other parameters, must be stopped with those that it was started
with: the configuration of today may not know them any more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from daemon.definition import ADDRESS_AGENTS, canonical_ip, define, primitive_of
from daemon.model.configuration import Configuration
from daemon.state.commands import Result
from daemon.state.excerpts import Excerpt, superseded
from daemon.state.results import NOT_RUNNING, OK, PROMOTED

FORMER_MAX = 16
"""edits that a start may still be on its way from when its result arrives"""
FORMER_PRIMITIVES_MAX = 10_000
"""definitions that are kept of those edits together: the oldest edits are forgotten first"""


@dataclass(frozen=True, slots=True)
class Origin:
    """What an instance on a node was started by."""

    definition: str
    """digest of the parameters there"""
    ip: str | None
    """what a plain address serves; None for everything else"""
    excerpt: Excerpt | None = None
    """how its primitive was defined then; None: as it is in the configuration of today"""


@dataclass(slots=True)
class Started:
    origins: dict[tuple[str, str], Origin] = field(default_factory=dict)
    """(node, instance) → where it comes from; only what may be running"""
    former: deque[dict[str, Excerpt]] = field(default_factory=lambda: deque(maxlen=FORMER_MAX))
    """newest first: what each edit changed or took away, as it was before, by primitive"""

    def edited(self, former: Configuration, current: Configuration) -> None:
        """Another configuration takes the place of `former`."""
        changed = superseded(former, current)
        self.former.appendleft(changed)
        while len(self.former) > 1 and sum(map(len, self.former)) > FORMER_PRIMITIVES_MAX:
            self.former.pop()
        for key, origin in self.origins.items():
            if origin.excerpt is None and (before := _of_instance(changed, key[1])) is not None:
                self.origins[key] = replace(origin, excerpt=before)

    def add(self, result: Result, current: Configuration) -> None:
        """Take over a result.  A start that failed may have left half of it running."""
        key = (result.node, result.instance)
        done = result.status == "done"
        if result.operation == "start":
            self._remember(key, result.definition, current)
        elif (result.operation == "stop" and done and result.exit_code == OK) or (
            result.operation == "monitor" and done and result.exit_code == NOT_RUNNING
        ):
            self.origins.pop(key, None)
        elif key not in self.origins and result.operation == "monitor" and result.exit_code in (OK, PROMOTED):
            self._remember(key, result.definition, current)

    def _remember(self, key: tuple[str, str], definition: str, current: Configuration) -> None:
        """The newest definition that the digest fits; the newest at all, where it fits none."""
        known = [
            _origin(current, key[1], None),
            *(_origin(e.configuration, key[1], e) for e in self._before(key[1])),
        ]
        made = [origin for origin in known if origin is not None]
        exact = (origin for origin in made if origin.definition == definition)
        found = next(exact, made[0] if made else None)
        if found is not None:
            self.origins[key] = found

    def _before(self, instance: str) -> Iterator[Excerpt]:
        """How an instance was defined before, newest first."""
        found = (_of_instance(changed, instance) for changed in self.former)
        return (e for e in found if e is not None)

    def forget_node(self, node: str) -> None:
        """Its kernel has started anew: nothing runs there."""
        self.origins = {key: origin for key, origin in self.origins.items() if key[0] != node}

    def definable(self, node: str, instance: str, current: Configuration) -> Configuration:
        """The configuration to stop an instance by on that node."""
        origin = self.origins.get((node, instance))
        if origin is not None:
            return current if origin.excerpt is None else origin.excerpt.configuration
        if primitive_of(current, instance) is not None:
            return current
        return next((e.configuration for e in self._before(instance)), current)

    def retired(self, node: str, current: Configuration) -> list[str]:
        """What may be running on a node, and is not configured any more."""
        return [i for n, i in sorted(self.origins) if n == node and primitive_of(current, i) is None]

    def addresses(self, nodes: Collection[str]) -> Iterator[tuple[str, str]]:
        """(ip, primitive's id) of the plain addresses that may be up on any of these nodes."""
        for (node, instance), origin in sorted(self.origins.items(), key=lambda item: item[0]):
            if origin.ip is not None and node in nodes:
                yield origin.ip, instance.partition(":")[0]


def _of_instance(excerpts: Mapping[str, Excerpt], instance: str) -> Excerpt | None:
    return excerpts.get(instance) or excerpts.get(instance.rpartition(":")[0])


def _origin(configuration: Configuration, instance: str, origin: Excerpt | None) -> Origin | None:
    stop = define(configuration, instance, "stop", 0)
    if stop is None:
        return None
    ip = canonical_ip(stop.parameters.get("ip", "")) if stop.agent in ADDRESS_AGENTS else None
    return Origin(stop.digest, ip, origin)
