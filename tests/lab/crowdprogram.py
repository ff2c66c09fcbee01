"""Thousands of connections, both ends.  A program of its own: standard library only.

    crowdprogram.py serve PORT                      takes connections, and gives back what each says
    crowdprogram.py connect TARGET PORT COUNT       has as many, and prints how many came about

The second asks each of its connections once for every line on its standard input, prints how many did not answer, and
ends when that closes.
"""

from __future__ import annotations

import resource
import selectors
import socket
import sys
import time

BACKLOG = 8192
PATIENCE_S = 10.0
TRIES = 5
PAUSE_S = 0.000_2
"""thousands that end at once keep every core of the machine in the kernel"""


def serve(port: int) -> None:
    waiting = selectors.DefaultSelector()
    listener = socket.create_server(("", port), backlog=BACKLOG)
    listener.setblocking(False)
    waiting.register(listener, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in waiting.select():
            one = key.fileobj
            assert isinstance(one, socket.socket)
            try:
                if one is listener:
                    waiting.register(listener.accept()[0], selectors.EVENT_READ)
                elif said := one.recv(64):
                    one.sendall(said)
                else:
                    raise EOFError
            except BlockingIOError:
                continue
            except (OSError, EOFError):
                waiting.unregister(one)
                one.close()


def connect(target: str, port: int, count: int) -> None:
    crowd = [one for _ in range(count) if (one := _connected(target, port)) is not None]
    print(len(crowd), flush=True)
    for _ in sys.stdin:
        print(sum(not _answers(one) for one in crowd), flush=True)
    for one in crowd:
        one.close()
        time.sleep(PAUSE_S)


def _connected(target: str, port: int) -> socket.socket | None:
    for _ in range(TRIES):
        try:
            return socket.create_connection((target, port), PATIENCE_S)
        except OSError:
            continue
    return None


def _answers(one: socket.socket) -> bool:
    try:
        one.sendall(b"?")
        return one.recv(64) == b"?"
    except OSError:
        return False


if __name__ == "__main__":
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    role, *rest = sys.argv[1:]
    if role == "serve":
        serve(int(rest[0]))
    else:
        connect(rest[0], int(rest[1]), int(rest[2]))
