"""Ten megabytes of state reach a host whose disk was lost, over lossy links, though their sender dies on the way."""

from __future__ import annotations

import asyncio
import random
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from daemon.cluster.core.effects import HardState, Persist, SnapshotPart
from daemon.cluster.core.snapshot import digest_of, head_of, snapshot_of
from daemon.cluster.records import LogEntry, Request
from daemon.cluster.store import Store, StoreError
from daemon.model.configuration import AttributeSet, Configuration, NodeEntry
from daemon.state.commands import Edit
from daemon.state.state import State
from tests.lab import Lab, wait_until

pytestmark = pytest.mark.root

STATE = "/var/lib/vipcast/cluster.db"
LOSS_PERCENT = 20
WITH_MEMORY = ("a1", "a2", "a3", "a4")
NEW = "a5"
SOME_OF_IT_BYTES = 2_000_000
COMES = re.compile(r"(\w+) sends a snapshot of entry 1, ([\d.]+) MB")
ALREADY = re.compile(rf"{COMES.pattern}.*; ([\d.]+) MB of it are here already")


def big_state(names: list[str]) -> State:
    """A hundred attributes of a hundred kilobytes: nothing that anybody would have to start."""
    chance = random.Random(1)
    values = {f"note{number}": chance.randbytes(51_000).hex() for number in range(100)}
    node = NodeEntry(id="1", name="a1", attributes=(AttributeSet(id="nodes-1", values=values),))
    edit = Edit(None, Configuration(nodes=(node,)).model_dump_json().encode(), "administrator", "many notes")
    state = State(names)
    outcome = state.apply(LogEntry(1, 1, 1_700_000_000_000, Request("a1", 1, 1, msgspec.msgpack.encode(edit))))
    assert outcome.accepted, outcome
    return state


def memory_of_a_voter(folder: Path, body: bytes) -> bytes:
    """A database as a voter leaves it that has forgotten entry 1 behind a snapshot."""
    head = head_of(
        index=1, term=1, stamp_ms=1_700_000_000_000, standings={}, recorded={}, roster=None, remembered=()
    )
    snapshot = snapshot_of(head, body, digest_of(body))
    part = SnapshotPart(1, 0, body, snapshot.encoded_head)

    async def write() -> None:
        store = Store.open(folder)
        written: asyncio.Future[StoreError | None] = asyncio.get_running_loop().create_future()
        job = Persist(1, HardState(1, None, votes=True), None, (), part)
        store.submit(job, lambda _, error: written.set_result(error))
        assert await written is None
        store.close()

    asyncio.run(write())
    return (folder / "cluster.db").read_bytes()


def held_configuration(lab: Lab, name: str) -> bytes:
    return lab[name].run("vipcast", "cluster", "cib").stdout.encode()


def received_bytes(lab: Lab, name: str) -> int:
    return int(lab[name].run("cat", "/sys/class/net/eth0/statistics/rx_bytes").stdout)


def log_of(lab: Lab, name: str) -> str:
    return lab[name].log("vipcastd").read_text()


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(hosts=5, engine="raw") as made:
        yield made


def test_ten_megabytes_reach_a_new_host_over_lossy_links_and_go_on_from_another_leader(
    lab: Lab, tmp_path: Path
) -> None:
    body = big_state(lab.names).freeze()
    assert len(body) > 10_000_000
    for name in WITH_MEMORY:
        lab[name].write_bytes(STATE, memory_of_a_voter(tmp_path / name, body), 0o600)
    lab.start_daemons(WITH_MEMORY)
    lab.await_cluster(30)
    lab.loss(LOSS_PERCENT)
    lab.start_daemon(NEW)
    wait_until(lambda: COMES.search(log_of(lab, NEW)), 30, "a snapshot")
    wait_until(lambda: received_bytes(lab, NEW) > SOME_OF_IT_BYTES, 30, "some of it is there")
    # Who sends it may have changed already, at such a loss: the newest one dies.
    until_now = len(log_of(lab, NEW))
    sender = COMES.findall(log_of(lab, NEW))[-1][0]
    # The three that remain are a majority of five, so that the dead one comes back only when another has
    # gone on: it would be elected again, being the first in rank, and go on itself.
    lab.stop_daemon(sender, signal.SIGKILL)
    already = wait_until(lambda: ALREADY.search(log_of(lab, NEW), until_now), 30, "another leader goes on")
    assert already is not None
    assert already[1] != sender
    assert float(already[3]) > 0.5
    wait_until(lambda: "the state is as of entry" in log_of(lab, NEW), 30, "the snapshot is here")
    lab.start_daemon(sender)
    lab.loss(0)
    lab.await_cluster(30)
    assert held_configuration(lab, NEW) == held_configuration(lab, sender)
