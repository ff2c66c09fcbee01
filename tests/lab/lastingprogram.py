"""Connections that last, in one process of the client host.  A program of its own: standard library only.

    lastingprogram.py TARGET PORT INTERVAL_MS ADDRESS:PORT …

Each client connects once and asks again and again over the same connection, until standard input closes.  Then one
JSON array a client goes to standard output: [address, port, answers, longest_ms, error]; `longest_ms` is the longest
that any answer took, `error` is empty for a connection that is still there.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

PATIENCE_S = 20.0
"""longer than any restart: TCP repeats what was lost"""


class Client:
    def __init__(self, address: str, port: int) -> None:
        self.address = address
        self.port = port
        self.answers = 0
        self.longest_ms = 0.0
        self.error = ""

    async def run(self, target: str, port: int, interval_s: float, end: asyncio.Event) -> None:
        try:
            reader, writer = await asyncio.open_connection(target, port, local_addr=(self.address, self.port))
            while not end.is_set():
                began = time.monotonic()
                writer.write(f"GET / HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
                async with asyncio.timeout(PATIENCE_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    await reader.readexactly(length_of(head))
                self.answers += 1
                self.longest_ms = max(self.longest_ms, 1000 * (time.monotonic() - began))
                await asyncio.sleep(interval_s)
            writer.close()
        except (OSError, EOFError, TimeoutError) as error:
            self.error = f"{type(error).__name__}: {error}"


def length_of(head: bytes) -> int:
    for line in head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    raise EOFError("an answer without Content-Length")


async def main() -> None:
    target, port, interval_ms, *sources = sys.argv[1:]
    parts = (source.rpartition(":") for source in sources)
    clients = [Client(address, int(number)) for address, _, number in parts]
    end = asyncio.Event()
    tasks = [asyncio.create_task(client.run(target, int(port), int(interval_ms) / 1000, end)) for client in clients]
    await asyncio.to_thread(sys.stdin.read)
    end.set()
    await asyncio.gather(*tasks)
    for client in clients:
        print(json.dumps([client.address, client.port, client.answers, client.longest_ms, client.error]))


if __name__ == "__main__":
    asyncio.run(main())
