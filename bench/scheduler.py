"""The scheduler beside Pacemaker's `crm_simulate -R` (schedule only): CPU seconds for the same clusters.

Primitives and the instances of a unique clone are planned from the same CIB file.  A unique clone of addresses is
slots on a vipcast cluster, so that is measured too, beside the same figure of the peer.  What the state machine needs
for an entry, which every host applies between two heartbeats, is measured for a lost node and for an edit.
"""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from bench.cibs import Shape, cib
from bench.report import Figure, Report, heading
from daemon.cluster.records import Admit, LogEntry, Lost, Request
from daemon.model.configuration import AttributeSet, Clone, Configuration, Operation, Primitive
from daemon.scheduler import plan
from daemon.scheduler.cibstatus import read_view
from daemon.scheduler.view import OperationView, SlotsView, View
from daemon.state.commands import Edit, Slots
from daemon.state.state import State

PEER = "crm_simulate"
PEER_CPU_VARIABLE = "BENCH_PEER_CPU_S"
PEER_CPU_S = 40
"""the peer is stopped after this much CPU time (BENCH_PEER_CPU_S=200 gives it more)"""
WALL_FACTOR = 10
PROGRAM = (sys.executable, "-m", "daemon.cli.main", "simulate", "--json", "--cib")
SHAPES = (
    Shape("primitives", 16, 500, running=True),
    Shape("primitives", 16, 500, running=False),
    Shape("primitives", 32, 1000, running=True),
    Shape("primitives", 32, 1000, running=False),
    Shape("clone", 4, 256, running=True),
    Shape("clone", 4, 256, running=False),
    Shape("clone", 4, 1024, running=True),
    Shape("clone", 4, 1024, running=False),
)
ALONE = (Shape("clone", 16, 4096, running=True), Shape("clone", 16, 4096, running=False))
"""more than the peer can be asked for"""
REPLAN_GOAL_MS = 20.0
MEMBERS = ("n01", "n02", "n03", "n04")


def measure(report: Report, runs: int) -> None:
    with_peer = shutil.which(PEER) is not None
    bound_s = int(os.environ.get(PEER_CPU_VARIABLE, PEER_CPU_S))
    notes = [f"CPU seconds; {PEER} is stopped after {bound_s} s of them ({PEER_CPU_VARIABLE})"]
    heading(f"Plans beside {PEER} -R", notes if with_peer else [f"no {PEER} here: apt install pacemaker-cli-utils"])
    with tempfile.TemporaryDirectory(prefix="vipcast-bench-") as folder:
        for shape in SHAPES:
            _beside_the_peer(report, runs, shape, Path(folder), bound_s if with_peer else None)
    for shape in ALONE:
        _as_instances_and_slots(report, runs, shape, read_view(cib(shape), 0), None, "")
    heading("What the state machine needs for one entry", ["ms of CPU; a lease is 350 ms, profile fast 130"])
    _state(report, runs)


def _beside_the_peer(report: Report, runs: int, shape: Shape, folder: Path, bound_s: int | None) -> None:
    path = folder / "cib.xml"
    document = cib(shape)
    path.write_text(document)
    peer_s, name = None, ""
    if bound_s is not None:
        peer_s, finished = child_cpu_s((PEER, "-R", "-x", str(path)), folder, bound_s)
        name = PEER if finished else f"{PEER}, stopped"
    view = read_view(document, 0)
    if shape.kind == "clone":
        _as_instances_and_slots(report, runs, shape, view, peer_s, name)
    else:
        samples = _samples(runs, lambda: plan(view))
        report.add(Figure(f"plan: {shape.name}", "s", samples, peer_s, name, goal=peer_s))
    whole, _ = child_cpu_s((*PROGRAM, str(path)), folder, 10 * PEER_CPU_S)
    report.add(Figure("  the whole program, from start to exit", "s", (whole,), peer_s, name))


def _as_instances_and_slots(
    report: Report, runs: int, shape: Shape, view: View, peer_s: float | None, name: str
) -> None:
    """The clone as the file has it, every instance a process, then as the slots of an address."""
    slots = as_slots(view, shape)
    for what, one in (("", view), (", as slots", slots)):
        samples = _samples(runs, lambda one=one: plan(one))  # type: ignore[misc]
        report.add(Figure(f"plan: {shape.name}{what}", "s", samples, peer_s, name, goal=peer_s))


def as_slots(view: View, shape: Shape) -> View:
    """The clone as a vipcast cluster has it: slots in the kernels of its hosts, none with results of operations."""
    hosts = sorted(view.nodes)
    owners = {slot: hosts[slot % len(hosts)] for slot in range(shape.resources)} if shape.running else {}
    looked = tuple(_probe(host, "r", 7, serial) for serial, host in enumerate(hosts, start=1))
    ready = frozenset(hosts) if shape.running else frozenset()
    return replace(view, operations=looked, slots={"r": SlotsView("r", owners)}, ready={"r": ready})


def _probe(host: str, instance: str, exit_code: int, serial: int) -> OperationView:
    return OperationView(host, instance, "monitor", 0, exit_code, "done", 7, serial, 0)


