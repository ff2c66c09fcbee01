"""What this node does about the replicated state: pure, level-triggered, the same code in daemon and simulation."""

from daemon.executor.executor import Executor
from daemon.executor.operations import Finish, RunOperation
from daemon.executor.slots import SlotDuty

__all__ = ["Executor", "Finish", "RunOperation", "SlotDuty"]
