"""Hosts in namespaces, each on a cable of its own to one namespace that sends: nothing but the host is measured."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.netns import named
from tests.netns.inside import Inside

CLIENTS = "10.80.0.0/16"
CLIENTS_GATEWAY = "10.77.1.1"
HOST_IP = "10.77.0.1"
PREFIXLEN = 16
NOT_THE_SERVICES = ("perfmon", "sys_admin")
"""Capabilities that vipcastd does not have: to a program that is loaded without them the kernel adds barriers against
speculation, which cost a packet some 5 ns each."""


@dataclass
class Host:
    """`interface` is the sender's end of its cable; the host's own is eth0.  All hosts have the same addresses."""

    name: str
    namespace: str
    interface: str
    mac: bytes
    process: Inside
    run_dir: Path

    def run(self, *argv: str, text: str = "") -> str:
        return run("ip", "netns", "exec", self.namespace, *argv, text=text)


@dataclass
class Wire:
    """The sender's namespace, with the cables of all hosts."""

    token: str
    namespace: str
    process: Inside
    run_dir: Path
    hosts: dict[str, Host]

    def host(self, name: str) -> Host:
        """A new one, with HOST_IP and nothing else."""
        number = len(self.hosts) + 1
        namespace, interface = f"{self.token}h{number}", f"w{number}"
        named.add(namespace)
        run(
            "ip", "-n", self.namespace, "link", "add", interface, "type", "veth", "peer", "eth0", "netns", namespace
        )
        run("ip", "-n", self.namespace, "link", "set", interface, "up")
        for command in (
            ("link", "set", "lo", "up"),
            ("addr", "add", f"{HOST_IP}/{PREFIXLEN}", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("route", "add", CLIENTS, "via", CLIENTS_GATEWAY),
        ):
            run("ip", "-n", namespace, *command)
        mac = run("ip", "netns", "exec", namespace, "cat", "/sys/class/net/eth0/address").strip()
        run_dir = self.run_dir / namespace
        run_dir.mkdir()
        made = Host(
            name,
            namespace,
            interface,
            bytes.fromhex(mac.replace(":", "")),
            Inside(namespace, NOT_THE_SERVICES),
            run_dir,
        )
        self.hosts[name] = made
        return made


@contextmanager
def wire(run_dir: Path) -> Iterator[Wire]:
    """Gone on exit, with all of its hosts."""
    token = f"vb{os.getpid()}{secrets.token_hex(2)}"
    namespace = f"{token}w"
    named.add(namespace)
    made = Wire(token, namespace, Inside(namespace), run_dir, {})
    try:
        run("ip", "-n", namespace, "link", "set", "lo", "up")
        yield made
    finally:
        for host in made.hosts.values():
            host.process.kill()
            named.delete(host.namespace)
        made.process.kill()
        named.delete(namespace)


def run(*argv: str, text: str = "") -> str:
    """Its output.  RuntimeError when it fails."""
    done = subprocess.run(argv, check=False, capture_output=True, text=True, input=text)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