def child_cpu_s(words: Sequence[str], folder: Path, bound_s: int) -> tuple[float, bool]:
    """User and system time of a program, and whether it came to its end; the kernel ends it after `bound_s` of CPU.

    A program that sleeps instead is ended after ten times that.
    """
    with (
        tempfile.TemporaryFile() as sink,
        subprocess.Popen(
            ["prlimit", f"--cpu={bound_s}", *words],
            stdout=sink,
            stderr=sink,
            env={**os.environ, "CIB_shadow_dir": str(folder)},
        ) as child,
    ):
        end = time.monotonic() + WALL_FACTOR * bound_s
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                child.returncode = os.waitstatus_to_exitcode(status)
                return usage.ru_utime + usage.ru_stime, child.returncode == 0
            if time.monotonic() > end:
                child.kill()
                end = float("inf")
            time.sleep(0.01)


def _samples(runs: int, work: Callable[[], object]) -> tuple[float, ...]:
    work()  # once for the caches of imports and patterns
    return tuple(_cpu_s(work) for _ in range(runs))


def _cpu_s(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


# ---- the state machine


def _state(report: Report, runs: int) -> None:
    for slots in (256, 1024):
        settled = _with_slots(slots)
        samples = tuple(_apply_ms(copy.deepcopy(settled), Lost(MEMBERS[-1])) for _ in range(runs))
        report.add(Figure(f"State.apply(Lost), {slots} slots on 4 nodes", "ms", samples, goal=REPLAN_GOAL_MS))
    for resources in (100, 1000):
        settled = _with_primitives(resources)
        edit = _edit(settled.configuration, "again")
        for what, command in (("edit", edit), ("Lost", Lost(MEMBERS[-1]))):
            samples = tuple(_apply_ms(copy.deepcopy(settled), command) for _ in range(runs))
            report.add(Figure(f"State.apply({what}), {resources} primitives on 4 nodes", "ms", samples))
        frozen = settled.freeze()
        for what, work in (("freeze", settled.freeze), ("thaw", lambda data=frozen: State.thaw(data))):
            samples = tuple(1000 * _cpu_s(work) for _ in range(runs))
            size = f"{len(frozen) / 1e6:.1f} MB"
            report.add(Figure(f"State.{what}, {resources} primitives on 4 nodes, {size}", "ms", samples))


def _apply_ms(state: State, command: Admit | Lost | Request) -> float:
    entry = LogEntry(state.index + 1, 1, state.index + 1, command)
    return 1000 * _cpu_s(lambda: state.apply(entry))


def _apply(state: State, command: Admit | Lost | Request) -> None:
    outcome = state.apply(LogEntry(state.index + 1, 1, state.index + 1, command))
    assert outcome.accepted, outcome


def _request(ticket: int, command: Edit | Slots) -> Request:
    return Request(MEMBERS[0], 1, ticket, msgspec.msgpack.encode(command))


def _edit(configuration: Configuration, comment: str) -> Request:
    return _request(
        1_000_000 + len(comment), Edit(None, configuration.model_dump_json().encode(), "bench", comment)
    )


def _admitted() -> State:
    state = State(MEMBERS)
    for member in MEMBERS:
        _apply(state, Admit(member, 1, f"boot-{member}"))
    return state


def _with_slots(count: int) -> State:
    """Every slot open on its owner."""
    state = _admitted()
    options = {"ip": "192.0.2.1", "cidr_netmask": "24", "nic": "eth0", "clusterip_hash": "sourceip"}
    address = Primitive(
        id="VIP",
        standard="ocf",
        provider="heartbeat",
        type="IPaddr2",
        instance=(AttributeSet(id="VIP-options", values=options),),
    )
    meta = {"globally-unique": "true", "clone-max": str(count), "clone-node-max": str(count)}
    clone = Clone(id="VIP-clone", child=address, meta=(AttributeSet(id="VIP-clone-meta", values=meta),))
    for serial, member in enumerate(MEMBERS, start=1):
        state.results.operations[member, "VIP", "monitor", 0] = _probe(member, "VIP", 7, serial)
    _apply(state, _edit(Configuration(resources=(clone,)), "an address"))
    for ticket, (member, what, held) in enumerate(_reports(state, count), start=1):
        _apply(state, _request(ticket, Slots(member, 1, "VIP", what, held)))
    assert len(state.slots["VIP"]) == count
    return state


def _reports(state: State, count: int) -> Iterator[tuple[str, str, dict[int, int]]]:
    """What the hosts' datapaths say while the address comes up."""
    for member in MEMBERS:
        yield member, "ready", {}
    for member in MEMBERS:
        held = {number: slot for number, slot in state.slots["VIP"].items() if slot.holder == member}
        yield member, "opened", {number: slot.generation for number, slot in held.items()}


def _with_primitives(count: int) -> State:
    """Every primitive runs on one node, and is known not to run on the others."""
    state = _admitted()
    resources = tuple(
        Primitive(
            id=f"r{number}",
            standard="ocf",
            provider="heartbeat",
            type="Dummy",
            operations=(Operation(id=f"r{number}-monitor", name="monitor", interval="10s"),),
        )
        for number in range(count)
    )
    for number, resource in enumerate(resources):
        for place, member in enumerate(MEMBERS):
            if number % len(MEMBERS) == place:
                result = OperationView(member, resource.id, "start", 0, 0, "done", 0, number + 1, 0)
            else:
                result = _probe(member, resource.id, 7, number + 1)
            state.results.operations[member, resource.id, result.operation, 0] = result
    _apply(state, _edit(Configuration(resources=resources), "resources"))
    assert not state.plan.actions, state.plan.actions[:5]
    return state
