"""An edit of megabytes is committed over lossy links: what is lost of it is sent again, not the whole of it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest

from tests.lab import Lab, wait_until

pytestmark = pytest.mark.root

LOSS_PERCENT = 10
NOTES = 20
NOTE_BYTES = 100_000
"""two megabytes: 1,700 datagrams, of which 170 are lost on each way"""


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(hosts=3, engine="raw") as made:
        made.start_daemons()
        made.await_cluster(30)
        yield made


def cib_of(lab: Lab, name: str) -> str:
    return lab[name].run("vipcast", "cluster", "cib").stdout


def with_notes(cib: str) -> str:
    chance = random.Random(1)
    notes = "".join(
        f'<nvpair id="note-{number}" name="note{number}" value="{chance.randbytes(NOTE_BYTES // 2).hex()}"/>'
        for number in range(NOTES)
    )
    node = f'<node id="1" uname="a1"><instance_attributes id="nodes-1">{notes}</instance_attributes></node>'
    return re.sub(r"<nodes\s*/>|<nodes>.*</nodes>", f"<nodes>{node}</nodes>", cib, flags=re.DOTALL)


def test_an_edit_of_two_megabytes_is_committed_on_all_hosts_over_lossy_links(lab: Lab) -> None:
    edited = with_notes(cib_of(lab, "a2"))
    lab["a2"].write_bytes("/root/notes.xml", edited.encode(), 0o600)
    lab.loss(LOSS_PERCENT)
    pushed = lab["a2"].run("vipcast", "cluster", "cib-push", "/root/notes.xml")
    assert pushed.returncode == 0, pushed.stderr
    last = f'name="note{NOTES - 1}"'
    wait_until(lambda: all(last in cib_of(lab, name) for name in lab.names), 30, "the notes on all hosts", 0.5)
