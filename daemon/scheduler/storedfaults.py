"""Values that an edit would refuse, in a configuration that has them all the same.

A CIB may come from elsewhere, or from a version that knew no better.  The rest of it is planned; a bad value counts
as said in `daemon.scheduler.scores` and `daemon.scheduler.rules`, and the plan says so.  What else may be wrong
(circles, unknown names) is found, and told, by those who meet it.
"""

from __future__ import annotations

from collections import deque

from daemon.model.configuration import Configuration
from daemon.model.findings import errors_of

TOLD_HERE = frozenset(
    {"bad-value", "bad-date", "bad-operation", "bad-pattern", "empty-rule", "incomplete-constraint"}
)
REMEMBERED = 4

_known: deque[tuple[Configuration, tuple[str, ...]]] = deque(maxlen=REMEMBERED)
"""the last configurations that were looked at: plans come far more often than edits"""


def stored_faults(configuration: Configuration) -> tuple[str, ...]:
    """A sentence for each value that is none; the same for the same configuration."""
    for known, sentences in _known:
        if known is configuration:
            return sentences
    from daemon.model.validation import validate  # noqa: PLC0415 - not for a command that wants no findings

    found = tuple(
        f"Stored, though no edit would take it: {finding.message}"
        for finding in errors_of(validate(configuration))
        if finding.code in TOLD_HERE
    )
    _known.append((configuration, found))
    return found
