"""vipcast-runner as a program, asked through the client that the core uses."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from agents import ipaddr2_parameters, metadata
from agents.client import RunnerClient
from agents.frames import FrameError, encode_frame
from agents.protocol import FRAME_BYTES_MAX, OUTPUT_BYTES_MAX, Finished, Run, Served
from datapath.host.privileged import sockets_beside
from tests.lab.namespaces import status_of

PATIENCE_S = 20


class Bench:
    """A runner, an OCF root for scripts, and a client."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        (self.root / "resource.d/test").mkdir(parents=True)
        self.socket = sockets_beside(folder) / "runner.sock"
        self.config = folder / "vipcast.toml"
        self.config.write_text(f'[paths]\nrun = "{folder}"\nagents = ["{self.root}"]\n')
        self.process: subprocess.Popen[bytes] | None = None
        self.served: list[Served] = []
        self.client = RunnerClient(self.socket, self.served.append)

    def script(self, name: str, body: str) -> None:
        path = self.root / "resource.d/test" / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", "agents.runner", "--config", str(self.config)])

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        self.process = None
        return code

    async def run(self, agent: str, operation: str = "start", timeout_ms: int = 10_000, **other: str) -> Finished:
        async with asyncio.timeout(PATIENCE_S):
            return await self.client.run(
                resource=other.pop("resource", agent),
                agent=agent if ":" in agent else f"ocf:test:{agent}",
                operation=operation,
                parameters=other,
                environment={"OCF_RESKEY_CRM_meta_timeout": str(timeout_ms)},
                timeout_ms=timeout_ms,
            )


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - what is waited for is outside this process
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    status = status_of(pid)
    return status is not None and status[0] not in "ZX"


