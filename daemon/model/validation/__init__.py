"""What is wrong with a configuration: the whole at once, a file per topic.

Errors are what cannot mean what the administrator wants: references to nothing, values that are none, orders that
wait for each other.  Warnings are what Pacemaker would accept and pass over, or knows and vipcast does not.
"""

from __future__ import annotations

from daemon.model.configuration import Configuration
from daemon.model.findings import Finding
from daemon.model.validation import (
    constraints,
    dates,
    fencing,
    ids,
    ipaddr2,
    nodes,
    operations,
    orders,
    resources,
    settings,
    unsupported,
)
from daemon.model.validation.ipaddr2 import check_parameters

__all__ = ["check_parameters", "new_warnings", "validate"]


def validate(configuration: Configuration) -> list[Finding]:
    """Every finding about the configuration, errors first, each once."""
    found = [
        *ids.check(configuration),
        *resources.check(configuration),
        *operations.check(configuration),
        *ipaddr2.check(configuration),
        *constraints.check(configuration),
        *orders.check(configuration),
        *dates.check(configuration),
        *settings.check(configuration),
        *nodes.check(configuration),
        *fencing.check(configuration),
        *unsupported.check(configuration),
    ]
    return sorted(dict.fromkeys(found), key=lambda finding: finding.severity != "error")


def new_warnings(old: Configuration, new: Configuration) -> list[Finding]:
    """The warnings that an edit has brought."""
    known = set(validate(old))
    return [finding for finding in validate(new) if finding.severity == "warning" and finding not in known]
