"""The client against daemons that do not behave: each gives a sentence that says what to do."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.control.client import ControlClient, ControlError


@contextlib.contextmanager
def answering(answer: bytes | None) -> Iterator[str]:
    """A socket on which somebody takes one request and sends these bytes; None: it says nothing at all."""
    with tempfile.TemporaryDirectory(prefix="vipcast-") as folder, socket.socket(socket.AF_UNIX) as listener:
        path = str(Path(folder) / "s")
        listener.bind(path)
        listener.listen(1)
        over = threading.Event()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                if answer is None:
                    over.wait(30)
                else:
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield path
        finally:
            over.set()
            thread.join(30)


def reply(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"", "broke the connection off"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "broke the connection off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "broke the connection off"),
        (reply("200 OK", b"{"), "are both of the same version?"),
        (reply("200 OK", b'{"cluster": 7}'), "are both of the same version?"),
        (reply("500 Oops", b"<html>"), "HTTP status 500 and no explanation"),
        (reply("422 No", b'{"error":"the reason","code":"refused"}'), "the reason"),
    ],
)
def test_a_strange_answer_is_a_sentence(answer: bytes, told: str) -> None:
    with answering(answer) as path, pytest.raises(ControlError, match=None) as raised:
        ControlClient(path, timeout_s=10).status()
    assert told in str(raised.value)


def test_a_daemon_that_does_not_answer_is_given_up() -> None:
    with answering(None) as path, pytest.raises(ControlError, match=r"did not answer within 0\.2 s"):
        ControlClient(path, timeout_s=0.2).status()


def test_fields_that_a_newer_daemon_has_are_ignored() -> None:
    body = b'{"client":"10.0.0.7","port":null,"node":"a1","addresses":[],"schema":1,"mood":"good"}'
    with answering(reply("200 OK", body)) as path:
        assert ControlClient(path, timeout_s=10).who("10.0.0.7").node == "a1"


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/nonexistent/s", "vipcastd does not answer on /nonexistent/s: is it running on this host?"),
        ("/etc/passwd/s", "does not answer"),
        ("/etc/passwd", "does not answer"),
        ("/tmp/" + "x" * 200, "cannot connect to"),
    ],
)
def test_a_socket_that_cannot_be_used_is_named(path: str, told: str) -> None:
    with pytest.raises(ControlError) as raised:
        ControlClient(path).status()
    assert told in str(raised.value)


def test_events_end_when_the_daemon_ends_them() -> None:
    stream = (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
        b': still here\n\nevent: state\ndata: {"kind":"state","index":7}\n\n'
    )
    with answering(stream) as path:
        assert [event.index for event in ControlClient(path, timeout_s=10).events()] == [7]
