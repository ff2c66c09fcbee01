"""How often a healthy node is suspected while every core is busy with ordinary work, beside the nodes' own lateness."""

from __future__ import annotations

import os
import re
import time

from bench.load import busy, every_core
from bench.report import Figure, Report, heading
from tests.lab import Lab
from tests.lab.control import Status

SECONDS = int(os.environ.get("SUSPICION_SECONDS", "600"))


def measure(report: Report, _runs: int) -> None:
    for profile in ("default", "fast"):
        heading(f"False suspicions in {SECONDS} s, 4 nodes, every core busy, profile {profile}")
        with Lab(hosts=4, profile=profile) as lab:
            lab.start_daemons()
            lab.await_cluster()
            time.sleep(2)
            logs = {name: lab[name].log("vipcastd") for name in lab.names}
            marks = {name: path.stat().st_size for name, path in logs.items()}
            with busy(every_core()):
                time.sleep(SECONDS)
            said = {name: path.read_text()[marks[name] :] for name, path in logs.items()}
            silent = sum(len(re.findall(r" is silent for ", text)) for text in said.values())
            lost = sum(len(re.findall(r" is lost", text)) for text in said.values())
            elections = sum(len(re.findall(r"a leader took office", text)) for text in said.values())
            report.add(Figure(f"suspicions (a peer silent), {profile}", "", (float(silent),), goal=0.0))
            report.add(Figure(f"nodes declared lost, {profile}", "", (float(lost),), goal=0.0))
            report.add(Figure(f"elections, {profile}", "", (float(elections),), goal=0.0))
            for name in lab.names:
                report.add(
                    Figure(f"lateness of {name}'s loop, maximum, {profile}", "ms", (lateness_ms(lab, name),))
                )


def lateness_ms(lab: Lab, name: str) -> float:
    status = Status.of(lab[name])
    assert status is not None
    return float(status.document["lateness"]["max_ms"])
