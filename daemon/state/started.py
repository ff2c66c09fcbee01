"""By which configuration what runs was started: the one to stop it by, whatever has become of it since.

A resource that is deleted while it runs, or given other parameters, must be stopped with those that it was started
with: the configuration of today may not know them any more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from daemon.definition import ADDRESS_AGENTS, canonical_ip, define, primitive_of
from daemon.model.configuration import Configuration
from daemon.state.commands import Result
from daemon.state.results import NOT_RUNNING, OK, PROMOTED

FORMER_MAX = 16
"""configurations that a start may still be on its way from when its result arrives"""


@dataclass(frozen=True, slots=True)
class Origin:
    """The configuration under which an instance was started on a node."""

    configuration: Configuration
    definition: str
    """digest of the parameters there"""
    ip: str | None
    """what a plain address serves; None for everything else"""


@dataclass(slots=True)
class Started:
    _origins: dict[tuple[str, str], Origin] = field(default_factory=dict)
    """(node, instance) → where it comes from; only what may be running"""
    _former: deque[Configuration] = field(default_factory=lambda: deque(maxlen=FORMER_MAX))
    """newest first"""

    def edited(self, former: Configuration) -> None:
        """Another configuration takes the place of `former`."""
        self._former.appendleft(former)

    def add(self, result: Result, current: Configuration) -> None:
        """Take over a result.  A start that failed may have left half of it running."""
        key = (result.node, result.instance)
        done = result.status == "done"
        if result.operation == "start":
            self._remember(key, result.definition, current)
        elif (result.operation == "stop" and done and result.exit_code == OK) or (
            result.operation == "monitor" and done and result.exit_code == NOT_RUNNING
        ):
            self._origins.pop(key, None)
        elif key not in self._origins and result.operation == "monitor" and result.exit_code in (OK, PROMOTED):
            self._remember(key, result.definition, current)

    def _remember(self, key: tuple[str, str], definition: str, current: Configuration) -> None:
        known = [c for c in (current, *self._former) if primitive_of(c, key[1]) is not None]
        made = [origin for c in known if (origin := _origin(c, key[1])) is not None]
        exact = (origin for origin in made if origin.definition == definition)
        found = next(exact, made[0] if made else None)
        if found is not None:
            self._origins[key] = found

    def forget_node(self, node: str) -> None:
        """Its kernel has started anew: nothing runs there."""
        self._origins = {key: origin for key, origin in self._origins.items() if key[0] != node}

    def definable(self, node: str, instance: str, current: Configuration) -> Configuration:
        """The configuration to stop an instance by on that node."""
        origin = self._origins.get((node, instance))
        if origin is not None:
            return origin.configuration
        return next((c for c in (current, *self._former) if primitive_of(c, instance) is not None), current)

    def retired(self, node: str, current: Configuration) -> list[str]:
        """What may be running on a node, and is not configured any more."""
        return [i for n, i in sorted(self._origins) if n == node and primitive_of(current, i) is None]

    def addresses(self, nodes: Collection[str]) -> Iterator[tuple[str, str]]:
        """(ip, primitive's id) of the plain addresses that may be up on any of these nodes."""
        for (node, instance), origin in sorted(self._origins.items(), key=lambda item: item[0]):
            if origin.ip is not None and node in nodes:
                yield origin.ip, instance.partition(":")[0]

    def names(self) -> list[tuple[str, str, str]]:
        """For comparison between nodes."""
        return sorted((node, instance, origin.definition) for (node, instance), origin in self._origins.items())


def _origin(configuration: Configuration, instance: str) -> Origin | None:
    stop = define(configuration, instance, "stop", 0)
    if stop is None:
        return None
    ip = canonical_ip(stop.parameters.get("ip", "")) if stop.agent in ADDRESS_AGENTS else None
    return Origin(configuration, stop.digest, ip)
