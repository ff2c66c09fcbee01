"""One host under lease, hit in one of four ways; what it accepted after its deadline."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from datapath.engine import HashKind, SlotState, Wish
from datapath.mac import pack_mac
from tests.netns import actions, raw_runner
from tests.netns.engine_contract import ADDRESS
from tests.netns.leases import echoes, renewing
from tests.netns.moves import steps
from tests.netns.moves.hosts import MAKERS
from tests.netns.segment import CLIENT, VIP, Member, Segment

SHARED = replace(ADDRESS, hash_kind=HashKind.SOURCEIP)
ALL_OPEN = Wish(SHARED, dict.fromkeys(range(SHARED.slots), SlotState.OPEN))
LEASE_MS = 120
PATIENCE_S = 10.0
_READINGS = 20
RENEWED_EVERY_MS = 20
BEFORE_S = 0.06
AFTER_S = 0.06
PAUSE_S = 0.000_05
"""between two requests; the sender comes to some thousands a second"""


@dataclass(frozen=True)
class Outcome:
    """Of one trial; times are ns from the deadline on, those before it negative."""

    accepted: int
    """before the deadline: that anything was accepted at all"""
    last_accepted: int
    """when the last request came that was accepted"""
    late: int
    """requests that came after the deadline and were accepted"""
    last_answered: int
    """when the last answer was at the client"""
    sent_after: int
    """answers that there would have been, by the rate before"""


@dataclass
class Bench:
    kind: str
    segment: Segment
    page: renewing.Page
    page_path: str
    run_dir: str

    @property
    def host(self) -> Member:
        return self.segment.hosts[0]

    def begin_renewing(self) -> None:
        self.page.goes_on = True
        self.host.engine.send(renewing.renew_while_told, self.page_path, LEASE_MS, RENEWED_EVERY_MS)

    def end_renewing(self) -> None:
        self.page.goes_on = False
        self.host.engine.receive()

    def new_engine(self) -> None:
        self.host.engine.call(actions.start_engine, MAKERS[self.kind], self.run_dir)
        self.host.engine.call(actions.apply, [ALL_OPEN])


@contextmanager
def bench_of(kind: str, room: Path) -> Iterator[Bench]:
    with Segment(1) as segment:
        path = str(room / "deadline")
        bench = Bench(kind, segment, renewing.Page(path), path, str(room / "run"))
        host, client = bench.host, segment.client
        host.engine.call(actions.start_engine, MAKERS[kind], bench.run_dir)
        if kind == "raw":
            host.service.call(raw_runner.serve, bench.run_dir)
            host.engine.call(steps.await_forwarder)
        host.engine.call(actions.apply, [ALL_OPEN])
        # the raw engine's forwarder is the filter: behind it is its device
        host.service.call(echoes.stamp_requests, "vipraw" if kind == "raw" else "eth0")
        client.service.call(echoes.stamp_replies, "eth0")
        host.run("ip", "neigh", "replace", CLIENT, "lladdr", _mac_of(client), "nud", "permanent", "dev", "eth0")
        client.engine.call(echoes.start_sending, pack_mac(SHARED.mac), CLIENT, VIP, PAUSE_S)
        try:
            yield bench
        finally:
            client.engine.call(echoes.stop_sending)
            if kind == "raw":
                host.service.call(raw_runner.unserve)


def _mac_of(member: Member) -> str:
    return member.run("cat", "/sys/class/net/eth0/address").strip()


def trial(bench: Bench, way: Callable[[Bench], int], recover: Callable[[Bench], None]) -> Outcome:
    """`way` ends the renewing and returns the deadline (CLOCK_BOOTTIME, ns); `recover` makes the host whole again."""
    _read(bench)
    bench.begin_renewing()
    accepted = _await_traffic(bench)
    time.sleep(BEFORE_S + secrets.randbelow(RENEWED_EVERY_MS) / 1000)
    deadline_ns = way(bench)
    left_s = (deadline_ns - actions.boottime_ns()) / 1e9
    time.sleep(max(0.0, left_s) + AFTER_S)
    recover(bench)
    time.sleep(AFTER_S)
    more, answered = _read(bench)
    accepted += more
    offset = _real_minus_boot_ns()
    from_deadline = [stamp - offset - deadline_ns for stamp in accepted]
    replies = [stamp - offset - deadline_ns for stamp in answered]
    before = [stamp for stamp in from_deadline if stamp < 0]
    rate = len(before) / max(1, before[-1] - before[0]) if before else 0.0
    return Outcome(
        len(before),
        max(from_deadline, default=-(1 << 62)),
        len(from_deadline) - len(before),
        max(replies, default=-(1 << 62)),
        int(rate * 2 * AFTER_S * 1e9),
    )


def _read(bench: Bench) -> tuple[list[int], list[int]]:
    return bench.host.service.call(echoes.read_stamps), bench.segment.client.service.call(echoes.read_stamps)


def _await_traffic(bench: Bench) -> list[int]:
    """What was accepted first: a machine that is busy may take its time."""
    end = time.monotonic() + PATIENCE_S
    while not (accepted := bench.host.service.call(echoes.read_stamps)):
        assert time.monotonic() < end, "nothing is accepted under the lease"
        time.sleep(0.01)
    return accepted


def _real_minus_boot_ns() -> int:
    """By the quickest of some readings: who is interrupted between two clocks compares different moments."""
    readings = []
    for _ in range(_READINGS):
        before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        real = time.clock_gettime_ns(time.CLOCK_REALTIME)
        after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        readings.append((after - before, real - (before + after) // 2))
    return min(readings)[1]


# the ways


def stopped(bench: Bench) -> int:
    bench.host.engine.stop()
    return bench.page.deadline_ns


def continued(bench: Bench) -> None:
    """What it was about to write, it writes now: a deadline that has passed."""
    bench.page.goes_on = False
    bench.host.engine.go_on()
    bench.host.engine.receive()


def killed(bench: Bench) -> int:
    os.kill(bench.host.engine.pid, 9)
    return bench.page.deadline_ns


def started_anew(bench: Bench) -> None:
    bench.page.goes_on = False
    bench.host.restart_engine()
    bench.new_engine()


def frozen(bench: Bench) -> int:
    group = _freezer(bench)
    (group / "cgroup.procs").write_text(str(bench.host.engine.pid))
    (group / "cgroup.freeze").write_text("1")
    end = time.monotonic() + 2
    while "frozen 1" not in (group / "cgroup.events").read_text():
        assert time.monotonic() < end, "the kernel did not freeze the group"
    return bench.page.deadline_ns


def thawed(bench: Bench) -> None:
    group = _freezer(bench)
    bench.page.goes_on = False
    (group / "cgroup.freeze").write_text("0")
    bench.host.engine.receive()
    (_hierarchy() / "cgroup.procs").write_text(str(bench.host.engine.pid))
    group.rmdir()


def written_in_the_past(bench: Bench) -> int:
    bench.end_renewing()
    return bench.host.engine.call(renewing.end_now)


def nothing_more(_bench: Bench) -> None:
    return


WAYS: dict[str, tuple[Callable[[Bench], int], Callable[[Bench], None]]] = {
    "SIGSTOP": (stopped, continued),
    "SIGKILL": (killed, started_anew),
    "frozen cgroup": (frozen, thawed),
    "a deadline in the past": (written_in_the_past, nothing_more),
}


def _freezer(bench: Bench) -> Path:
    group = _hierarchy() / f"vipcast-{os.getpid()}-{bench.kind}"
    group.mkdir(exist_ok=True)
    return group


def _hierarchy() -> Path:
    """Where control groups of version 2 are (cgroups(7)); freezing needs no controller."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    raise AssertionError("no cgroup2 is mounted here: mount -t cgroup2 none /sys/fs/cgroup/unified")
