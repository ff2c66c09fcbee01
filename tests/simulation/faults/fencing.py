"""A power switch for each of two hosts, which the other one may use; and people who pull a plug.

The switch tells the truth: when it says so, the host has been without power since it was asked.  It takes its time,
it fails, its word comes late, and the power comes back at any time: before the word has come, too.  Whoever asked may
have ended, stopped or fallen silent meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from daemon.cluster.core.fencing import FencingRefusedError
from tests.simulation.faults.fault import Fault
from tests.simulation.network import NS_PER_MS

if TYPE_CHECKING:
    from tests.simulation.host import Host, Process
    from tests.simulation.world import World

LOOK_MS = 15
TRIES = 60
"""how often a word that came too early is said again"""


class Fences:
    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = world.rng
        self._asking: set[tuple[str, int]] = set()
        """(host, incarnation) whose switch is at work"""
        self._patience_ms: dict[str, int] = {}
        """how long each waits before it asks: the static delay that keeps the two from shooting at the same time"""
        self._is_over = False

    def begin(self) -> None:
        self._patience_ms = {name: self.rng.choice((0, 30, 200)) for name in self.world.names}
        self.world.at(LOOK_MS * NS_PER_MS, self._look)

    def end(self) -> None:
        self._is_over = True

    def _look(self) -> None:
        if self._is_over:
            return
        for host in self.world.hosts.values():
            self._consider(host)
        self.world.at(LOOK_MS * NS_PER_MS, self._look)

    def _consider(self, host: Host) -> None:
        process = host.process
        if process is None or process.paused or (host.name, process.incarnation) in self._asking:
            return
        presence = process.core.presence(host.local_ns)
        if presence.quorate or not presence.to_fence:
            return
        self._asking.add((host.name, process.incarnation))
        target = presence.to_fence
        newest = process.core.newest_incarnation(target)
        wait_ms = self._patience_ms[host.name] + self.rng.randint(0, 60)
        self.world.at(wait_ms * NS_PER_MS, lambda: self._order(host, process, target, newest))

    def _order(self, host: Host, process: Process, target: str, newest: int) -> None:
        """The switch acts, or does not; either way its word comes later."""
        if host.process is not process:
            return
        works = self.rng.random() < 0.8
        if works:
            self.cut(self.world.hosts[target])
        word_ms = self.rng.choice((1, 20, 100, 300)) * self.rng.random()
        self.world.trace.say(host.name, f"fences {target}: {'done' if works else 'its device fails'}")

        def word() -> None:
            self._asking.discard((host.name, process.incarnation))
            if works:
                self.confirm(host, process, target, newest, "switch", TRIES)

        self.world.at(int(word_ms * NS_PER_MS), word)

    def cut(self, host: Host, for_ms: float | None = None) -> None:
        """No power; it comes back after a while."""
        host.disk.cut_power()
        host.reboot()
        off_ms = self.rng.choice((0, 20, 100, 400, 900)) * self.rng.random() if for_ms is None else for_ms
        self.world.at(int(off_ms * NS_PER_MS), lambda: host.start() if host.process is None else None)

    def confirm(self, host: Host, process: Process, target: str, newest: int, by: str, tries: int) -> None:
        def step(process: Process) -> None:
            try:
                process.core.confirm_fenced(target, newest, by, host.local_ns)
                self.world.counts.fenced += 1
            except FencingRefusedError as refusal:
                self.world.trace.say(host.name, f"does not count {target}: {refusal}")
                again = "a moment ago" in str(refusal) and tries > 0
                if again:
                    later = 10 * NS_PER_MS
                    self.world.at(later, lambda: self.confirm(host, process, target, newest, by, tries - 1))

        host.happen(process, step)

    def person(self, host: Host) -> str:
        """Sees that the other host is down, pulls its plug to be sure, and says so; then plugs it in again."""
        others = [one for one in self.world.hosts.values() if one is not host and not one.is_away]
        process = host.process
        if process is None or process.paused or not others:
            return f"nobody stands before {host.name}"
        target = self.rng.choice(others)
        newest = process.core.newest_incarnation(target.name)
        self.cut(target)
        self.confirm(host, process, target.name, newest, "root", TRIES)
        return f"somebody says on {host.name} that {target.name} is off"


def person(world: World, host: Host) -> str:
    return world.fences.person(host) if world.fences is not None else "nobody is there"


FAULTS = (Fault("somebody pulls a plug", person, weight=8),)