def refused(config: Path) -> subprocess.CompletedProcess[str]:
    """A runner that is expected to end by itself."""
    argv = [sys.executable, "-m", "agents.runner", "--config", str(config)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    one = Bench(tmp_path)
    one.start()
    await one.client.start()
    try:
        yield one
    finally:
        await one.client.close()
        if one.process is not None:
            one.end(signal.SIGKILL)


async def test_an_agent_gets_its_parameters_and_its_answer_comes_back(bench: Bench) -> None:
    bench.script("echo", 'echo "$1 $OCF_RESKEY_what $OCF_RESOURCE_INSTANCE $OCF_RESKEY_CRM_meta_timeout"; exit 7')
    finished = await bench.run("echo", "monitor", what='it\'s "quoted"', resource="db:1")
    assert (finished.exit_code, finished.status, finished.reason) == (7, "done", "")
    assert finished.output == 'monitor it\'s "quoted" db:1 10000\n'


async def test_the_socket_is_its_owners_alone(bench: Bench) -> None:
    await eventually(bench.socket.exists)
    assert stat.S_IMODE(bench.socket.stat().st_mode) == 0o600


async def test_an_agents_exit_reason_and_failing_last_line_are_reported(bench: Bench) -> None:
    bench.script("reason", "echo noise >&2; echo 'ocf-exit-reason:disk on fire' >&2; exit 1")
    bench.script("plain", "echo 'no such disk' >&2; exit 1")
    assert (await bench.run("reason")).reason == "disk on fire"
    assert (await bench.run("plain")).reason == "no such disk"


async def test_an_agent_that_is_not_there_is_not_installed_with_the_paths_searched(bench: Bench) -> None:
    finished = await bench.run("missing")
    assert (finished.exit_code, finished.status) == (5, "not-installed")
    assert f"{bench.root}/resource.d/test/missing" in finished.reason
    finished = await bench.run("systemd:vipcast-no-such-unit")
    assert (finished.exit_code, finished.status) == (5, "not-installed")
    assert "this host" in finished.reason


async def test_a_file_that_cannot_be_run_is_said_so(bench: Bench) -> None:
    bench.script("closed", "exit 0")
    (bench.root / "resource.d/test/closed").chmod(0o644)
    assert "chmod 755" in (await bench.run("closed")).reason
    (bench.root / "resource.d/test/garbage").write_bytes(b"\x7fnot a program")
    (bench.root / "resource.d/test/garbage").chmod(0o755)
    assert (await bench.run("garbage")).status == "not-installed"
    bench.script("nul", "exit 0")
    assert "NUL" in (await bench.run("nul", what="a\0b")).reason


async def test_a_hung_agent_is_ended_with_all_its_children(bench: Bench) -> None:
    bench.script("hang", "sleep 1000 & echo $!; trap '' TERM; wait; sleep 1000 & echo $!; wait")
    finished = await bench.run("hang", timeout_ms=300)
    assert (finished.exit_code, finished.status) == (1, "timeout")
    assert finished.reason == "start did not end within 0.3 s"
    children = [int(line) for line in finished.output.split()]
    assert children
    await eventually(lambda: not any(alive(child) for child in children))


async def test_an_agent_that_leaves_a_daemon_with_its_output_does_not_wait_for_it(bench: Bench) -> None:
    bench.script("daemon", "sleep 1000 & echo $!")
    finished = await bench.run("daemon")
    daemon = int(finished.output)
    try:
        assert (finished.exit_code, finished.status) == (0, "done")
        assert alive(daemon)
    finally:
        os.kill(daemon, signal.SIGKILL)


async def test_output_is_bounded_and_its_end_is_kept(bench: Bench) -> None:
    bench.script(
        "chatty", "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end; echo 'ocf-exit-reason:why' >&2; exit 1"
    )
    finished = await bench.run("chatty")
    assert finished.output.endswith("end\nocf-exit-reason:why\n")
    assert len(finished.output) < 2 * OUTPUT_BYTES_MAX
    assert finished.reason == "why"


async def test_operations_of_one_resource_take_turns_and_others_do_not_wait(bench: Bench) -> None:
    log = bench.folder / "log"
    bench.script("step", f"echo begin >> {log}; sleep 0.2; echo end >> {log}")
    bench.script(
        "meet", f"touch {bench.folder}/$1; while [ ! -e {bench.folder}/$OCF_RESKEY_other ]; do sleep 0.01; done"
    )
    await asyncio.gather(*(bench.run("step", resource="one") for _ in range(3)))
    assert log.read_text().split() == ["begin", "end"] * 3
    first, second = await asyncio.gather(
        bench.run("meet", "start", resource="a", other="stop"),
        bench.run("meet", "stop", resource="b", other="start"),
    )
    assert (first.exit_code, second.exit_code) == (0, 0)


async def test_a_cancelled_operation_ends_the_agent(bench: Bench) -> None:
    bench.script("long", f"echo $$ > {bench.folder}/pid; exec sleep 1000")
    task = asyncio.create_task(bench.run("long", timeout_ms=100_000))
    await eventually(lambda: (bench.folder / "pid").exists() and (bench.folder / "pid").read_text().endswith("\n"))
    pid = int((bench.folder / "pid").read_text())
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await eventually(lambda: not alive(pid))


async def test_an_agent_that_a_signal_ends_is_an_error_that_names_it(bench: Bench) -> None:
    bench.script("dies", "kill -SEGV $$")
    finished = await bench.run("dies")
    assert (finished.exit_code, finished.status) == (1, "error")
    assert finished.reason == "start was ended by signal 11 (SIGSEGV)"


async def test_a_runner_that_dies_leaves_the_result_unknown_and_the_next_one_is_found(bench: Bench) -> None:
    bench.script("long", f"echo $$ > {bench.folder}/pid; exec sleep 1000")
    bench.script("quick", "exit 0")
    task = asyncio.create_task(bench.run("long", timeout_ms=100_000))
    await eventually(lambda: (bench.folder / "pid").exists() and (bench.folder / "pid").read_text().endswith("\n"))
    bench.end(signal.SIGKILL)
    finished = await task
    assert finished.status == "cancelled"
    assert "its result is unknown" in finished.reason
    bench.start()
    assert (await bench.run("quick")).exit_code == 0
    os.kill(int((bench.folder / "pid").read_text()), signal.SIGKILL)


async def test_a_core_that_comes_back_waits_for_what_still_runs(bench: Bench) -> None:
    log = bench.folder / "log"
    bench.script("slow", f"echo begin $1 >> {log}; sleep 0.5; echo end $1 >> {log}")
    first = asyncio.create_task(bench.run("slow", "start", resource="one"))
    queued = asyncio.create_task(bench.run("slow", "promote", resource="one"))
    await eventually(log.exists)
    await bench.client.close()
    assert {(await first).status, (await queued).status} == {"cancelled"}
    await bench.client.start()
    assert (await bench.run("slow", "monitor", resource="one")).exit_code == 0
    assert log.read_text().splitlines() == ["begin start", "end start", "begin monitor", "end monitor"]


async def test_without_a_runner_the_client_says_so_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.client.ANSWER_MARGIN_S", 0.1)
    one = Bench(tmp_path)
    await one.client.start()
    try:
        finished = await one.run("x", timeout_ms=100)
    finally:
        await one.client.close()
    assert finished.reason == f"vipcast-runner does not listen on {one.socket}; is it running?"


async def test_a_helper_is_started_again_when_it_ends_and_dies_with_the_runner(bench: Bench) -> None:
    bench.client.serve("helper", ["/bin/sleep", "1000"])
    await eventually(lambda: bool(bench.served) and bench.served[-1].running)
    first = bench.served[-1].pid
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: bench.served[-1].running and bench.served[-1].pid != first)
    assert [one.running for one in bench.served] == [True, False, True]
    assert "SIGKILL" in bench.served[1].reason
    second = bench.served[-1].pid
    bench.end(signal.SIGKILL)
    await eventually(lambda: not alive(second))
    bench.start()
    await eventually(lambda: bench.served[-1].running and bench.served[-1].pid != second)
    third = bench.served[-1].pid
    bench.client.unserve("helper")
    await eventually(lambda: not alive(third))


