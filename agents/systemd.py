"""systemd units as resources (`systemd:nginx`), through systemctl(1) in child processes.

What a unit's states mean follows Pacemaker: active and reloading units run; inactive and failed ones do not (a unit
that failed long ago is no failure of a probe); what is on its way to either is waited for.  While the cluster runs
a unit, systemd knows of it (agents.unit_order).
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from agents import process, unit_order
from agents.ocf import PATH, ExitCode

log = logging.getLogger("vipcast.runner")

STANDARD = "systemd"
BOOTED = Path("/run/systemd/system")
"""there where systemd is the service manager (sd_booted(3))"""
SETTLE_LOOK_S = 0.2
UNIT_CHARACTERS_MAX = 255

_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]+")
_SUFFIXES = (".service", ".socket", ".mount", ".timer", ".path")
_ENVIRONMENT = {"PATH": PATH, "LC_ALL": "C", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}
_PROPERTIES = ("LoadState", "ActiveState", "SubState", "Result")


class UnitNameError(ValueError):
    """No name of a unit; the text says what to write."""


def unit_of(agent: str) -> str:
    """`systemd:nginx` → `nginx.service`; `systemd:data.mount` → `data.mount`.  Raises UnitNameError."""
    name = agent.removeprefix(f"{STANDARD}:")
    unit = name if name.endswith(_SUFFIXES) else f"{name}.service"
    if not _UNIT.fullmatch(name) or name.startswith((".", "-")) or len(unit) > UNIT_CHARACTERS_MAX:
        raise UnitNameError(f"{name!r} is no name of a systemd unit; write systemd:UNIT, for example systemd:nginx")
    if "@." in unit:
        raise UnitNameError(f"{unit} is a template; name an instance of it, for example {name.split('@')[0]}@one")
    return unit


@dataclass(frozen=True, slots=True)
class UnitState:
    """What `systemctl show` says (org.freedesktop.systemd1(5))."""

    load: str
    active: str
    sub: str = ""
    result: str = ""

    @property
    def is_settled(self) -> bool:
        return self.active not in ("activating", "deactivating")

    @property
    def runs(self) -> bool:
        return self.active in ("active", "reloading", "refreshing")

    @property
    def is_stopped(self) -> bool:
        return self.active in ("inactive", "failed")

    def __str__(self) -> str:
        said = self.active if self.sub in ("", self.active) else f"{self.active} ({self.sub})"
        return f"{said}, result {self.result}" if self.result not in ("", "success") else said


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an operation on a unit ended, in the words of `agents.protocol.Finished`."""

    exit_code: ExitCode
    status: str = "done"
    reason: str = ""
    output: str = ""


def state_of(shown: str) -> UnitState:
    """From the lines `Property=value` of `systemctl show`."""
    values = dict(line.partition("=")[::2] for line in shown.splitlines() if "=" in line)
    load, active, sub, result = (values.get(name, "") for name in _PROPERTIES)
    return UnitState(load, active, sub, result)


def cannot_be_used(unit: str, state: UnitState) -> Outcome | None:
    """For a unit that this host does not have, or that is broken or switched off; None where it can be used."""
    if state.load in ("loaded", "merged"):
        return None
    why = {
        "not-found": "is not installed on this host",
        "masked": "is masked on this host (systemctl unmask it)",
        "error": "cannot be loaded; 'systemd-analyze verify' says why",
        "bad-setting": "has a bad setting; 'systemd-analyze verify' says which",
    }.get(state.load, f"cannot be used: its load state is {state.load or 'unknown'}")
    if state.runs:
        return None  # its file is gone, but it runs: it can still be watched and stopped
    return Outcome(ExitCode.NOT_INSTALLED, "not-installed", f"unit {unit} {why}")


def verdict(unit: str, operation: str, state: UnitState) -> Outcome:
    """What a settled state means at the end of `operation`."""
    if operation == "start":
        return _expect(state.runs, f"{unit} did not start: it is {state}")
    if operation == "stop":
        return _expect(state.is_stopped, f"{unit} did not stop: it is {state}")
    if state.runs:
        return Outcome(ExitCode.OK)
    if state.is_stopped:
        return Outcome(ExitCode.NOT_RUNNING, reason=f"{unit} is {state}" if state.active == "failed" else "")
    return Outcome(ExitCode.ERROR, reason=f"{unit} is {state}")


def _expect(right: bool, otherwise: str) -> Outcome:
    return Outcome(ExitCode.OK) if right else Outcome(ExitCode.ERROR, reason=otherwise)


