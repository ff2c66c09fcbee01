"""Somebody who edits the configuration all the time, at whichever host answers, and remembers what was promised."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import msgspec

from daemon.control.client import ControlClient, ControlError, RefusalError
from daemon.control.schema import EditRequest
from tests.lab import Host, Lab
from tests.lab.control import SOCKET

PAUSE_S = 0.15
PATIENCE_S = 3.0
"""An edit that the cluster does not answer within this is neither promised nor refused."""


class Administrator:
    """A context manager: compare-and-set edits, one after another, each adding its number to one node's attributes."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, name="administrator", daemon=True)
        self.acknowledged: list[str] = []
        self.refused = 0
        self.unknown = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join(2 * PATIENCE_S + 5)

    def _work(self) -> None:
        hosts = itertools.cycle(list(self._lab))
        for number in itertools.count(1):
            if self._end.wait(PAUSE_S):
                return
            self._edit(next(hosts), f"edit-{number}")

    def _edit(self, host: Host, mark: str) -> None:
        if not host.up:
            return
        client = ControlClient(str(host.path(SOCKET)), timeout_s=PATIENCE_S)
        try:
            before = client.configuration()
            document: dict[str, Any] = json.loads(bytes(before.configuration))
            edited = msgspec.Raw(json.dumps(with_mark(document, mark)).encode())
            client.replace_configuration(EditRequest(edited, before.epoch, "root", f"node attribute a1 {mark}=1"))
        except RefusalError as refusal:
            if refusal.status == 504:
                self.unknown += 1
            else:
                self.refused += 1
        except (ControlError, OSError):
            self.unknown += 1
        else:
            self.acknowledged.append(mark)


def with_mark(document: dict[str, Any], mark: str) -> dict[str, Any]:
    """The configuration with one more attribute at its first node entry, which is made where there is none."""
    nodes = document.setdefault("nodes", [])
    if not nodes:
        nodes.append({"id": "a1", "name": "a1"})
    sets = nodes[0].setdefault("attributes", [])
    if not sets:
        sets.append({"id": "nodes-a1", "values": {}})
    sets[0]["values"][mark] = "1"
    return document


def marks_of(host: Host) -> set[str]:
    """Which edits this host's daemon has in its configuration."""
    document = json.loads(bytes(ControlClient(str(host.path(SOCKET))).configuration().configuration))
    return {
        mark
        for node in document.get("nodes", [])
        for one in node.get("attributes", [])
        for mark in one["values"]
        if mark.startswith("edit-")
    }


def lost_edits(lab: Lab, acknowledged: Sequence[str]) -> dict[str, list[str]]:
    """Host → edits that were acknowledged and that it does not have: there must never be one."""
    missing = {host.name: sorted(set(acknowledged) - marks_of(host)) for host in lab}
    return {name: marks for name, marks in missing.items() if marks}
