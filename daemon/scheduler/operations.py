"""What the configuration says about an operation: its timeout, its interval, what a failure of it shall cause."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from daemon.model.configuration import Operation, Primitive
from daemon.model.values import BadValue, parse_boolean, parse_duration_ms
from daemon.scheduler.cluster import Cluster, merged
from daemon.scheduler.rules import Facts
from daemon.scheduler.units import Instance, Role
from daemon.scheduler.unpack import ROLES

DEFAULT_TIMEOUT_MS = 20_000


class OnFail(enum.IntEnum):
    """What a failure causes, by rising severity: of several failures the gravest counts."""

    IGNORE = 0
    DEMOTE = 1
    RESTART = 2
    RESTART_CONTAINER = 3
    BAN = 4
    """on-fail=migrate"""
    BLOCK = 5
    STOP = 6
    STANDBY = 7
    FENCE = 8


WORDS = {
    "ignore": OnFail.IGNORE,
    "nothing": OnFail.IGNORE,
    "demote": OnFail.DEMOTE,
    "restart": OnFail.RESTART,
    "restart-container": OnFail.RESTART_CONTAINER,
    "migrate": OnFail.BAN,
    "block": OnFail.BLOCK,
    "stop": OnFail.STOP,
    "standby": OnFail.STANDBY,
    "fence": OnFail.FENCE,
}


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of one operation, defaults included."""

    name: str
    interval_ms: int
    timeout_ms: int
    enabled: bool
    role: Role
    """of recurring operations: the role in which it runs"""
    on_fail: str | None


def interval_of(operation: Operation) -> int:
    try:
        return parse_duration_ms(operation.interval)
    except BadValue:
        return 0


def settings_of(cluster: Cluster, primitive: Primitive, name: str, interval_ms: int) -> Settings:
    """As configured for exactly this name and interval; a probe takes over the timeout of the shortest monitor."""
    facts = Facts(
        now_ms=cluster.view.now_ms,
        resource=(primitive.standard, primitive.provider, primitive.type),
        operation=(name, interval_ms),
    )
    values = merged(cluster.view.configuration.operation_defaults, facts)
    found = next((o for o in primitive.operations if o.name == name and interval_of(o) == interval_ms), None)
    if found is None and name == "monitor" and interval_ms == 0:
        monitors = [o for o in primitive.operations if o.name == "monitor"]
        shortest = min(monitors, key=interval_of, default=None)
        if shortest is not None:
            values |= {"timeout": shortest.timeout} if shortest.timeout else {}
    if found is not None:
        values |= merged(found.meta, facts) | found.options
        if found.timeout is not None:
            values["timeout"] = found.timeout
    return Settings(
        name,
        interval_ms,
        _time(values.get("timeout"), DEFAULT_TIMEOUT_MS),
        _true(values.get("enabled"), True),
        ROLES.get(values.get("role", "").lower(), Role.UNKNOWN),
        values.get("on-fail"),
    )


def recurring_of(cluster: Cluster, primitive: Primitive) -> list[Settings]:
    """The recurring operations, each name and interval once, disabled ones left out."""
    seen: dict[tuple[str, int], Settings] = {}
    for operation in primitive.operations:
        interval_ms = interval_of(operation)
        if interval_ms > 0:
            settings = settings_of(cluster, primitive, operation.name, interval_ms)
            if settings.enabled:
                seen.setdefault((operation.name, interval_ms), settings)
    return list(seen.values())


def on_fail(cluster: Cluster, instance: Instance, name: str, interval_ms: int) -> OnFail:
    """What a failure of this operation asks for, with Pacemaker's defaults: a failed stop fences or blocks."""
    fencing = cluster.options.fencing
    word = None
    promoted = False
    if instance.config is not None:
        settings = settings_of(cluster, instance.config, name, interval_ms)
        word, promoted = settings.on_fail, settings.role == Role.PROMOTED
        if word is None and name == "demote":
            word = _of_promoted_monitor(instance.config)
    chosen = WORDS.get(word.lower()) if word is not None else None
    if name == "stop" and chosen in (OnFail.STANDBY, OnFail.DEMOTE, OnFail.STOP):
        chosen = None  # they would need the stop that has failed
    if chosen == OnFail.FENCE and not fencing:
        chosen = OnFail.STOP
    if chosen == OnFail.DEMOTE and not (name == "promote" or (name == "monitor" and interval_ms and promoted)):
        chosen = None
    if chosen == OnFail.RESTART_CONTAINER and instance.container is None:
        chosen = None
    if chosen is not None:
        return chosen
    if instance.container is not None:
        return OnFail.RESTART_CONTAINER
    if name == "stop":
        return OnFail.FENCE if fencing else OnFail.BLOCK
    return OnFail.RESTART


def _of_promoted_monitor(primitive: Primitive) -> str | None:
    """What a failed demotion asks for where nothing is said of it: the same as a failure while promoted, if that is
    said of the monitor itself."""
    word = None
    for operation in primitive.operations:
        stated = operation.options.get("on-fail", "demote")
        role = ROLES.get(operation.options.get("role", "").lower())
        monitor = operation.name == "monitor" and interval_of(operation) > 0 and role == Role.PROMOTED
        if monitor and stated.lower() != "demote" and _true(operation.options.get("enabled"), True):
            word = stated
    return word


def _time(text: str | None, default: int) -> int:
    if text is None:
        return default
    try:
        return parse_duration_ms(text)
    except BadValue:
        return default


def _true(text: str | None, default: bool) -> bool:
    if text is None:
        return default
    try:
        return parse_boolean(text)
    except BadValue:
        return default
