"""A command that begins a rotation while the disk is still busy with what a member has just offered."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from daemon.cluster import keykeeper
from daemon.cluster.handover import Offer
from daemon.cluster.keydistribution import KeyDistribution
from daemon.cluster.keykeeper import KeyKeeper
from daemon.cluster.keyring import Keyring
from daemon.cluster.refusals import Refusals

OLD, OFFERED, NEW = (bytes([number]) * 32 for number in (1, 2, 3))


class Keeping:
    """A keeper whose disk takes what it is given once `disk` is set."""

    def __init__(self) -> None:
        self.disk = threading.Event()
        self.on_disk = Keyring.of(OLD)
        self.keeper = KeyKeeper(
            KeyDistribution(Keyring.of(OLD), "c", "a1", bytes(16), os.urandom), lambda ring: None, Refusals(), int
        )
        self.keeper.write = self._write

    def _write(self, ring: Keyring) -> None:
        assert self.disk.wait(10)
        self.on_disk = ring

    def be_offered(self, key: bytes) -> None:
        rotation = self.keeper.rotation
        self.keeper.adopt(rotation.offered(Offer(key), 0, rotation.ring.active.mark))


async def _during_the_write(keeping: Keeping, revokes: bool) -> str:
    keeping.be_offered(OFFERED)
    keeper = keeping.keeper
    command = asyncio.create_task(keeper.revoke(NEW, lambda: ()) if revokes else keeper.rotate(NEW))
    await asyncio.sleep(0)
    keeping.disk.set()
    return await command


def test_a_rotation_goes_on_with_the_key_that_was_offered_meanwhile() -> None:
    keeping = Keeping()
    assert asyncio.run(_during_the_write(keeping, revokes=False)) == ""
    assert [one.key for one in keeping.on_disk.keys] == [OLD, OFFERED]


def test_a_revocation_is_not_taken_for_done_where_another_key_was_offered_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keykeeper, "REVOKING_LOOKS", 1)
    monkeypatch.setattr(keykeeper, "REVOKING_LOOK_S", 0)
    assert "a key is being replaced" in asyncio.run(_during_the_write(Keeping(), revokes=True))


def test_a_rotation_begins_after_a_write_that_had_nothing_to_do_with_it() -> None:
    keeping = Keeping()

    async def run() -> str:
        keeping.keeper.adopt(keeping.keeper.rotation.ring.activated(0).with_room())  # nothing new: no write
        keeping.be_offered(b"")  # no key
        keeping.disk.set()
        return await keeping.keeper.rotate(NEW)

    assert asyncio.run(run()) == ""
    assert [one.key for one in keeping.on_disk.keys] == [OLD, NEW]
