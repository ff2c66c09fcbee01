"""Being scheduled in time: SCHED_RR, locked memory, a quiet collector, and refusing the wrong network namespace.

STYLE.md has the measurement: with both cores busy a 20 ms timer is up to 39 ms late at nice -20 and 4 ms under
SCHED_RR 1; a full garbage collection took 20 ms before `gc.freeze()` and 0.003 after.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

MCL_CURRENT = 1
MCL_FUTURE = 2
PRIORITY = 1
SWITCH_S = 0.0005
SLACK_MS = 100
"""an ordinary process was late by 65 ms on a busy host, 39 at nice -20: half as much again"""


def schedule_round_robin(thread: int) -> str | None:
    """SCHED_RR at priority 1 for one thread (sched(7); 0: the caller); returns why not, or None.

    SCHED_RESET_ON_FORK: whatever a library may start one day is ordinary again.
    """
    try:
        os.sched_setscheduler(thread, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(PRIORITY))
    except OSError as error:
        return f"SCHED_RR is refused ({error.strerror})"
    return None


def lock_memory() -> str | None:
    """mlockall(2), so that a page fault never waits for a disk; returns why not, or None."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(MCL_CURRENT | MCL_FUTURE) != 0:
        return f"memory cannot be locked ({os.strerror(ctypes.get_errno())})"
    return None


@dataclass(frozen=True, slots=True)
class Punctuality:
    """How this process is scheduled, as far as it could be had."""

    scheduling: str = ""
    """SCHED_RR, SCHED_OTHER; empty: nobody has looked"""
    troubles: tuple[str, ...] = ()

    @property
    def slack_ms(self) -> int:
        """How much longer this host's lease should be: without real-time scheduling it is late now and then."""
        return 0 if self.scheduling in ("SCHED_RR", "SCHED_FIFO") else SLACK_MS


UNKNOWN = Punctuality()


def be_on_time(*threads: int) -> Punctuality:
    """SCHED_RR and locked memory; what is refused is in `troubles`, and the process goes on without it.

    `threads`: those beside the caller that votes and commits wait for, by the kernel's number: a policy is a
    thread's own.  (With every core busy an election took 268 ms with an ordinary thread at the disk, 72 at rest.)
    """
    refused = (*(schedule_round_robin(thread) for thread in (0, *threads)), lock_memory())
    return Punctuality(_policy(), tuple(dict.fromkeys(filter(None, refused))))


def as_it_is() -> Punctuality:
    """Without asking for anything."""
    return Punctuality(_policy())


def _policy() -> str:
    policy = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK
    names = {os.SCHED_RR: "SCHED_RR", os.SCHED_FIFO: "SCHED_FIFO", os.SCHED_OTHER: "SCHED_OTHER"}
    return names.get(policy, f"policy {policy}")


def give_way() -> None:
    """Let a thread beside the loop hand over the interpreter within half a millisecond instead of five.

    Measured with three scrapes of 4,096 slots at once: timers of 10 ms were late by 2 ms at the median instead of 15.
    """
    sys.setswitchinterval(SWITCH_S)


def quiet_collector() -> None:
    """Collect once, then leave what the start made out of every later collection."""
    gc.collect()
    gc.freeze()


def forbidden_namespace(environment: Mapping[str, str]) -> str | None:
    """Why a daemon of a laboratory may not run here: it stands in the machine's own network namespace.

    The laboratory passes the inode of the machine's namespace: inside a PID namespace /proc/1 is the host's own.
    """
    forbidden = environment.get("VIPCAST_LAB_FORBIDDEN_NETNS", "")
    if environment.get("VIPCAST_LAB") != "1" and not forbidden:
        return None
    here = os.stat("/proc/self/ns/net").st_ino
    if forbidden and str(here) == forbidden:
        return "this is the machine's own network namespace; a laboratory's vipcastd runs in namespaces of its own"
    if not forbidden:
        return (
            "VIPCAST_LAB is set without VIPCAST_LAB_FORBIDDEN_NETNS, so the machine's own namespace cannot be told"
        )
    return None
