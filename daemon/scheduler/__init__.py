"""The scheduler: a pure function from what is (`View`) to what shall be and has to be done (`Plan`)."""

from daemon.scheduler.planner import plan
from daemon.scheduler.view import Plan, View

__all__ = ["Plan", "View", "plan"]
