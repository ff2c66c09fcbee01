"""The daemon as its control server sees it (`daemon.control.backend.Backend`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from daemon import keys
from daemon.catalogue import Catalogue
from daemon.cluster.clock import boot_ns
from daemon.cluster.core.fencing import FencingRefusedError
from daemon.cluster.core.proposals import TooMuchProposedError
from daemon.cluster.records import LogEntry
from daemon.control import keysdoc, statusdoc
from daemon.control.backend import AgentAnswer, Committed, Conflict, NoQuorum, Outcome, Refused, Unknown
from daemon.control.metrics import MetricsFacts
from daemon.control.quorumdoc import QuorumFacts
from daemon.control.schema import (
    ConfigurationDocument,
    FencingConfirmed,
    KeysDocument,
    LogLine,
    ReloadDocument,
    SettingChange,
    StatusDocument,
    TokenDocument,
)
from daemon.enrolling import Enrolling
from daemon.node import Node
from daemon.reloading import Difference, SettingsFile, refusal
from daemon.scheduler.view import Plan, View
from daemon.settings import Settings, SettingsError
from daemon.state.commands import StateCommand
from daemon.state.outcome import Outcome as Applied
from daemon.state.state import State

LEADER_WITHIN_NS = 3_000_000_000
LEADER_LOOK_S = 0.02


@dataclass(slots=True)
class NodeBackend:
    """Reads from memory; proposals wait for the log."""

    file: SettingsFile
    node: Node
    catalogue: Catalogue
    enrolling: Enrolling

    @property
    def settings(self) -> Settings:
        return self.file.in_force

    def status(self) -> StatusDocument:
        now_ns = boot_ns()
        return statusdoc.build(
            settings=self.settings,
            state=self.node.quorumless.state_in_force(self.node.state),
            core=self.node.core.status(now_ns),
            engine=self.node.addresses.engine.name,
            serving=self.node.addresses.serving,
            counters=self.node.addresses.counters(),
            transport=self.node.transport.statistics() if self.node.transport is not None else None,
            as_of_ns=self.node.core.as_of_ns(self.node.state.index, now_ns),
            now_ns=now_ns,
            lateness=self.node.lateness,
            punctuality=self.node.punctuality,
            alarms=(
                *self.node.quorumless.alarms(),
                *self.node.fencing.alarms(),
                *self.node.silence.alarms(),
                *self.node.operations.alarms(),
                *self.node.addresses.alarms(now_ns),
            ),
            sightings=self.node.addresses.sightings(now_ns),
            cluster_id=self.node.belonging.cluster_id,
            drains_left=self.node.executor.left(self.node.quorumless.state_in_force(self.node.state), now_ns),
        )

    def quorum(self) -> QuorumFacts:
        node, now_ns = self.node, boot_ns()
        return QuorumFacts(
            cluster=self.settings.cluster.name,
            core=node.core.status(now_ns),
            properties=node.quorumless.properties(node.state.configuration),
            heard_all=node.quorumless.heard_all,
            is_overlaid=node.quorumless.overlay is not None,
            view=node.quorumless.state_in_force(node.state).view(),
            fencing_trouble=node.fencing.policy.trouble,
        )

    def metrics(self) -> MetricsFacts:
        transport = self.node.transport
        return MetricsFacts(
            status=self.status(),
            quorum=self.quorum(),
            measures=self.node.measures,
            transport=transport.statistics() if transport is not None else None,
            last_change_ms=self._last_change_ms(),
        )

    def _last_change_ms(self) -> int | None:
        """The state remembers its newest edits also when their entries have left the log."""
        edits = self.node.state.edits
        return edits[-1].stamp_ms if edits else None

    def configuration(self) -> ConfigurationDocument:
        body = self.node.state.configuration.model_dump_json().encode()
        return ConfigurationDocument(self.node.state.configuration_epoch, msgspec.Raw(body))

    async def propose(self, command: StateCommand, timeout_ms: int) -> Outcome:
        if not await self._is_quorate_soon():
            return NoQuorum("this partition has no quorum, so nothing can be changed; see `vipcast status`")
        future: asyncio.Future[tuple[int, Applied, int]] = asyncio.get_running_loop().create_future()

        def done(index: int, outcome: Applied) -> None:
            if not future.done():
                # the epoch as of this entry: by the time that somebody waits no more, another edit may have come,
                # and whoever edits next from its epoch would undo it without having seen it
                future.set_result((index, outcome, self.node.state.configuration_epoch))

        try:
            ticket = self.node.propose(command, done)
        except TooMuchProposedError as error:
            return Refused(str(error))
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                index, outcome, epoch = await future
        except TimeoutError:
            self.node.give_up(ticket)
            return Unknown(
                f"no outcome within {timeout_ms} ms: it may or may not be committed; see `vipcast cluster log`"
            )
        if outcome.accepted:
            return Committed(index, epoch)
        if outcome.conflict:
            return Conflict(epoch)
        return Refused(outcome.sentence, tuple(outcome.findings))

    async def _is_quorate_soon(self) -> bool:
        """An election takes some hundred milliseconds: nobody should have to repeat a command for that."""
        end_ns = boot_ns() + LEADER_WITHIN_NS
        while not self.node.core.status(boot_ns()).quorate:
            if boot_ns() >= end_ns:
                return False
            await asyncio.sleep(LEADER_LOOK_S)
        return True

    def confirm_fenced(self, node: str, author: str) -> FencingConfirmed | Refused:
        try:
            self.node.fencing.confirm(node, author)
        except FencingRefusedError as refusal:
            return Refused(str(refusal))
        return FencingConfirmed(node)

    async def agent(self, name: str) -> AgentAnswer:
        return await self.catalogue.describe(name)

    def join_token(self, ttl_ms: int, uses: int, author: str) -> TokenDocument | Refused:
        return self.enrolling.print_token(ttl_ms, uses, author)

    def keys(self) -> KeysDocument:
        transport = self.node.transport
        return KeysDocument(
            self.settings.node.name,
            keysdoc.keys(transport.keys.rotation, transport.others, int(time.time()))
            if transport is not None
            else (),
        )

    async def rotate_key(self, *, revokes: bool) -> KeysDocument | Refused:
        transport = self.node.transport
        if transport is None:
            return Refused("the daemon is starting; try again in a moment")
        if not await self._is_quorate_soon():
            # each half of a divided cluster would make a key of its own, and none would know the other's
            return Refused("this partition has no quorum, so no key is replaced here; see `vipcast status`")
        key = keys.generate()
        problem = await (transport.keys.revoke(key, transport.present) if revokes else transport.keys.rotate(key))
        return Refused(problem) if problem else self.keys()

    async def reload(self) -> ReloadDocument | Refused:
        try:
            found = await self.file.reload()
        except (SettingsError, keys.KeyFileError) as error:
            return Refused(refusal(error))
        return ReloadDocument(
            node=self.settings.node.name,
            file=str(self.settings.file),
            changed=tuple(_told(difference) for difference in found if difference.is_live),
            waiting=tuple(_told(difference) for difference in found if not difference.is_live),
        )

    def plan(self) -> Plan:
        return self.node.state.plan

    def view(self) -> View:
        return self.node.state.view()

    def log_first_index(self) -> int:
        return self.node.core.first_index

    def log_lines(self, since: int, limit: int) -> Sequence[LogLine]:
        return [self.node.journal.chronicle.line(entry) for entry in self.log_entries(since, limit)]

    def snapshot_at(self, index: int) -> tuple[int, bytes] | None:
        """Where the log still has its very first entry, the state before it is known without any snapshot."""
        for snapshot in reversed(self.node.core.snapshots):
            if snapshot.index <= index:
                return snapshot.index, snapshot.body
        if self.log_first_index() == 1:
            return 0, State(self.settings.cluster.nodes).freeze()
        return None

    def log_entries(self, since: int, limit: int) -> Sequence[LogEntry]:
        return self.node.core.committed_entries(since, limit)


def _told(difference: Difference) -> SettingChange:
    return SettingChange(".".join(difference.key), difference.before, difference.after)
