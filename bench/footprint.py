"""Resident memory and idle CPU of one daemon, in a cluster of four that serves an address and has nothing to do."""

from __future__ import annotations

import os
import time
from pathlib import Path

from bench.report import Figure, Report, heading
from tests.lab import Lab
from tests.lab.service import serve_web, share_address

WATCH_S = 10.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
MIB = 1 << 20


def measure(report: Report, runs: int) -> None:
    heading("One daemon at rest, four hosts, four slots", [f"{WATCH_S:g} s each; CPU in percent of one core"])
    for profile in ("default", "fast"):
        with Lab(hosts=4, profile=profile) as lab:
            lab.start_daemons()
            lab.await_cluster()
            share_address(lab)
            serve_web(lab)
            time.sleep(2)  # what was started has settled: this measures rest, nothing waits for it
            programs = {
                program: [lab.daemons[name][program].pid for name in lab.names]
                for program in ("vipcastd", "vipcast-runner")
            }
            for program, pids in programs.items():
                before = [cpu_s(pid) for pid in pids]
                start = time.monotonic()
                time.sleep(WATCH_S)
                elapsed = time.monotonic() - start
                shares = tuple(100 * (cpu_s(pid) - used) / elapsed for pid, used in zip(pids, before, strict=True))
                report.add(Figure(f"idle CPU of {program}, {profile}", "%", shares))
                if profile == "default":
                    report.add(Figure(f"resident memory of {program}", "MiB", tuple(rss_mib(pid) for pid in pids)))


def cpu_s(pid: int) -> float:
    """User and system time so far (proc_pid_stat(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def rss_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / MIB
