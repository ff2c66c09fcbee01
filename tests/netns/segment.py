"""One Ethernet segment in namespaces of its own: a bridge, hosts and a client.

with Segment(hosts=2) as segment:
    segment.hosts[0].engine.call(actions.start_engine, "datapath.nft.engine:NftEngine", str(run_dir))
"""

from __future__ import annotations

import os
import secrets
import subprocess
from dataclasses import dataclass
from types import TracebackType

from tests.netns import named
from tests.netns.inside import Inside

PREFIXLEN = 16
CLIENT = "10.77.1.1"
VIP = "10.77.255.1"
"""10.77.0.0/16: hosts .0.1 and up, the client .1.1, shared addresses .255.x"""
CLIENTS = "10.80.0.0/16"
"""further client addresses, on no segment"""


@dataclass
class Member:
    """A namespace with one interface, eth0, on the segment."""

    name: str
    namespace: str
    ip: str
    engine: Inside
    """the process that an engine runs in; tests stop and kill it"""
    service: Inside
    """another process in the same namespace: servers, clients, taps"""

    def run(self, *argv: str) -> str:
        return _run("ip", "netns", "exec", self.namespace, *argv)

    def restart_engine(self) -> None:
        """Kill the engine's process, as a crash does, and start an empty one."""
        self.engine.kill()
        self.engine = Inside(self.namespace)


class Segment:
    """Built on entry, gone on exit, whatever happens in between."""

    def __init__(self, hosts: int) -> None:
        self._token = f"vc{os.getpid()}{secrets.token_hex(2)}"
        self._count = hosts
        self._namespaces: list[str] = []
        self.hosts: list[Member] = []
        self.client: Member
        self.switch: str
        """the namespace of the bridge br0"""

    def __enter__(self) -> Segment:
        try:
            self.switch = switch = self._add_namespace("sw")
            _run("ip", "-n", switch, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
            _run("ip", "-n", switch, "link", "set", "br0", "up")
            self.client = self._join(switch, "client", CLIENT)
            for number in range(1, self._count + 1):
                self.hosts.append(self._join(switch, f"h{number}", f"10.77.0.{number}"))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        for member in [*self.hosts, *([self.client] if hasattr(self, "client") else [])]:
            member.engine.kill()
            member.service.kill()
        for namespace in reversed(self._namespaces):
            named.delete(namespace)
        self._namespaces.clear()

    def _add_namespace(self, role: str) -> str:
        name = f"{self._token}{role}"
        named.add(name)
        self._namespaces.append(name)
        return name

    def _join(self, switch: str, name: str, ip: str) -> Member:
        namespace = self._add_namespace(name)
        port = f"p-{name}"
        _run("ip", "-n", switch, "link", "add", port, "type", "veth", "peer", "eth0", "netns", namespace)
        _run("ip", "-n", switch, "link", "set", port, "master", "br0", "up")
        for command in (
            ("link", "set", "lo", "up"),
            ("addr", "add", f"{ip}/{PREFIXLEN}", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
        ):
            _run("ip", "-n", namespace, *command)
        return Member(name, namespace, ip, Inside(namespace), Inside(namespace))


def _run(*argv: str) -> str:
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
