"""What a plan says of itself: the parts of every score add up, and every node that was not chosen has a reason."""

from __future__ import annotations

import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.model.values import parse_score, sum_scores
from daemon.scheduler import Plan, plan
from daemon.scheduler.cibstatus import read_view
from daemon.scheduler.view import BY_SLOTS
from tests.scheduler_suite.fuzz.cluster import random_cib

SEEDS = st.integers(0, 1_000_000)
relaxed = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def planned(seed: int) -> Plan:
    return plan(read_view(random_cib(seed), now_ms=0))


@relaxed
@given(SEEDS)
def test_the_parts_of_every_score_add_up_to_it(seed: int) -> None:
    for reason in planned(seed).reasons:
        assert reason.scores.keys() <= reason.totals.keys()
        for node, total in reason.totals.items():
            parts = reason.scores.get(node, ())
            assert sum_scores(score for _, score in parts) == total, (reason.instance, node, parts, total)
            assert all(origin for origin, _ in parts)


@relaxed
@given(SEEDS)
def test_every_other_node_has_its_reason(seed: int) -> None:
    found = planned(seed)
    nodes = {
        node for reason in found.reasons for node in (*reason.rejected, *([reason.node] if reason.node else []))
    }
    for reason in found.reasons:
        assert reason.rejected.keys() == nodes - {reason.node}
        assert reason.summary
        assert all(reason.rejected.values())


@relaxed
@given(SEEDS)
def test_every_action_says_why_it_is_done(seed: int) -> None:
    for action in planned(seed).actions:
        assert action.reason or action.operation in BY_SLOTS, action


@relaxed
@given(SEEDS)
def test_what_has_roles_says_why_it_is_promoted_or_not_and_the_parts_add_up(seed: int) -> None:
    view = read_view(random_cib(seed, themes=frozenset({"promotable", "roles", "clones"})), now_ms=0)
    found = plan(view)
    for reason in found.reasons:
        promoted = reason.node in found.promoted.get(reason.instance, ())
        assert (reason.role == "promoted") == promoted, reason
        rated = re.search(r"promoted, (?:though )?rated ([-+A-Z0-9]+)", reason.summary)
        assert (rated is not None) == bool(reason.role)
        if rated is not None:
            assert parse_score(rated[1]) == sum_scores(score for _, score in reason.promotion), reason
