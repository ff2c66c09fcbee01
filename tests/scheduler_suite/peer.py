"""The live oracle: Pacemaker's `crm_simulate` (Debian: pacemaker-cli-utils)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from xml.etree.ElementTree import Element

from defusedxml.ElementTree import fromstring

CRM_SIMULATE = "/usr/sbin/crm_simulate"


def peer_places(document: bytes, folder: Path) -> dict[str, list[str]] | None:
    """Where the peer runs each instance after its transition, stopped ones left out; None where it gives up."""
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
    assert done.returncode == 0, done.stderr
    revised = fromstring(done.stdout).find("revised_cluster_status")
    assert revised is not None
    found: dict[str, list[str]] = {}
    for resource in revised.iter("resource"):
        name = resource.get("id", "")
        unique = _unique(revised, name)
        hosts = found.setdefault(name if unique else name.partition(":")[0], [])
        hosts.extend(node.get("name", "") for node in resource.iter("node"))
    return {name: sorted(set(hosts)) for name, hosts in found.items() if hosts}


def _unique(revised: object, name: str) -> bool:
    assert isinstance(revised, Element)
    for clone in revised.iter("clone"):
        if any(resource.get("id") == name for resource in clone.iter("resource")):
            return clone.get("unique") == "true"
    return True
