"""The key ring that is in use: what a rotation makes of it is written to the disk first, and used only then.

A node says in its probes which keys it has, and others go by that: a key that were used and not kept would be gone
with the process, and the node could not come back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection

from daemon.cluster.greeting import Judgement
from daemon.cluster.keydistribution import KeyDistribution
from daemon.cluster.keyring import Keyring, mark_of
from daemon.cluster.refusals import Refusals
from daemon.cluster.seal import Opened
from daemon.keys import KeyFileError

log = logging.getLogger(__name__)

REVOKING_LOOKS = 15
REVOKING_LOOK_S = 0.5
"""together a little longer than somebody who has stopped counts as present (`hearing.GROUP_MISSED_NS`)"""
NOT_KEPT = "the new key could not be written; the daemon's log says why"


class KeyKeeper:
    """`use(ring)` is called on the event loop with each ring that has reached the disk."""

    def __init__(
        self,
        distribution: KeyDistribution,
        use: Callable[[Keyring], None],
        refusals: Refusals,
        clock: Callable[[], int],
    ) -> None:
        self._distribution = distribution
        self.rotation = distribution.rotation
        self.write: Callable[[Keyring], None] = lambda ring: None
        """writes a ring to the disk, in a thread; raises OSError or KeyFileError"""
        self._use = use
        self._refusals = refusals
        self._clock = clock
        self._writing: asyncio.Task[None] | None = None

    async def rotate(self, key: bytes) -> str:
        """Begin to replace the active key by `key`, or go on with the replacement that is on its way.

        Returns once the new key is on this host's disk: "", or why it is not.
        """
        await self._written()
        self.adopt(self.rotation.begun(key))
        await self._written()
        is_on_its_way = self.rotation.ring.pending is not None or self._has(key)
        return "" if is_on_its_way else NOT_KEPT

    async def revoke(self, key: bytes, present: Callable[[], Collection[str]]) -> str:
        """The same, with a key that leaves no way back; `present()` are the members that are heard.

        Whoever could only be told under the old key is a reason against it: "", or that reason.
        """
        for _ in range(REVOKING_LOOKS):
            await self._written()
            if not (problem := self._distribution.against_revoking(present())):
                self.adopt(self.rotation.begun(key, revokes=True))
                await self._written()
                return "" if self._has(key) else NOT_KEPT  # another key that follows revokes nothing, perhaps
            await asyncio.sleep(REVOKING_LOOK_S)  # who has just started or stopped is none in a moment
        return problem

    async def _written(self) -> None:
        """What is on its way to the disk now is there, or has failed."""
        if self._writing is not None:
            await asyncio.wait([self._writing])

    def _has(self, key: bytes) -> bool:
        return self.rotation.ring.find(mark_of(key)) is not None

    def heard_key(self, mark: bytes) -> None:
        """A member seals with the key of this mark."""
        self.adopt(self.rotation.sealed_with(mark, int(time.time())))

    def take(self, opened: Opened, judgement: Judgement) -> None:
        """One who may hand over keys has said this."""
        self.adopt(self._distribution.taken(opened, judgement, int(time.time())))

    def look_around(self, present: Collection[str]) -> None:
        """Do what is due; `present` are the members that are heard."""
        self.adopt(self.rotation.due(present, int(time.time())))

    def adopt(self, ring: Keyring) -> None:
        """Use a ring once it is on the disk.  One at a time: what is due then is due at the next look again."""
        if ring == self.rotation.ring or (self._writing is not None and not self._writing.done()):
            return
        self._writing = asyncio.get_running_loop().create_task(self._keep(ring), name="keep keys")

    async def _keep(self, ring: Keyring) -> None:
        try:
            await asyncio.to_thread(self.write, ring)
        except (OSError, KeyFileError) as error:
            line = self._refusals.note("key-not-kept", "this host", self._clock(), str(error))
            if line is not None:
                log.error("the cluster's keys cannot be written, so they stay as they are: %s", error)
            return
        lines = list(self._distribution.kept(ring))
        self._use(ring)
        for line in lines:
            log.info("keys: %s", line)
