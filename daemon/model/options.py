"""The names that Pacemaker knows: meta attributes, cluster properties, and the kind of value of each.

After "Pacemaker Explained" for 2.1.  A name outside of these tables has no effect in Pacemaker and none here.
While it is being typed it is most likely a slip of the finger, so an edit refuses it unless it is forced; one that
is in the configuration already is a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches

from daemon.model.findings import Finding, error, warning
from daemon.model.values import (
    BadValue,
    parse_boolean,
    parse_duration_ms,
    parse_integer,
    parse_score,
    parse_written_score,
)

Check = Callable[[str], object]
"""raises `BadValue`"""

TIE_BREAKER = "tie-breaker"
"""cluster property of ours: the node with an extra vote while the number of voters is even"""


def one_of(*words: str) -> Check:
    """One of these words in any case, as Pacemaker compares the values of options."""
    lower = {word.lower() for word in words}

    def check(text: str) -> str:
        if text.strip().lower() not in lower:
            raise BadValue(f"'{text}' is none of {', '.join(words)}")
        return text

    return check


def exactly_one_of(*words: str) -> Check:
    """One of these words as spelt: what is an attribute of an element, the CIB's schema compares by case."""

    def check(text: str) -> str:
        if text not in words:
            raise BadValue(f"'{text}' is none of {', '.join(words)}")
        return text

    return check


def _whole_number(text: str) -> int:
    number = parse_integer(text)
    if number < 0:
        raise BadValue(f"'{text}' is not a non-negative integer")
    return number


def _positive(text: str) -> int:
    number = parse_integer(text)
    if number < 1:
        raise BadValue(f"'{text}' is not a positive integer")
    return number


def _threshold(text: str) -> int:
    """A count of failures: a non-negative score."""
    number = parse_score(text)
    if number < 0:
        raise BadValue(f"'{text}' is negative, use a positive integer, INFINITY or 0")
    return number


def _percentage(text: str) -> float:
    try:
        return float(text.removesuffix("%"))
    except ValueError:
        raise BadValue(f"'{text}' is not a percentage, use for example 80%") from None


def _watchdog_timeout(text: str) -> int:
    return -1 if text.strip() == "-1" else parse_duration_ms(text)


def _failback(text: str) -> object:
    return text if text.strip().lower() in {"now", "manual"} else _named_span(text)


def _named_span(text: str) -> int:
    try:
        return parse_duration_ms(text)
    except BadValue:
        raise BadValue(f"'{text}' is neither now, nor manual, nor a time such as 5min") from None


def _text(text: str) -> str:
    return text


_ROLES = one_of("Stopped", "Started", "Promoted", "Unpromoted", "Master", "Slave", "#default")

PRIMITIVE_META: dict[str, Check] = {
    "priority": parse_written_score,
    "critical": parse_boolean,
    "target-role": _ROLES,
    "is-managed": parse_boolean,
    "maintenance": parse_boolean,
    "resource-stickiness": parse_written_score,
    "requires": one_of("nothing", "quorum", "fencing", "unfencing"),
    "migration-threshold": _threshold,
    "failure-timeout": parse_duration_ms,
    "multiple-active": one_of("block", "stop_only", "stop_start", "stop_unexpected"),
    "allow-migrate": parse_boolean,
    "allow-unhealthy-nodes": parse_boolean,
    "container-attribute-target": _text,
    "remote-node": _text,
    "remote-addr": _text,
    "remote-port": _whole_number,
    "remote-connect-timeout": parse_duration_ms,
    "remote-allow-migrate": parse_boolean,
    "external-ip": _text,
    "restart-type": one_of("ignore", "restart"),
    "provides": _text,
    # of the 1.x series; without effect, but found in old configurations
    "resource-failure-stickiness": parse_score,
    "is_managed": parse_boolean,
    "target_role": _text,
    "resource_stickiness": parse_score,
    "multiple_active": _text,
    "migration_threshold": parse_score,
    "failure_timeout": parse_duration_ms,
}

CLONE_META: dict[str, Check] = {
    "clone-max": _whole_number,
    "clone-node-max": _whole_number,
    "clone-min": _whole_number,
    "globally-unique": parse_boolean,
    "notify": parse_boolean,
    "interleave": parse_boolean,
    "ordered": parse_boolean,
    "promotable": parse_boolean,
    "promoted-max": _whole_number,
    "promoted-node-max": _whole_number,
    # vipcast's own, of a clone of a shared address: how a node that is back gets its share of the slots
    "failback": _failback,
    "failback-at": _whole_number,
    "slow-start": parse_duration_ms,
    "master-max": _whole_number,
    "master-node-max": _whole_number,
}

GROUP_META: dict[str, Check] = {"ordered": parse_boolean, "collocated": parse_boolean}

META: dict[str, dict[str, Check]] = {
    "primitive": PRIMITIVE_META,
    "group": {**PRIMITIVE_META, **GROUP_META},
    "clone": {**PRIMITIVE_META, **GROUP_META, **CLONE_META},
}
"""By kind of resource.  A primitive may carry a clone's, too: the clone inherits nothing from it."""

RESOURCE_DEFAULTS: dict[str, Check] = META["clone"]

