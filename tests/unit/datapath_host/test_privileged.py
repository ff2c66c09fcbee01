"""Asking vipcast-runner for what needs root: while it is away, when it hangs, and when it ends over it."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from datapath.host import privileged
from datapath.host.privileged import KillAgents, OpenTun, RunnerAwayError, RunnerEndedError, WriteSetting

SETTING = WriteSetting("ipv4/conf/all/arp_ignore", 1)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "host.sock"
    privileged.ask_at(path)
    yield path
    privileged.ask_at(None)


def listener(door: Path) -> socket.socket:
    found = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    found.bind(str(door))
    found.listen()
    return found


def test_a_runner_that_is_not_there_is_away_and_the_reason_names_its_socket(door: Path) -> None:
    with pytest.raises(
        RunnerAwayError, match=f"cannot be asked on {door}: No such file or directory; is it running"
    ):
        privileged.ask(SETTING)
    listener(door).close()
    with pytest.raises(RunnerAwayError, match="Connection refused"):
        privileged.ask(OpenTun())


def test_that_no_runner_is_to_be_asked_at_all_is_no_absence() -> None:
    with pytest.raises(PermissionError, match="needs root"):
        privileged.ask(SETTING)


def test_a_runner_that_hangs_is_waited_for_once_and_left_alone_for_a_while(door: Path) -> None:
    with listener(door) as hung:
        for _ in range(3):
            with pytest.raises(RunnerAwayError, match="does not answer"):
                privileged.ask(SETTING)
        hung.setblocking(False)
        hung.accept()[0].close()
        with pytest.raises(BlockingIOError):
            hung.accept()


def test_a_runner_that_ends_over_a_request_is_told_from_one_that_was_not_there(door: Path) -> None:
    with listener(door) as mortal:

        def take_and_end() -> None:
            connection, _ = mortal.accept()
            connection.recv(512)
            connection.close()

        thread = threading.Thread(target=take_and_end)
        thread.start()
        with pytest.raises(RunnerEndedError):
            privileged.insist(KillAgents(), patience_s=5)
        thread.join()


def test_who_insists_waits_for_a_runner_that_is_started_again(door: Path) -> None:
    asked = threading.Event()

    def come_later() -> None:
        with listener(door) as late:
            connection, _ = late.accept()
            connection.recv(512)
            connection.send(privileged.msgspec.msgpack.encode(privileged.Answer(errno.EINVAL, "none of these")))
            connection.close()
            asked.set()

    timer = threading.Timer(0.1, come_later)
    timer.start()
    with pytest.raises(OSError, match="none of these") as caught:
        privileged.insist(SETTING, patience_s=10)
    assert caught.value.errno == errno.EINVAL
    timer.join()
    assert asked.is_set()
    with pytest.raises(RunnerAwayError):
        privileged.insist(SETTING, patience_s=0)
