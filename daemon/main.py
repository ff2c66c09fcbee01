"""`vipcastd`: one per host.  The only place that knows all the parts."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import signal
import sys
from functools import partial
from pathlib import Path

from agents import journald, notify
from daemon import bootmark, places, realtime, settings, slew, statusline, suicide
from daemon.backend import NodeBackend
from daemon.catalogue import Catalogue
from daemon.cluster.clock import boot_ns, kernel_boot_id
from daemon.cluster.core.core import Core
from daemon.cluster.keyring import Keyring
from daemon.cluster.store import Store, StoreDamagedError, StoreError, StoreInUseError
from daemon.cluster.transport import Transport
from daemon.control.access import Access
from daemon.control.events import EventHub
from daemon.control.server import ControlServer
from daemon.control.socketfile import SocketFileError
from daemon.ending import Cause, Ending
from daemon.enrolling import Enrolling
from daemon.executor import Executor
from daemon.executor.fencing import Fencing
from daemon.executor.holds import HoldDuty
from daemon.executor.quorumless import Quorumless
from daemon.fencing import FencingShell
from daemon.hands import Hands
from daemon.journal import Journal
from daemon.keys import KeyFileError, write_ring
from daemon.measures import Measures
from daemon.node import Node
from daemon.operations import Operations
from daemon.panic import PanicFile
from daemon.reloading import SettingsFile
from daemon.state.frozen import ThawError
from daemon.state.state import State
from datapath.engine import DatapathError, Reconciles
from datapath.host import privileged

log = logging.getLogger("vipcast")

LOG_TO_FILE = "%(asctime)s %(levelname)s %(name)s: %(message)s"
EXIT_CONFIG = 78
"""sysexits(3), EX_CONFIG: systemd does not try again what only a person can mend"""
EXIT_SUICIDE = 79
"""no-quorum-policy=suicide: systemd starts it again, as a new process that runs nothing before it is admitted"""
DRAIN_TIMEOUT_MS = 60_000

_EXIT = {Cause.FAULT: 1, Cause.DISMISSED: EXIT_CONFIG, Cause.SUICIDE: EXIT_SUICIDE}


def options_parser() -> argparse.ArgumentParser:
    """What the program takes; the manual page is made from it."""
    parser = argparse.ArgumentParser(prog="vipcastd", description="Serves shared IP addresses on this host.")
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"default: {settings.DEFAULT_FILE}")
    parser.add_argument(
        "--witness", action="store_true", help="vote and keep the log, but serve nothing: needs no root"
    )
    parser.add_argument("--check", action="store_true", help="read the settings, say what is wrong, and end")
    parser.add_argument("--verbose", action="store_true", help="say more")
    return parser


def main() -> int:
    signal.signal(
        signal.SIGHUP, signal.SIG_IGN
    )  # until it is the one to reload: systemd takes an end by it for meant
    options = options_parser().parse_args()
    own = places.of_this_user(os.environ) if options.witness else places.SYSTEM
    file: Path = options.config or own.settings
    if options.check:
        return _check(file, witness=options.witness)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format=LOG_TO_FILE,
        handlers=journald.handlers(os.environ, "vipcastd"),
    )
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    if (why := realtime.forbidden_namespace(os.environ)) is not None:
        print(f"vipcastd: {why}", file=sys.stderr)
        return EXIT_CONFIG
    try:
        configured = settings.load(file, witness=options.witness)
        ring = configured.keyring()
    except settings.SettingsError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIG
    except KeyFileError as error:
        print(f"vipcastd: {error}", file=sys.stderr)
        return EXIT_CONFIG
    if not _clock_is_in_bounds(configured.timers.drift):
        return EXIT_CONFIG
    try:
        return asyncio.run(_run(configured, ring, witness=options.witness))
    except (StoreDamagedError, StoreInUseError) as error:
        log.critical("%s", error)
        return EXIT_CONFIG
    except (StoreError, SocketFileError, DatapathError, ThawError, OSError) as error:
        log.critical("%s", error)
        return 1


def _check(path: Path, *, witness: bool) -> int:
    findings = settings.check(path, witness=witness)
    for finding in findings:
        print(finding, file=sys.stderr)
    if any(finding.severity == "error" for finding in findings):
        return EXIT_CONFIG
    if not _clock_is_in_bounds(settings.load(path, witness=witness).timers.drift):
        return EXIT_CONFIG
    print(f"{path}: correct")
    return 0


def _clock_is_in_bounds(drift: float) -> bool:
    """Whether the time daemon that runs here keeps the promise that every lease counts on."""
    found = slew.findings(drift)
    for finding in found:
        severity = "Error" if finding.running else "Warning"
        print(f"vipcastd: {severity}: {finding.sentence}", file=sys.stderr)
    return not any(finding.running for finding in found)


def _be_on_time(wish: str, store: Store) -> realtime.Punctuality:
    """SCHED_RR and locked memory, as `[realtime] scheduling` says."""
    punctuality = realtime.as_it_is() if wish == "off" else realtime.be_on_time(store.thread)
    for refused in punctuality.troubles:
        if wish == "rr":
            raise OSError(f'{refused}, and [realtime] scheduling = "rr" insists on it')
        log.warning("%s: heartbeats may be late when this host is busy", refused)
    if punctuality.slack_ms:
        log.warning(
            "without SCHED_RR this host asks for a lease that is %d ms longer, and stands last for leader;"
            " others take over from it that much later",
            punctuality.slack_ms,
        )
    return punctuality


async def _run(configured: settings.Settings, ring: Keyring, *, witness: bool) -> int:
    """Build the node, run until a signal, take it down again."""
    loop = asyncio.get_running_loop()
    file = SettingsFile(configured, witness=witness)
    store = Store.open(configured.paths.state)
    members = configured.founders
    name = configured.node.name
    configured.paths.run.mkdir(mode=0o755, parents=True, exist_ok=True)
    node: Node
    privileged.ask_at(configured.paths.privileges_socket)
    # before the core begins to count time: it loads a large library
    hands = await Hands.of(configured, lambda event: node.disturbed(event))  # noqa: PLW0108 - it comes later
    core = Core(
        name=name,
        founders=members,
        timers=configured.timers,
        incarnation=store.incarnation,
        kernel_boot_id=kernel_boot_id(),
        saved=store.saved,
        now_ns=boot_ns(),
        random=random.Random(),
        witness=configured.node.witness,
    )
    hub = EventHub()
    holds = HoldDuty(name, store.incarnation) if isinstance(hands.addresses.engine, Reconciles) else None
    executor = Executor(name, store.incarnation, DRAIN_TIMEOUT_MS, holds)
    heard_all = bootmark.heard_all(configured.paths.run, kernel_boot_id())
    measures = Measures()
    node = Node(
        core=core,
        state=State(members),
        executor=executor,
        store=store,
        addresses=hands.addresses,
        operations=Operations(hands.runner, measures),
        journal=Journal(hub, lambda: node.state.index),
        quorumless=Quorumless(executor, configured.timers, boot_ns(), heard_all),
        fencing=FencingShell(core, hands.runner, Fencing(configured.timers)),
        panic=PanicFile(configured.paths.state),
        measures=measures,
    )
    node.heard_all = lambda: bootmark.note_heard_all(configured.paths.run, kernel_boot_id())
    transport = await Transport.open(
        configured, ring, store.incarnation, members, node.received, boot_ns, store.saved.belongs_to
    )
    transport.keys.write = partial(write_ring, configured.paths.authkey)
    control = await _open_control(file, node, transport, Catalogue(hands.runner), hub)
    await hands.start()
    told = [loop.create_task(work) for work in (notify.feed_watchdog(), statusline.keep_telling(node))]
    ending = Ending(configured.timers.restart_ms)
    loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(file.reload_by_signal()))
    node.on_dismissal = ending.dismissed
    node.punctuality = _be_on_time(configured.realtime.scheduling, store)
    node.ends_itself = ending.end_itself
    core.slack_ms = node.punctuality.slack_ms
    realtime.give_way()
    realtime.quiet_collector()
    node.start(transport)
    log.info(
        "%s of cluster %s runs: %s; incarnation %d",
        name,
        configured.cluster.name,
        hands.reason,
        store.incarnation,
    )
    notify.ready()
    try:
        cause = await ending.cause
        notify.stopping()
        await ending.prepare(node, cause)
    finally:
        for task in told:
            task.cancel()
        node.stop()
        await control.stop()
        await hands.close()
        store.close()
    if cause is Cause.SUICIDE:
        suicide.last_word(file.in_force.node.suicide)
    return _EXIT.get(cause, 0)


async def _open_control(
    file: SettingsFile, node: Node, transport: Transport, catalogue: Catalogue, hub: EventHub
) -> ControlServer:
    """The doors for commands, and for hosts that have a token from one of them."""
    configured = file.in_force
    enrolling = Enrolling(configured, lambda: node.core.status(boot_ns()), boot_ns, transport.addresses_on)
    transport.on_enrolment = enrolling.receive
    enrolling.welcomed = transport.invite
    enrolling.cluster_id = lambda: node.belonging.cluster_id
    backend = NodeBackend(file, node, catalogue, enrolling)
    control = ControlServer(backend, hub, configured.paths.control_socket, Access.of_this_host())
    await control.start()
    return control


if __name__ == "__main__":
    sys.exit(main())