OPERATION_DEFAULTS: dict[str, Check] = {
    "interval": parse_duration_ms,
    "timeout": parse_duration_ms,
    "start-delay": parse_duration_ms,
    "interval-origin": _text,
    "enabled": parse_boolean,
    "record-pending": parse_boolean,
    "role": exactly_one_of("Stopped", "Started", "Promoted", "Unpromoted", "Master", "Slave"),
    "on-fail": exactly_one_of(
        "ignore", "block", "demote", "stop", "restart", "standby", "fence", "restart-container"
    ),
    "requires": _text,
}

PROPERTIES: dict[str, Check] = {
    "batch-limit": parse_integer,
    "cluster-delay": parse_duration_ms,
    "cluster-infrastructure": _text,
    "cluster-ipc-limit": _positive,
    "cluster-name": _text,
    "cluster-recheck-interval": parse_duration_ms,
    "concurrent-fencing": parse_boolean,
    "dc-deadtime": parse_duration_ms,
    "dc-version": _text,
    "election-timeout": parse_duration_ms,
    "enable-acl": parse_boolean,
    "enable-startup-probes": parse_boolean,
    "fence-reaction": one_of("stop", "panic"),
    "have-watchdog": parse_boolean,
    "join-finalization-timeout": parse_duration_ms,
    "join-integration-timeout": parse_duration_ms,
    "last-lrm-refresh": _whole_number,
    "load-threshold": _percentage,
    "maintenance-mode": parse_boolean,
    "migration-limit": parse_integer,
    "no-quorum-policy": one_of("stop", "freeze", "ignore", "demote", "suicide"),
    "node-action-limit": _whole_number,
    "node-health-base": parse_written_score,
    "node-health-green": parse_written_score,
    "node-health-red": parse_written_score,
    "node-health-strategy": one_of("none", "migrate-on-red", "only-green", "progressive", "custom"),
    "node-health-yellow": parse_written_score,
    "pe-error-series-max": parse_integer,
    "pe-input-series-max": parse_integer,
    "pe-warn-series-max": parse_integer,
    "placement-strategy": one_of("default", "utilization", "minimal", "balanced"),
    "priority-fencing-delay": parse_duration_ms,
    "remove-after-stop": parse_boolean,
    "shutdown-escalation": parse_duration_ms,
    "shutdown-lock": parse_boolean,
    "shutdown-lock-limit": parse_duration_ms,
    "start-failure-is-fatal": parse_boolean,
    "startup-fencing": parse_boolean,
    "stonith-action": one_of("reboot", "off", "poweroff"),
    "stonith-enabled": parse_boolean,
    "stonith-max-attempts": _positive,
    "stonith-timeout": parse_duration_ms,
    "stonith-watchdog-timeout": _watchdog_timeout,
    "stop-all-resources": parse_boolean,
    "stop-orphan-actions": parse_boolean,
    "stop-orphan-resources": parse_boolean,
    "symmetric-cluster": parse_boolean,
    TIE_BREAKER: _text,
    "transition-delay": parse_duration_ms,
    "wait-for-all": parse_boolean,
}

SET_BY_THE_CLUSTER = frozenset({"cluster-infrastructure", "cluster-name", "dc-version", "have-watchdog"})


def suggestion(name: str, known: Iterable[str]) -> str:
    """`did you mean 'clone-max'`, or the names that there are."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.75)
    return f"did you mean '{near[0]}'" if near else f"allowed are: {', '.join(names)}"


def check_meta(resource: str, kind: str, meta: Mapping[str, str], *, force: bool) -> list[Finding]:
    """Names and values of meta attributes that are being set; an empty value takes one away and is always right."""
    # A primitive's own table would refuse what pcs users write on the child of a clone.
    known = META["clone"] if kind == "primitive" else META[kind]
    given = {name: value for name, value in meta.items() if value != ""}
    return [
        *check_names("meta attribute", resource, given, known, force=force),
        *check_values(resource, given, known),
    ]


def check_properties(properties: Mapping[str, str], *, force: bool) -> list[Finding]:
    given = {name: value for name, value in properties.items() if value != ""}
    found = check_names("cluster property", "", given, PROPERTIES, force=force)
    return [*found, *check_values("", given, PROPERTIES)]


def check_values(where: str, values: Mapping[str, str], known: Mapping[str, Check]) -> list[Finding]:
    """What is wrong with the values of those names that are known."""
    findings = []
    for name, value in values.items():
        if name not in known:
            continue
        try:
            known[name](value)
        except BadValue as problem:
            at = f"{where} {name}".strip()
            of = f" of '{where}'" if where else ""
            findings.append(error("bad-value", at, f"invalid value of {name}{of}: {problem}"))
    return findings


def unknown_names(noun: str, where: str, names: Iterable[str], known: Collection[str]) -> list[Finding]:
    """Warnings for names that are in the configuration but do nothing."""
    of = f" of '{where}'" if where else ""
    return [
        warning("unknown-name", f"{where} {name}".strip(), f"{noun} '{name}'{of} is not known and has no effect")
        for name in names
        if name not in known
    ]


def check_names(
    noun: str, where: str, values: Mapping[str, str], known: Mapping[str, Check], *, force: bool
) -> list[Finding]:
    """Errors for names that are being set and that nobody knows."""
    if force:
        return []
    of = f" of '{where}'" if where else ""
    return [
        error(
            "unknown-name",
            f"{where} {name}".strip(),
            f"invalid {noun} '{name}'{of}",
            f"{suggestion(name, known)}, use --force to set it anyway",
        )
        for name in sorted(values)
        if name not in known
    ]