async def test_a_helper_that_runs_already_is_not_started_twice(bench: Bench) -> None:
    bench.client.serve("helper", ["/bin/sleep", "1000"])
    await eventually(lambda: bool(bench.served) and bench.served[-1].running)
    await bench.client.close()
    again = RunnerClient(bench.socket, bench.served.append)
    again.serve("helper", ["/bin/sleep", "1000"])
    await again.start()
    try:
        await eventually(lambda: len(bench.served) == 2)
        assert bench.served[0] == bench.served[1]
    finally:
        await again.close()


@pytest.mark.root
async def test_an_agent_of_the_resource_agents_package_runs_as_pacemaker_runs_it(tmp_path: Path) -> None:
    """ocf:heartbeat:Dummy sources the package's shell library and keeps its state in HA_RSCTMP."""
    bench = Bench(tmp_path)
    bench.root = Path("/usr/lib/ocf")
    bench.config.write_text(f'[paths]\nrun = "{tmp_path}"\n')
    name = f"dummy-{os.getpid()}"
    bench.start()
    await bench.client.start()
    try:
        codes = [
            (await bench.run("ocf:heartbeat:Dummy", operation, resource=name)).exit_code
            for operation in ("monitor", "start", "monitor", "validate-all", "stop", "monitor")
        ]
        described = metadata.parse((await bench.run("ocf:heartbeat:IPaddr2", "meta-data")).output)
    finally:
        await bench.run("ocf:heartbeat:Dummy", "stop", resource=name)
        await bench.client.close()
        bench.end()
    assert codes == [7, 0, 0, 0, 0, 7]
    assert {parameter.name for parameter in described.parameters} <= set(ipaddr2_parameters.KNOWN)


