"""Where instances have just been stopped that are to be started again: their homes, until they run.

Pacemaker carries out a transition as a whole: what it stops in order to start it again still counts as running where
it was while places are chosen.  Here every result leads to a new plan, which would see an instance that runs nowhere,
without its stickiness, and send it elsewhere, or take back the move that it was stopped for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from daemon.scheduler.view import Plan
from daemon.state.commands import Result

if TYPE_CHECKING:
    from daemon.state.state import State

Home = tuple[str, str]
"""(instance, node)"""


def remember(state: State, result: Result, failed: bool) -> None:
    """Take notice of a stop or start that has ended well, while `state.plan` is the one that asked for it."""
    home = (result.instance, result.node)
    if failed:
        return
    if result.operation == "start":
        state.homes.discard(home)
    elif result.operation == "stop" and result.instance in _starting(state.plan):
        state.homes.add(home)


def forget(state: State) -> None:
    """What the plan starts no more, or whose node is gone, has no home."""
    if state.homes:
        starting = _starting(state.plan)
        admitted = {node.name for node in state.nodes.values() if node.admitted}
        state.homes = {home for home in state.homes if home[0] in starting and home[1] in admitted}


def _starting(plan: Plan) -> set[str]:
    return {action.instance for action in plan.actions if action.operation == "start"}
