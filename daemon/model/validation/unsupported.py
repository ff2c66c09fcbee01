"""What Pacemaker knows and vipcast does not: said by name, so that nobody relies on it.

Every cluster property, meta attribute and operation attribute of "Pacemaker Explained" that is in the tables of
`daemon.model.options` either has its effect here, or is in one of these tables with what happens instead.  A value
that asks for what happens anyway is not worth a word.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from daemon.model.configuration import AttributeSet, Configuration, Primitive
from daemon.model.findings import Finding, warning
from daemon.model.rules import is_about_agents_alone
from daemon.model.values import BadValue, parse_boolean, parse_duration_ms

NO_CONTROLLER = "there is no designated controller that it could concern"
NO_FILES = "plans are kept in the log, not in files"
NO_REMOTE = "there are no remote or guest nodes"

PROPERTIES: dict[str, str] = {
    "cluster-delay": "results travel in the log, no time is added for them",
    "cluster-ipc-limit": "the control socket has a limit of its own",
    "cluster-recheck-interval": "plans are made anew exactly when time changes them",
    "dc-deadtime": NO_CONTROLLER,
    "election-timeout": NO_CONTROLLER,
    "enable-acl": "rights go by the user's group, see the guide on security",
    "fence-reaction": "a node that is fenced has no say in it",
    "join-finalization-timeout": NO_CONTROLLER,
    "join-integration-timeout": NO_CONTROLLER,
    "load-threshold": "how busy a node is limits nothing: batch-limit and node-action-limit do",
    "migration-limit": "resources are moved by a stop and a start",
    "pe-error-series-max": NO_FILES,
    "pe-input-series-max": NO_FILES,
    "pe-warn-series-max": NO_FILES,
    "priority-fencing-delay": "nodes are fenced without delay",
    "remove-after-stop": "results of a resource that is gone are forgotten by cleanup",
    "shutdown-escalation": "a node leaves when it has stopped what it runs, however long that takes",
    "shutdown-lock": "resources of a node that is shut down move to others",
    "shutdown-lock-limit": "resources of a node that is shut down move to others",
    "stop-orphan-actions": "an operation that is configured no more is always ended",
    "transition-delay": "nothing is delayed",
}

META: dict[str, str] = {
    "allow-migrate": "it is moved by a stop and a start",
    "container-attribute-target": "there are no bundles",
    "external-ip": "there are no bundles",
    "notify": "agents are not called for notifications",
    "provides": "there is no unfencing",
    "remote-addr": NO_REMOTE,
    "remote-allow-migrate": NO_REMOTE,
    "remote-connect-timeout": NO_REMOTE,
    "remote-node": NO_REMOTE,
    "remote-port": NO_REMOTE,
    "resource-failure-stickiness": "Pacemaker has had no such option since 1.0, use migration-threshold",
    "restart-type": "Pacemaker has had no such option since 2.0",
}
OLD_SPELLINGS = frozenset(
    {
        "failure_timeout",
        "is_managed",
        "migration_threshold",
        "multiple_active",
        "resource_stickiness",
        "target_role",
    }
)
"""of the 1.0 series; nobody reads them any more"""

OPERATIONS: dict[str, str] = {
    "interval-origin": "an interval begins with the start",
    "start-delay": "the first monitor follows the start by its interval",
    "record-pending": "that an operation has begun is always known",
}

_HARMLESS = frozenset({"", "0", "false", "off", "no", "n", "-1"})
"""values that ask for nothing"""
_BY_DEFAULT = {("record-pending", "true"), ("stop-orphan-actions", "true"), ("restart-type", "ignore")}


def check(configuration: Configuration) -> Iterator[Finding]:
    for one in configuration.properties:
        yield from _report("cluster property", "", one.values, PROPERTIES)
    for one in configuration.resource_defaults:
        yield from _meta(one.id, (one,))
    for one in configuration.operation_defaults:
        yield from _report("operation default", one.id, one.values, OPERATIONS)
        if one.rule is not None and "timeout" in one.values and not is_about_agents_alone(one.rule):
            yield _conditional("operation defaults", ("timeout",), one, "a timeout goes by no date and no node")
    for resource in (*configuration.templates, *configuration.walk()):
        yield from _meta(resource.id, resource.meta)
        if not isinstance(resource, Primitive):
            continue
        yield from _parameters(resource.id, resource.instance)
        if resource.operations_ref is None:
            for operation in resource.operations:
                yield from _parameters(resource.id, operation.instance)
                yield from _report(
                    f"option of operation '{operation.id}'", resource.id, operation.options, OPERATIONS
                )


def _meta(where: str, sets: tuple[AttributeSet, ...]) -> Iterator[Finding]:
    for one in sets:
        yield from _report("meta attribute", where, one.values, META)
        for name in sorted(OLD_SPELLINGS & one.values.keys()):
            yield warning(
                "no-effect",
                f"{where} {name}".strip(),
                f"meta attribute '{name}' of '{where}' has no effect, it was the name in Pacemaker 1.0",
                f"write '{name.replace('_', '-')}'",
            )


def _parameters(where: str, sets: tuple[AttributeSet, ...]) -> Iterator[Finding]:
    instead = "an agent's parameters are the same on every node and at any time"
    for one in sets:
        if one.rule is not None:
            yield _conditional(f"parameters of '{where}'", sorted(one.values), one, instead)


def _conditional(what: str, names: Collection[str], stated: AttributeSet, instead: str) -> Finding:
    listed = ", ".join(f"'{name}'" for name in names)
    return warning(
        "no-effect", stated.id, f"set '{stated.id}' of {what} has a rule, so {listed} has no effect: {instead}"
    )


def _report(noun: str, where: str, values: Mapping[str, str], unsupported: Mapping[str, str]) -> Iterator[Finding]:
    of = f" of '{where}'" if where else ""
    for name in sorted(unsupported.keys() & values.keys()):
        if _asks_for_nothing(name, values[name]):
            continue
        yield warning(
            "no-effect",
            f"{where} {name}".strip(),
            f"{noun} '{name}'{of} has no effect: {unsupported[name]}",
        )


def _asks_for_nothing(name: str, value: str) -> bool:
    word = value.strip().lower()
    if word in _HARMLESS or (name, word) in _BY_DEFAULT:
        return True
    if name == "start-delay":
        try:
            return parse_duration_ms(word) == 0
        except BadValue:
            return False
    if name == "record-pending":
        try:
            return parse_boolean(word)
        except BadValue:
            return False
    return False
