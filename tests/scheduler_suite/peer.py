"""The live oracle: Pacemaker's `crm_simulate` (Debian: pacemaker-cli-utils)."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

from defusedxml.ElementTree import fromstring

CRM_SIMULATE = os.environ.get("CRM_SIMULATE", "/usr/sbin/crm_simulate")
"""another version of the peer than the installed one can be named"""


class PeerRefusedError(ValueError):
    """The peer says that this is no valid CIB."""


@dataclass(frozen=True)
class Outcome:
    """Where each instance runs, and where it is promoted, after one transition; what is stopped is left out."""

    placement: dict[str, list[str]]
    promoted: dict[str, list[str]]


def peer_places(document: bytes, folder: Path) -> dict[str, list[str]] | None:
    """Where the peer runs each instance after its transition; None where it gives up."""
    outcome = peer_outcome(document, folder)
    return None if outcome is None else outcome.placement


def peer_outcome(document: bytes, folder: Path) -> Outcome | None:
    """The peer's result of one transition; None where it gives up."""
    path = folder / "cib.xml"
    path.write_bytes(document)
    done = subprocess.run(
        [CRM_SIMULATE, "-S", "--output-as=xml", "-x", str(path)],
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, "CIB_shadow_dir": str(folder)},
    )
    if done.returncode == 1:
        return None
    if done.returncode != 0:
        raise PeerRefusedError(done.stderr.decode())
    answer = fromstring(done.stdout)
    revised = answer.find("revised_cluster_status")
    assert revised is not None
    stopped = _stopped(answer)
    running: dict[str, set[str]] = {}
    promoted: dict[str, set[str]] = {}
    for resource in revised.iter("resource"):
        if resource.get("role") == "Stopped":
            continue  # it names the host of a probe all the same
        name = resource.get("id", "")
        unique = _unique(revised, name)
        name = name if unique else name.partition(":")[0]
        hosts = {node.get("name", "") for node in resource.iter("node")}
        hosts -= {host for instance, host in stopped if instance in {name, resource.get("id")}}
        running.setdefault(name, set()).update(hosts)
        if resource.get("role") in {"Promoted", "Master"}:
            promoted.setdefault(name, set()).update(hosts)
    return Outcome(
        *({name: sorted(hosts) for name, hosts in table.items() if hosts} for table in (running, promoted))
    )


def _stopped(answer: Element) -> set[tuple[str, str]]:
    """(instance, node) where a stop was the last change.

    The simulation takes a recurring monitor that it cancels or repeats after that stop for a sign of life.
    """
    last: dict[tuple[str, str], str] = {}
    for action in answer.iter("rsc_action"):
        task, name, node = (action.get(key, "") for key in ("op", "resource", "node"))
        if task in {"start", "stop", "migrate_from"}:
            last[name, node] = task
    return {where for where, task in last.items() if task == "stop"}


def _unique(revised: object, name: str) -> bool:
    assert isinstance(revised, Element)
    for clone in revised.iter("clone"):
        if any(resource.get("id") == name for resource in clone.iter("resource")):
            return clone.get("unique") == "true"
    return True
