"""The socket's file: its permissions, and what is in its way."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from daemon.control.access import Access
from daemon.control.socketfile import SocketFileError, listen, remove
from tests.unit.control.living import everybody, living


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s") / "control.sock"


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
        return True


def test_a_socket_is_its_owners_alone_and_its_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "s"
    with listen(path, everybody()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert connects(path)


def test_what_a_dead_daemon_left_is_replaced(path: Path) -> None:
    listen(path, everybody()).close()
    assert path.exists()
    assert not connects(path)
    with listen(path, everybody()):
        assert connects(path)


def test_a_living_daemon_keeps_its_socket() -> None:
    with living() as running:
        with pytest.raises(SocketFileError, match="another vipcastd answers there"):
            listen(running.path, everybody())
        assert running.client.status().cluster == "demo"


def test_a_daemon_that_is_too_busy_to_accept_lives(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(path))
        busy.listen(0)
        waiting = []
        for _ in range(4):
            client = socket.socket(socket.AF_UNIX)
            client.setblocking(False)
            client.connect_ex(str(path))
            waiting.append(client)
        with pytest.raises(SocketFileError, match="another vipcastd answers there"):
            listen(path, everybody())
        for client in waiting:
            client.close()


def test_a_file_that_is_no_socket_is_left_alone(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(SocketFileError, match="something that is not a socket"):
        listen(path, everybody())
    assert path.read_text() == "precious"


def test_a_path_that_no_socket_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SocketFileError, match="107 bytes"):
        listen(tmp_path / ("x" * 108), everybody())


def test_a_folder_that_cannot_be_made_is_named(path: Path) -> None:
    path.write_text("a file")
    with pytest.raises(SocketFileError, match="check that its folder exists"):
        listen(path / "control.sock", everybody())


def test_removing_what_is_gone_already_is_no_error(path: Path) -> None:
    remove(path)


@pytest.mark.root
def test_the_groups_get_in_by_mode_and_by_an_entry_of_the_access_list(path: Path) -> None:
    writers, readers = 60001, 60002
    with listen(path, Access(frozenset((0,)), writers, readers)):
        status = path.stat()
        assert status.st_gid == writers
        assert stat.S_IMODE(status.st_mode) == 0o660
        assert readers.to_bytes(4, "little") in os.getxattr(path, "system.posix_acl_access")