def metadata(unit: str, description: str = "") -> str:
    """Meta-data in the form of OCF: no options, and the times that Pacemaker advises for units."""
    return f"""<?xml version="1.0"?>
<resource-agent name={quoteattr(unit)} version="0.1">
  <version>1.1</version>
  <longdesc lang="en">{escape(description or f"systemd unit file for {unit}")}</longdesc>
  <shortdesc lang="en">systemd unit file for {escape(unit)}</shortdesc>
  <parameters/>
  <actions>
    <action name="start" timeout="100s"/>
    <action name="stop" timeout="100s"/>
    <action name="status" timeout="100s"/>
    <action name="monitor" timeout="100s" interval="60s"/>
    <action name="meta-data" timeout="5s"/>
  </actions>
</resource-agent>
"""


def is_booted() -> bool:
    """Is systemd the service manager of this host?"""
    return BOOTED.is_dir()


async def run(agent: str, operation: str, timeout_s: float) -> Outcome:
    """Carry out one operation on a unit, within `timeout_s`.  Never raises but CancelledError."""
    try:
        unit = unit_of(agent)
    except UnitNameError as error:
        return Outcome(ExitCode.NOT_CONFIGURED, "error", str(error))
    if not is_booted():
        reason = f"{agent} cannot be run: systemd is not the service manager of this host ({BOOTED} is missing)"
        return Outcome(ExitCode.NOT_INSTALLED, "not-installed", reason)
    deadline = time.monotonic() + timeout_s
    try:
        return await _operate(unit, operation, deadline)
    except TimeoutError:
        return Outcome(ExitCode.ERROR, "timeout", f"{operation} of {unit} did not end within {timeout_s:g} s")
    except OSError as error:
        return Outcome(
            ExitCode.NOT_INSTALLED,
            "not-installed",
            f"{agent} cannot be run: systemctl: {(error.strerror or str(error)).lower()}",
        )


async def _operate(unit: str, operation: str, deadline: float) -> Outcome:
    if operation not in ("start", "stop", "monitor", "status", "meta-data"):
        return Outcome(ExitCode.UNIMPLEMENTED, reason=f"a systemd unit has no operation {operation}")
    state = await _show(unit, deadline)
    if isinstance(state, Outcome):
        return state
    if (unusable := cannot_be_used(unit, state)) is not None:
        # what is not there does not run either: it is stopped
        return Outcome(ExitCode.OK) if operation == "stop" else unusable
    if operation == "meta-data":
        return Outcome(ExitCode.OK, output=metadata(unit))
    if operation in ("start", "stop"):
        await _order(unit, operation, deadline)
        ended = await _systemctl((operation, "--", unit), deadline)
        if ended.exit_code != 0:
            reason = _said(ended.error_output) or f"systemctl {operation} {unit} failed"
            return Outcome(ExitCode.ERROR, reason=reason, output=ended.error_output)
    while True:
        state = await _show(unit, deadline)
        if isinstance(state, Outcome):
            return state
        if state.is_settled:
            return verdict(unit, operation, state)
        if time.monotonic() >= deadline:
            raise TimeoutError
        await asyncio.sleep(SETTLE_LOOK_S)


async def _order(unit: str, operation: str, deadline: float) -> None:
    """Have systemd know whose unit this is; where it cannot be told, the operation goes on all the same."""
    try:
        is_news = unit_order.claim(unit) if operation == "start" else unit_order.release(unit)
    except OSError as error:
        log.warning("%s cannot be ordered beside vipcastd.service: %s", unit, error.strerror or error)
        return
    if is_news:
        ended = await _systemctl(("daemon-reload",), deadline)
        if ended.exit_code != 0:
            log.warning("systemctl daemon-reload, for %s: %s", unit, _said(ended.error_output))


async def _show(unit: str, deadline: float) -> UnitState | Outcome:
    ended = await _systemctl(("show", f"--property={','.join(_PROPERTIES)}", "--", unit), deadline)
    if ended.exit_code != 0:
        return Outcome(ExitCode.ERROR, reason=_said(ended.error_output) or f"systemctl show {unit} failed")
    return state_of(ended.output)


def _said(error_output: str) -> str:
    """systemctl gives the reason first, and then says where to read more."""
    return next((line.strip() for line in error_output.splitlines() if line.strip()), "")


async def _systemctl(words: tuple[str, ...], deadline: float) -> process.Ended:
    """Raises TimeoutError, and OSError where there is no systemctl."""
    environment: Mapping[str, str] = _ENVIRONMENT
    left_s = max(0.01, deadline - time.monotonic())
    ended = await process.run(("systemctl", "--no-pager", "--no-ask-password", *words), environment, left_s)
    if ended.timed_out:
        raise TimeoutError
    return ended
