"""How fast this host's clock may be made to run, compared with the bound that every lease counts on.

Leases are durations on CLOCK_BOOTTIME, which a time daemon speeds up and slows down like the wall clock: it is never
stepped, but it is slewed (adjtimex(2); Linux, kernel/time/timekeeping.c: all clocks but MONOTONIC_RAW share one
rate).  `timers.drift` is δ with 1+δ = (1+ρ)/(1−ρ); ρ must be at least what the time daemon may do plus what the
crystal is wrong by.

Sources: chrony.conf(5), maxslewrate; ntp.conf(5) and systemd-timesyncd(8) leave slewing to the kernel, which does
500 ppm.  The kernel itself allows 10% to whoever has CAP_SYS_TIME, by its tick.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PPM = 1_000_000
CRYSTAL_PPM = 500
"""no crystal is wrong by more; the kernel corrects no more without changing its tick"""
KERNEL_SLEW_PPM = 500.0
CHRONY_SLEW_PPM = 83_333.333
"""chrony.conf(5), the default of maxslewrate"""
CHRONY_FILES = ("etc/chrony/chrony.conf", "etc/chrony.conf")
FILE_BYTES_MAX = 1 << 20
FILES_MAX = 100
_COMM_CHARACTERS = 15
"""as many of a process' name /proc shows"""
_KERNEL_SLEWERS = ("ntpd", "openntpd", "systemd-timesyncd")


@dataclass(frozen=True, slots=True)
class TimeDaemon:
    name: str
    slew_ppm: float
    """the most by which it makes the clock faster or slower"""
    place: str
    """where that is set"""


@dataclass(frozen=True, slots=True)
class SlewFinding:
    running: bool
    """False: it is configured here, and does not run now"""
    sentence: str


def bound_ppm(drift: float) -> float:
    """ρ of δ."""
    return PPM * drift / (2 + drift)


def drift_for(ppm: float) -> float:
    """The least δ, rounded up to hundredths, that allows for this."""
    rho = ppm / PPM
    return math.ceil(100 * 2 * rho / (1 - rho)) / 100


def findings(drift: float, root: Path = Path("/")) -> list[SlewFinding]:
    """What may make this host's clock run faster or slower than `drift` allows for; empty where nothing may."""
    found = []
    running = _running(root)
    for daemon in time_daemons(root, running):
        needed_ppm = daemon.slew_ppm + CRYSTAL_PPM
        if needed_ppm <= bound_ppm(drift):
            continue
        sentence = (
            f"{daemon.name} may change the clock's rate by {daemon.slew_ppm:g} ppm ({daemon.place}), and"
            f" drift = {drift:g} allows for {max(0.0, bound_ppm(drift) - CRYSTAL_PPM):.0f} ppm: leases of two hosts"
            f" could overlap;"
            f" {_remedy(daemon, drift, needed_ppm)}"
        )
        found.append(SlewFinding(daemon.name[:_COMM_CHARACTERS] in running, sentence))
    return found


def _remedy(daemon: TimeDaemon, drift: float, needed_ppm: float) -> str:
    higher = f"set drift = {drift_for(needed_ppm):g} under [timers], on every host"
    if daemon.name != "chronyd":
        return higher
    return f"set maxslewrate {math.floor(bound_ppm(drift) - CRYSTAL_PPM)} in chrony.conf, or {higher}"


def time_daemons(root: Path, running: frozenset[str]) -> Iterator[TimeDaemon]:
    """Those that are configured here, or run."""
    files = _chrony_files(root)
    if files or "chronyd" in running:
        yield _chrony(root, files)
    for name in _KERNEL_SLEWERS:
        if name[:_COMM_CHARACTERS] in running:
            yield TimeDaemon(name, KERNEL_SLEW_PPM, "the kernel's limit")


def _chrony(root: Path, files: Sequence[Path]) -> TimeDaemon:
    """The last maxslewrate counts, as chronyd reads them."""
    slew, place = CHRONY_SLEW_PPM, "chrony's default for maxslewrate"
    for file in files:
        for number, line in enumerate(_text(file).splitlines(), 1):
            words = line.split()
            if len(words) >= 2 and words[0].lower() == "maxslewrate":
                try:
                    slew = float(words[1])
                except ValueError:
                    continue
                place = f"maxslewrate in /{file.relative_to(root)}:{number}"
    return TimeDaemon("chronyd", slew, place)


def _chrony_files(root: Path) -> list[Path]:
    """The first chrony.conf that there is, and the folders of more that it names (`confdir`, `include`)."""
    main = next((root / name for name in CHRONY_FILES if (root / name).is_file()), None)
    if main is None:
        return []
    files = [main]
    for line in _text(main).splitlines():
        words = line.split()
        if len(words) < 2 or words[0].lower() not in ("confdir", "include"):
            continue
        for word in words[1:]:
            inside = word.lstrip("/")
            pattern = inside if words[0].lower() == "include" else f"{inside}/*.conf"
            with contextlib.suppress(ValueError, NotImplementedError, OSError):
                files += sorted(root.glob(pattern))
    return [file for file in files[:FILES_MAX] if file.is_file()]


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(FILE_BYTES_MAX).decode("utf-8", "replace")
    except OSError:
        return ""


def _running(root: Path) -> frozenset[str]:
    """Names of processes, cut as /proc shows them."""
    return frozenset(_text(comm).strip() for comm in (root / "proc").glob("[0-9]*/comm"))
