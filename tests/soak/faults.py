"""What is done to a host or to the network, and how it is undone.  Each pair leaves the laboratory as it was."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from dataclasses import dataclass

from tests.lab import Lab, wait_until

GRANTED_S = 40.0

Deed = Callable[[Lab, str], None]


@dataclass(frozen=True)
class Fault:
    """`begin` and `end` take the laboratory and the host that was drawn."""

    name: str
    begin: Deed
    end: Deed
    of_network: bool = False
    """repairing one repairs all of its kind: only one of them at a time"""
    by_quorum: bool = False
    """its end needs a cluster that answers: it comes after the ends of all others"""


def _kill(lab: Lab, name: str) -> None:
    lab.stop_daemon(name, signal.SIGKILL)


def _stop(lab: Lab, name: str) -> None:
    lab.stop_daemon(name)


def _start(lab: Lab, name: str) -> None:
    lab.start_daemon(name)


def _boot(lab: Lab, name: str) -> None:
    lab.boot(name)
    lab.start_daemon(name)


def _heal(lab: Lab, _name: str) -> None:
    lab.heal()


def _lose_nothing(lab: Lab, _name: str) -> None:
    lab.loss(0)


def _part(lab: Lab, name: str) -> None:
    lab.partition([name], [other for other in lab.names if other != name])


def _part_in_halves(lab: Lab, name: str) -> None:
    others = [other for other in lab.names if other != name]
    lab.partition([name, others.pop()], others)


def _asked(line: str) -> Deed:
    """Typed on the host itself; without quorum it may be refused, and then says why."""

    def typed(lab: Lab, name: str) -> None:
        done = lab[name].vipcast(line.format(name=name))
        assert done.returncode == 0 or (done.returncode == 1 and "Error" in done.stderr), done

    return typed


def _insisted(line: str) -> Deed:
    """The same, until it is granted, or said that it has never been otherwise."""

    def typed(lab: Lab, name: str) -> None:
        def granted() -> bool:
            done = lab[name].vipcast(line.format(name=name))
            return done.returncode == 0 or "is not drained" in done.stderr

        wait_until(granted, GRANTED_S, line.format(name=name), interval_s=0.5)

    return typed


def _stopped(program: str) -> Deed:
    return lambda lab, name: lab.daemons[name][program].stop()


def _continued(program: str) -> Deed:
    return lambda lab, name: lab.daemons[name][program].cont()


def _rules_flushed(lab: Lab, name: str) -> None:
    lab[name].shell("nft flush ruleset; sysctl -q net.ipv4.conf.all.arp_ignore=0").check()


def _nothing(_lab: Lab, _name: str) -> None:
    """The daemon mends it."""


FAULTS = (
    Fault("the daemon is killed", _kill, _start),
    Fault("the daemon is stopped", _stop, _start),
    Fault("the host loses its power", Lab.kill, _boot),
    Fault("the host hangs", lambda lab, name: lab[name].stop(), lambda lab, name: lab[name].cont()),
    Fault("the daemon hangs", _stopped("vipcastd"), _continued("vipcastd")),
    Fault("the runner hangs", _stopped("vipcast-runner"), _continued("vipcast-runner")),
    Fault("the cable is pulled", Lab.unplug, Lab.plug),
    Fault("it hears nobody", Lab.deafen, _heal, of_network=True),
    Fault("nobody hears it", Lab.mute, _heal, of_network=True),
    Fault("it is alone", _part, _heal, of_network=True),
    Fault("two and two", _part_in_halves, _heal, of_network=True),
    Fault("a fifth of its frames is lost", lambda lab, name: lab.loss(20, name), _lose_nothing, of_network=True),
    Fault("it is drained", _asked("drain node {name}"), _insisted("undrain node {name}"), by_quorum=True),
    Fault("it is in standby", _asked("node standby {name}"), _insisted("node unstandby {name}"), by_quorum=True),
    Fault("it is silenced", _asked("panic"), _insisted("panic off")),
    Fault("somebody flushes its rules", _rules_flushed, _nothing),
)


@dataclass
class Trouble:
    """A fault that has begun."""

    fault: Fault
    host: str


def draw(chance: random.Random, lab: Lab, present: list[Trouble]) -> Trouble | None:
    """One more trouble, on a host that has none; None where the faults there are allow no other."""
    hosts = [name for name in lab.names if name not in {trouble.host for trouble in present}]
    faults = [fault for fault in FAULTS if not fault.of_network or not any(t.fault.of_network for t in present)]
    return Trouble(chance.choice(faults), chance.choice(hosts)) if hosts else None
