"""Of the host itself: room on the disk, the clock, being scheduled in time, the kernel, settings that others make."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from pathlib import Path

from daemon import realtime, slew
from daemon.doctor.complaint import Complaint
from daemon.settings import Settings
from datapath import select

FREE_BYTES = 64 << 20
"""the log and two snapshots of ten megabytes, and as much again while one is written"""
FREE_PART = 0.03
_UNSYNCHRONISED = 0x40  # STA_UNSYNC, linux/timex.h
_TIMEX_BYTES = 208
_TIMEX_STATUS = 40  # offset of `status` on 64-bit machines, linux/timex.h
SYSCTL_FOLDERS = ("etc/sysctl.d", "run/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d", "lib/sysctl.d")
"""sysctl.d(5); /etc/sysctl.conf is read last"""
_OURS = re.compile(
    r"^\s*-?net[./]ipv4[./]conf[./]\S+[./](arp_ignore|arp_announce|drop_unicast_in_l2_multicast)\s*=\s*(\d+)"
)


def disk(settings: Settings) -> Iterator[Complaint]:
    """Room for the log."""
    path = settings.paths.state
    while not path.exists() and path != path.parent:
        path = path.parent
    told = os.statvfs(path)
    free, whole = told.f_bavail * told.f_frsize, told.f_blocks * told.f_frsize
    if free < FREE_BYTES or free < whole * FREE_PART:
        yield Complaint(
            "disk",
            "error" if free < FREE_BYTES // 4 else "warning",
            f"{path} has {free >> 20} MiB left of {whole >> 20}",
            "when it is full this node takes no changes and cannot lead; what it serves goes on",
            f"du -xh --max-depth=2 {path} | sort -h | tail   # and remove what is not needed",
        )
    if told.f_favail == 0 and told.f_files:
        yield Complaint(
            "disk", "error", f"{path} has no inode left", "as a full disk", "remove files that nobody needs"
        )


def clock(settings: Settings, root: Path = Path("/")) -> Iterator[Complaint]:
    """Leases bear what a time daemon does to the clock's rate; logs and dates bear what it shows."""
    for found in slew.findings(settings.timers.drift, root):
        sentence, _, remedy = found.sentence.rpartition("; ")
        yield Complaint(
            "clock",
            "error" if found.running else "warning",
            sentence,
            "two hosts may answer for one slot while clocks are made to run apart",
            remedy,
        )
    if _clock_is_unsynchronised():
        yield Complaint(
            "clock",
            "warning",
            "no time daemon keeps this host's clock right",
            "leases do not need it; logs of different hosts cannot be compared, rules with dates hold at wrong times",
            "apt install chrony",
        )


def _clock_is_unsynchronised() -> bool:
    """adjtimex(2), reading only."""
    buffer = (ctypes.c_char * _TIMEX_BYTES)()
    if ctypes.CDLL(None, use_errno=True).adjtimex(buffer) < 0:
        return False
    return bool(int.from_bytes(buffer.raw[_TIMEX_STATUS : _TIMEX_STATUS + 4], "little") & _UNSYNCHRONISED)


def real_time(settings: Settings) -> Iterator[Complaint]:
    """Whether a process like this one may be SCHED_RR; it is ordinary again afterwards."""
    if settings.realtime.scheduling == "off":
        return
    if os.geteuid() != 0:
        yield Complaint("real-time", "unchecked", "needs root, or a running daemon")
        return
    refused = realtime.schedule_round_robin(0)
    if refused is None:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        return
    yield Complaint(
        "real-time",
        "warning",
        refused,
        "a busy host is late with its heartbeats; its lease is longer for that, and its loss noticed later",
        "systemctl edit vipcastd   # LimitRTPRIO=1; in a container also CAP_SYS_NICE and a share of cpu.rt_runtime_us",
    )


def kernel(settings: Settings) -> Iterator[Complaint]:
    """What the engine of the settings needs."""
    if settings.node.witness:
        return
    if os.geteuid() != 0:
        yield Complaint("kernel", "unchecked", "needs root")
        return
    wanted = settings.datapath.engine
    lacks = {
        name: why for name, why in (("bpf", select.missing_for_bpf()), ("nft", select.missing_for_nft())) if why
    }
    if wanted in lacks:
        yield Complaint(
            "kernel",
            "error",
            f"the engine {wanted} cannot work here: {lacks[wanted]}",
            "vipcastd does not start",
            'engine = "auto" below [datapath] in vipcast.toml',
        )
    elif wanted == "auto" and len(lacks) == 2:
        told = "; ".join(f"{name}: {why}" for name, why in lacks.items())
        yield Complaint(
            "kernel",
            "warning",
            f"neither bpf nor nft can work here ({told})",
            "the engine raw moves packets in a process, at a tenth of the speed",
            "a kernel with nf_tables; see the guide, installation",
        )


def sysctls(_settings: Settings, root: Path = Path("/")) -> Iterator[Complaint]:
    """Files that set what vipcastd sets, and to something else: each run of `sysctl --system` undoes it."""
    files = [file for folder in SYSCTL_FOLDERS for file in sorted((root / folder).glob("*.conf"))]
    for file in (*files, root / "etc/sysctl.conf"):
        try:
            lines = file.read_text(errors="replace").splitlines()
        except OSError:
            continue
        for number, line in enumerate(lines, 1):
            found = _OURS.match(line)
            if found is None or int(found[2]) >= {"arp_announce": 2}.get(found[1], 1):
                continue
            yield Complaint(
                "sysctl",
                "warning",
                f"/{file.relative_to(root)}:{number} sets {found[1]} to {found[2]}",
                "whenever it is loaded, a host may tell its own MAC for a shared address until vipcastd mends it",
                f"sed -i '{number}s/^/# /' /{file.relative_to(root)}",
            )
