"""Which of several attribute sets counts where they say different things.

The set with the highest score comes first; of equal ones the one that stands last, as in Pacemaker, where a template's
sets stand before the resource's own (`pe_eval_nvpairs` in lib/pengine/rules.c; `unpack_template` in complex.c).
"""

from __future__ import annotations

from collections.abc import Iterable

from daemon.model.configuration import AttributeSet
from daemon.model.values import BadValue, parse_score

BOOTSTRAP_OPTIONS = "cib-bootstrap-options"
"""the set of cluster properties that comes before all others, whatever their scores"""


def by_precedence(sets: Iterable[AttributeSet]) -> list[AttributeSet]:
    """The sets, the one whose values count most in front."""
    last_first = tuple(sets)[::-1]
    return sorted(last_first, key=lambda one: (one.id != BOOTSTRAP_OPTIONS, -_score(one)))


def merged(sets: Iterable[AttributeSet]) -> dict[str, str]:
    """The values that count, of the sets without a rule."""
    values: dict[str, str] = {}
    for one in by_precedence(sets):
        if one.rule is None:
            for name, value in one.values.items():
                values.setdefault(name, value)
    return values


def _score(attributes: AttributeSet) -> int:
    try:
        return parse_score(attributes.score or "0")
    except BadValue:
        return 0
