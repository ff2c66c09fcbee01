"""Of two nodes, the one that is left has the other one's power cut, and says so to the core.  Pure.

Theory of operation.  A device is a resource of the class `stonith`.  It names the hosts whose power it can cut
(`pcmk_host_list`, `pcmk_host_map`); one that names none is not used, for it might be this host's own.  Once the peer
is not heard for as long as a leader waits before it declares a node lost, and its vote would count if it were fenced
(`core.fencing`), a device is asked: of those that name the peer the one of the highest priority, then the next, then
all over again after a pause that doubles.  `pcmk_delay_base` holds it back first: with it on the device against the
host that shall survive, two hosts that only cannot hear each other do not shoot at the same time.

    peer silent ─ loss_after + delay ─► device: off | reboot ─► done ─► the core is told, until it counts
                                            └ failed ─ pause ─► the next device

A peer that was stopped by intention is not shot: whoever stopped it may sit before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from daemon.cluster.core.presence import Presence
from daemon.cluster.timers import NS_PER_MS, Timers
from daemon.definition import meta_of, parameters_of
from daemon.model.configuration import Configuration, Primitive
from daemon.model.precedence import merged
from daemon.model.values import BadValue, parse_duration_ms, parse_integer
from daemon.state.state import State

PAUSE_FIRST_NS = 1_000 * NS_PER_MS
PAUSE_NS_MAX = 60_000 * NS_PER_MS
TIMEOUT_MS = 60_000
"""of a device where nothing is said (pacemaker-fenced(7), stonith-timeout)"""
ACTION = "reboot"


@dataclass(frozen=True, slots=True)
class Device:
    resource: str
    agent: str
    parameters: Mapping[str, str]
    """all of them, pcmk_… too"""
    plugs: Mapping[str, str]
    """host → what the device calls it"""
    priority: int = 0

    def delay_ms(self, host: str) -> int:
        """`5s` for all, or `a1:5s;a2:0s`."""
        text = self.parameters.get("pcmk_delay_base", "")
        for part in text.replace(";", " ").split():
            name, colon, delay = part.rpartition(":")
            if not colon or name == host:
                return _duration_ms(delay, 0)
        return 0

    def told(self, host: str) -> dict[str, str]:
        """Its parameters, with the host named as agents want it (FenceAgentAPI: `plug`, of old `port`)."""
        argument = self.parameters.get("pcmk_host_argument", "")
        names = () if argument == "none" else (argument,) if argument else ("plug", "port")
        named = dict.fromkeys(names, self.plugs[host])
        return {**named, **self.parameters, "nodename": host}


@dataclass(frozen=True, slots=True)
class Order:
    """Run this: cut the power of `target`."""

    target: str
    incarnation: int
    """the newest process of the target that was known when this was decided"""
    device: Device
    action: str
    timeout_ms: int

    @property
    def by(self) -> str:
        return f"{self.device.resource} ({self.device.agent})"


@dataclass(frozen=True, slots=True)
class Word:
    """The power of `target` was cut: to be told to the core until it takes that."""

    target: str
    incarnation: int
    by: str


def devices(configuration: Configuration) -> Iterator[Device]:
    for resource in configuration.walk():
        if not isinstance(resource, Primitive) or resource.standard != "stonith":
            continue
        meta = meta_of(configuration, resource.id)
        if meta.get("target-role", "").lower() == "stopped":
            continue
        parameters = parameters_of(configuration, resource)
        yield Device(
            resource=resource.id,
            agent=resource.agent,
            parameters=parameters,
            plugs=_plugs(parameters),
            priority=_integer(meta.get("priority", "0")),
        )


def devices_against(host: str, configuration: Configuration) -> list[Device]:
    """In the order in which they are tried."""
    found = [device for device in devices(configuration) if host in device.plugs]
    return sorted(found, key=lambda device: (-device.priority, device.resource))


def needs_several(configuration: Configuration) -> bool:
    """A fencing level with two devices is a host with two power supplies: either alone proves nothing."""
    return any("," in level.devices for level in configuration.fencing)


def _plugs(parameters: Mapping[str, str]) -> dict[str, str]:
    listed = parameters.get("pcmk_host_list", "").replace(",", " ").replace(";", " ").split()
    plugs = {host: host for host in listed}
    for part in parameters.get("pcmk_host_map", "").replace(";", " ").split():
        host, colon, plug = part.partition(":")
        if colon:
            plugs[host] = plug
    return plugs


def _integer(text: str) -> int:
    try:
        return parse_integer(text)
    except BadValue:
        return 0


def _duration_ms(text: str, default: int) -> int:
    try:
        return parse_duration_ms(text) if text else default
    except BadValue:
        return default


class Fencing:
    """`look` each time that something has happened or time has passed; `ended` when an order has."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._target = ""
        self._since_ns = 0
        self._next_ns = 0
        self._pause_ns = PAUSE_FIRST_NS
        self._tried = 0
        self._running: Order | None = None
        self.word: Word | None = None
        self.trouble = ""
        """why the peer is not fenced yet, for people; empty: nothing is wrong"""

    def look(self, state: State, presence: Presence, newest_incarnation: int, now_ns: int) -> Order | None:
        """`newest_incarnation`: of `presence.to_fence`, as the core knows it."""
        target = "" if presence.quorate else presence.to_fence
        if not target:
            self._target, self.trouble = "", ""
            self.word = None
            return None
        if target != self._target:
            self._begin(target, now_ns)
        if self.word is not None and newest_incarnation > self.word.incarnation:
            self.word = None  # it has started again since, and is gone again: the word says nothing about that
        if (
            self._running is not None
            or self.word is not None
            or now_ns < self._since_ns + self._timers.loss_after_ns
        ):
            return None
        if self._was_stopped(state, now_ns):
            return None
        if needs_several(state.configuration):
            self.trouble = (
                f"{target} is not fenced: a fencing level names several devices, of which one would leave a host with"
                f" power, and levels are not carried out; cut its power and say so: vipcast stonith confirm {target}"
            )
            return None
        found = devices_against(target, state.configuration)
        if not found:
            self.trouble = (
                f"no device is configured that fences {target} (class stonith, pcmk_host_list={target});"
                f" once its power is off, say so: vipcast stonith confirm {target}"
            )
            return None
        device = found[self._tried % len(found)]
        if now_ns < max(self._next_ns, self._due_ns(device)):
            return None
        values = merged(state.configuration.properties)
        action = values.get("stonith-action", ACTION)
        action = "off" if action == "poweroff" else action
        timeout = device.parameters.get(f"pcmk_{action}_timeout") or values.get("stonith-timeout", "")
        self._running = Order(target, newest_incarnation, device, action, _duration_ms(timeout, TIMEOUT_MS))
        return self._running

    def _begin(self, target: str, now_ns: int) -> None:
        self._target, self._since_ns = target, now_ns
        self._tried, self._next_ns, self._pause_ns = 0, 0, PAUSE_FIRST_NS
        self.trouble = ""

    def _due_ns(self, device: Device) -> int:
        return self._since_ns + self._timers.loss_after_ns + device.delay_ms(self._target) * NS_PER_MS

    def _was_stopped(self, state: State, now_ns: int) -> bool:
        node = state.nodes.get(self._target)
        if node is None:
            return False
        if node.leaving:
            self.trouble = (
                f"{self._target} was stopped by intention and is not fenced; start it, or once its power is off say"
                f" so: vipcast stonith confirm {self._target}"
            )
            return True
        over_ns = self._since_ns + self._timers.restart_over_after_ns(self._timers.restart_ms)
        return node.restarting and now_ns < over_ns

    def ended(self, order: Order, is_done: bool, reason: str, now_ns: int) -> None:
        if self._running is order:
            self._running = None
        if order.target != self._target:
            return
        if is_done:
            self.word = Word(order.target, order.incarnation, order.by)
            self.trouble = ""
            return
        self._tried += 1
        self._next_ns = now_ns + self._pause_ns
        self._pause_ns = min(2 * self._pause_ns, PAUSE_NS_MAX)
        self.trouble = (
            f"{order.by} could not fence {order.target} (attempt {self._tried}): {reason or 'it gave no reason'}"
        )

    def refused(self, reason: str) -> None:
        """The core did not take the word yet."""
        self.trouble = reason

    def deadline_ns(self, state: State, now_ns: int) -> int | None:
        """When `look` wants to be called although nothing has changed."""
        if not self._target or self._running is not None:
            return None
        if self.word is not None:
            return now_ns + self._timers.heartbeat_ns
        dues = [
            max(self._next_ns, self._due_ns(device))
            for device in devices_against(self._target, state.configuration)
        ]
        later = [due_ns for due_ns in dues if due_ns > now_ns]
        return min(later, default=None)