@pytest.mark.root
async def test_agents_are_ordinary_processes_whatever_the_runner_was_started_with(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    report = "umask; env | cut -d= -f1 | tr '\\n' ' '; echo; chrt -p $$; "
    bench.script("self", report + "grep -E 'Sig(Ign|Blk)' /proc/self/status; ls /proc/$$/fd")

    def spoiled() -> None:
        os.umask(0o077)
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    argv = [sys.executable, "-m", "agents.runner", "--config", str(bench.config)]
    bench.process = subprocess.Popen(argv, preexec_fn=spoiled, env={**os.environ, "SECRET": "x"})  # noqa: PLW1509, ASYNC220
    await bench.client.start()
    try:
        said = (await bench.run("self", what="x")).output.splitlines()
    finally:
        await bench.client.close()
        assert bench.end() == 0
    umask, names, policy, _, blocked, ignored, *descriptors = said
    assert umask == "0022"
    assert "SECRET" not in names.split()
    assert {"OCF_RESKEY_what", "OCF_ROOT", "PATH"} <= set(names.split())
    assert policy.endswith("SCHED_OTHER")
    assert int(blocked.split()[1], 16) == 0
    # 32 and 33 are glibc's own (signal(7)): nobody can set them, and some parents have them ignored
    assert int(ignored.split()[1], 16) & ~(0b11 << 31) == 0
    assert set(descriptors) <= {"0", "1", "2", "10", "255"}, "a shell keeps its script on one of the last two"


async def test_a_client_that_speaks_nonsense_is_dropped_and_the_others_stay(bench: Bench) -> None:
    bench.script("quick", "exit 0")
    assert (await bench.run("quick")).exit_code == 0
    huge = (FRAME_BYTES_MAX + 1).to_bytes(4, "big")
    for nonsense in (huge, b"\0\0\0\x04abcd", b"\0\0\0\x02\x91\xa1", b"GET / HTTP/1.1\r\n\r\n"):
        reader, writer = await asyncio.open_unix_connection(bench.socket)
        writer.write(nonsense)
        writer.write_eof()
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.read() == b""
        writer.close()
    assert (await bench.run("quick")).exit_code == 0


async def test_a_second_runner_on_the_same_socket_is_refused(bench: Bench) -> None:
    await eventually(bench.socket.exists)
    second = await asyncio.to_thread(refused, bench.config)
    assert second.returncode == 1
    assert "another vipcast-runner holds" in second.stderr
    assert "Traceback" not in second.stderr


async def test_sigterm_ends_it_cleanly_with_its_helpers_and_agents_that_do_not_end_soon(bench: Bench) -> None:
    bench.script("long", f"echo $$ > {bench.folder}/pid; exec sleep 1000")
    bench.script("brief", f"touch {bench.folder}/begun; sleep 0.5; echo done")
    bench.client.serve("helper", ["/bin/sleep", "1000"])
    task = asyncio.create_task(bench.run("long", timeout_ms=100_000))
    brief = asyncio.create_task(bench.run("brief", "stop"))
    queued = asyncio.create_task(bench.run("brief", "start"))
    pid_file = bench.folder / "pid"
    await eventually(lambda: pid_file.exists() and pid_file.read_text().endswith("\n") and bool(bench.served))
    await eventually((bench.folder / "begun").exists)
    assert bench.end() == 0
    assert not bench.socket.exists()
    assert not alive(int(pid_file.read_text()))
    assert not alive(bench.served[-1].pid or bench.served[0].pid)
    assert (await task).status in ("error", "cancelled")
    assert ((await brief).status, (await queued).status) == ("done", "cancelled")


def test_a_settings_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    config = tmp_path / "vipcast.toml"
    for text in ("[paths", "[paths]\nrun = 5", "paths = 1", '[paths]\nagents = "x"'):
        config.write_text(text)
        ended = refused(config)
        assert ended.returncode == 1
        assert str(config) in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_frame_that_would_be_too_long_is_refused_by_the_sender() -> None:
    run = Run(
        id=1,
        resource="r",
        agent="a",
        operation="start",
        parameters={"x": "y" * FRAME_BYTES_MAX},
        environment={},
        timeout_ms=1,
    )
    with pytest.raises(FrameError, match="1048576 is the most"):
        encode_frame(run)
