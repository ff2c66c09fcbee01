"""The clients, in one process of the client host.  A program of its own: standard library only.

Reads one JSON job a line on its standard input, and ends when that closes.  Writes one JSON array an attempt:

    [stream, address, port, started_ns, ended_ns, outcome, answer]

`outcome` is ok, timeout, refused (an RST to the SYN), reset (an RST later) or another error's name; `answer` is the
body of the HTTP response, stripped.  Times are of CLOCK_REALTIME, to be compared with captures.  Jobs:

    {"job": "once", "target": IP, "port": N, "path": "/", "timeout_ms": N, "parallel": N,
     "clients": [[ADDRESS, PORT], …]}
        every client once; then the line ["done"]
    {"job": "pace", "stream": NAME, "target": …, "interval_ms": N, "timeout_ms": N, "clients": […]}
        the next client every interval, whatever became of the ones before, until {"job": "halt"}
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import json
import socket
import sys
import time
from typing import Any

IP_BIND_ADDRESS_NO_PORT = 24
ANSWER_BYTES_MAX = 1 << 16
ATTEMPTS_OPEN_MAX = 4096


def emit(*fields: object) -> None:
    sys.stdout.write(json.dumps(fields, separators=(",", ":")) + "\n")


async def flush() -> None:
    """Lines go out 50 times a second, not one by one."""
    while True:
        await asyncio.sleep(0.02)
        sys.stdout.flush()


async def exchange(sock: socket.socket, source: tuple[str, int], target: tuple[str, int], path: str) -> str:
    """One real connection: from one address and port, one HTTP/1.0 request, all of the answer."""
    loop = asyncio.get_running_loop()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(source)
    await loop.sock_connect(sock, target)
    await loop.sock_sendall(sock, f"GET {path} HTTP/1.0\r\nHost: {target[0]}\r\n\r\n".encode())
    answer = b""
    while len(answer) < ANSWER_BYTES_MAX:
        part = await loop.sock_recv(sock, 4096)
        if not part:
            break
        answer += part
    return answer.partition(b"\r\n\r\n")[2].decode("utf-8", "replace").strip()


async def attempt(stream: str, client: list[Any], job: dict[str, Any]) -> None:
    address, port = client
    answer = ""
    started = time.time_ns()
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        try:
            async with asyncio.timeout(job["timeout_ms"] / 1000):
                answer = await exchange(sock, (address, port), (job["target"], job["port"]), job["path"])
            outcome = "ok" if answer else "empty"
        except TimeoutError:
            outcome = "timeout"
        except ConnectionRefusedError:
            outcome = "refused"
        except ConnectionResetError:
            outcome = "reset"
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return  # nothing was sent: this client's own kernel has not ended the last connection of that port
            outcome = error.__class__.__name__ + f" {error.errno}"
    emit(stream, address, port, started, time.time_ns(), outcome, answer)


async def once(job: dict[str, Any]) -> None:
    gate = asyncio.Semaphore(job["parallel"])

    async def gated(client: list[Any]) -> None:
        async with gate:
            await attempt("", client, job)

    await asyncio.gather(*(gated(client) for client in job["clients"]))
    emit("done")


async def pace(job: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    interval = job["interval_ms"] / 1000
    open_attempts: set[asyncio.Task[None]] = set()
    start = loop.time()
    for number, client in enumerate(itertools.cycle(job["clients"])):
        await asyncio.sleep(start + number * interval - loop.time())
        if len(open_attempts) < ATTEMPTS_OPEN_MAX:
            task = asyncio.create_task(attempt(job["stream"], client, job))
            open_attempts.add(task)
            task.add_done_callback(open_attempts.discard)


async def main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=64 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    flusher = asyncio.create_task(flush())
    running: list[asyncio.Task[None]] = []
    while line := await reader.readline():
        job = json.loads(line)
        if job["job"] == "once":
            running.append(asyncio.create_task(once(job)))
        elif job["job"] == "pace":
            running.append(asyncio.create_task(pace(job)))
        else:
            for task in running:
                task.cancel()
            running.clear()
            emit("done")
    flusher.cancel()
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
