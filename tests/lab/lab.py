"""The laboratory: hosts a1, a2, … and a client `gw` on one switch; the hosts alone on a second one, if asked for."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from tests.lab.capture import Capture
from tests.lab.control import Status
from tests.lab.host import Host
from tests.lab.network import Switch
from tests.lab.process import HostProcess
from tests.lab.waiting import wait_until

SUBNETS = ("192.168.110", "192.168.111")
"""of each network; the client and the shared addresses are on the first"""
PREFIX_LENGTH = 24
CLIENTS = "10.64.0.0/16"
"""addresses that gw answers for, all of them: as many clients as a test wants"""
CLIENT = "gw"
INTERFACE = "eth0"
"""on the first network; the one on the second is eth1"""
GROUP = "239.192.110.1"
PORT = 5405

ROOMS = (os.environ.get("VIPCAST_LAB_DIRECTORY", "/tmp"), "/dev/shm")
"""where the hosts' disks may lie"""

SETTINGS = """\
[cluster]
name = "{cluster}"
nodes = [{nodes}]

[node]
name = "{name}"

{links}
[timers]
profile = "{profile}"
{timers}
[datapath]
engine = "{engine}"
"""
LINK = """\
[[link]]
interface = "eth{link}"
group = "{group}"
port = {port}
"""


class Lab:
    """A context manager: the laboratory exists inside its `with`, and no longer than the process that made it.

    `engine` is one for all hosts or one for each, by name.  Every host of a running laboratory is in `hosts`;
    `lab["a1"]` and `lab.gw` are short for members of it.

    `links` networks: each has a switch of its own, and carries heartbeats.  The methods that cut and lose take the
    number of one (0, 1); without it they mean all of them.
    """

    def __init__(
        self,
        hosts: int = 4,
        engine: str | Mapping[str, str] = "auto",
        profile: str = "default",
        cluster: str = "demo",
        timers: Mapping[str, int] = MappingProxyType({}),
        links: int = 1,
    ) -> None:
        if not 1 <= hosts <= 100:
            raise ValueError(f"a laboratory of {hosts} hosts: between 1 and 100")
        if not 1 <= links <= len(SUBNETS):
            raise ValueError(f"a laboratory of {links} networks: between 1 and {len(SUBNETS)}")
        self.links = links
        self.names = [f"a{number}" for number in range(1, hosts + 1)]
        self.engines = {name: engine if isinstance(engine, str) else engine[name] for name in self.names}
        self.profile = profile
        self.cluster = cluster
        self.timers = timers
        self.authkey = secrets.token_bytes(32)
        self.hosts: dict[str, Host] = {}
        self.daemons: dict[str, dict[str, HostProcess]] = {}
        self.switches: list[Switch] = []
        self._write_end = -1

    # -- life --------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._read_end, self._write_end = os.pipe()
        self.directory = Path(tempfile.mkdtemp(prefix="vipcast-lab-", dir=_room()))
        self.logs = self.directory / "logs"
        self.logs.mkdir()
        try:
            for link in range(self.links):
                self._start_switch(link)
            for name in (CLIENT, *self.names):
                self.hosts[name] = self._make(name)
                self.boot(name)
            self._describe()
        except BaseException:
            self.close()
            raise
        return self

    def _make(self, name: str) -> Host:
        """A host that is not yet switched on."""
        return Host(name, self.directory / name, self._read_end, self.logs)

    def _start_switch(self, link: int) -> None:
        name = f"switch{link or ''}"
        machine = Host(name, self.directory / name, self._read_end, self.logs)
        self.switches.append(Switch(machine))
        machine.boot(remove=None if link else self.directory)
        self.switches[link].start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End everything, as the kernel does when this process dies: by closing the pipe.  Waits for that."""
        if self._write_end >= 0:
            os.close(self._write_end)
            os.close(self._read_end)
            self._write_end = -1
        for host in self._machines():
            host.await_end()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def __iter__(self) -> Iterator[Host]:
        """The cluster's hosts, without the client."""
        return iter([self.hosts[name] for name in self.names])

    @property
    def gw(self) -> Host:
        return self.hosts[CLIENT]

    @property
    def switch(self) -> Switch:
        """Of the first network, which the client is on."""
        return self.switches[0]

    def address(self, name: str, link: int = 0) -> str:
        """a1 is 192.168.110.121 and so on, 192.168.111.121 on the second network; the client is 192.168.110.1."""
        return f"{SUBNETS[link]}.{1 if name == CLIENT else 120 + int(name[1:])}"

    def mac(self, name: str, link: int = 0) -> str:
        """The interface's own MAC, the same at every boot and derived from the address."""
        return "52:54:" + ":".join(f"{int(part):02x}" for part in self.address(name, link).split("."))

    def boot(self, name: str) -> None:
        """Switch a host on: namespaces, cable, addresses, routes.  Its daemon is started by `start_daemon`."""
        host = self.hosts[name]
        is_new = not (host.directory / "upper").exists()
        if not host.up:
            host.boot(remove=None)
        if is_new:  # the machine itself may have, or have had, a vipcastd
            host.run("rm", "-rf", "/etc/vipcast", "/var/lib/vipcast").check()
        commands = ["link set lo up"]
        for link, switch in self._cables(name):
            switch.connect(host, f"eth{link}", self.mac(name, link))
            commands += [
                f"address add {self.address(name, link)}/{PREFIX_LENGTH} brd + dev eth{link}",
                f"link set eth{link} up",
            ]
        if name == CLIENT:
            commands.append(f"route add local {CLIENTS} dev lo")
        else:
            commands.append(f"route add default via {self.address(CLIENT)}")
        host.run("ip", "-batch", "-", input="\n".join(commands) + "\n").check()
        for _, switch in self._cables(name):
            switch.await_forwarding(name)
        others = "".join(f"{self.address(other)} {other}\n" for other in (CLIENT, *self.names))
        host.write("/etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n{others}")
        self._describe()

    # -- faults ------------------------------------------------------------------------------------

    def kill(self, name: str) -> None:
        """A host loses its power: its cables go dark and process 1 is killed."""
        self.unplug(name)
        self.hosts[name].kill()
        for _, switch in self._cables(name):
            switch.disconnect(name)
        self.daemons.pop(name, None)

    def unplug(self, name: str, link: int | None = None) -> None:
        """Pull a host's cable out of one network, or all of its cables."""
        for _, switch in self._cables(name, link):
            switch.unplug(name)

    def plug(self, name: str, link: int | None = None) -> None:
        for _, switch in self._cables(name, link):
            switch.plug(name)

    def partition(self, *groups: Iterable[str], link: int | None = None) -> None:
        """Cut a network: `lab.partition(["a1"], ["a2", "a3"])`; who is in no group hears everyone."""
        parts = [frozenset(group) for group in groups]
        for switch in self._networks(link):
            switch.partition(parts)

    def deafen(self, name: str, link: int | None = None) -> None:
        """One way: the others and the client hear the host, and it hears nobody of the cluster."""
        for switch in self._networks(link):
            switch.cut([(other, name) for other in self.names if other != name])

    def mute(self, name: str, link: int | None = None) -> None:
        """The other way: it hears everybody, and nobody of the cluster hears it."""
        for switch in self._networks(link):
            switch.cut([(name, other) for other in self.names if other != name])

    def heal(self, link: int | None = None) -> None:
        for switch in self._networks(link):
            switch.partition(())

    def loss(self, percent: int, *names: str, link: int | None = None) -> None:
        """Lose this part of the frames to and from the named hosts, or of all where none is named; 0 ends it."""
        for switch in self._networks(link):
            switch.loss(percent, names)

    def _networks(self, link: int | None) -> list[Switch]:
        return self.switches if link is None else [self.switches[link]]

    def _cables(self, name: str, link: int | None = None) -> list[tuple[int, Switch]]:
        """The networks that a host is on, or the one of them that is meant: the client is on the first alone."""
        found = enumerate(self.switches[:1] if name == CLIENT else self.switches)
        return [(number, switch) for number, switch in found if link in (None, number)]

    # -- programs ----------------------------------------------------------------------------------

    def configure(self, name: str) -> None:
        """Write a host's settings and the cluster's key, as an administrator would."""
        host = self.hosts[name]
        host.write(
            "/etc/vipcast/vipcast.toml",
            SETTINGS.format(
                cluster=self.cluster,
                nodes=", ".join(f'"{node}"' for node in self.names),
                name=name,
                links="\n".join(LINK.format(link=link, group=GROUP, port=PORT) for link in range(self.links)),
                profile=self.profile,
                timers="".join(f"{name} = {value}\n" for name, value in self.timers.items()),
                engine=self.engines[name],
            ),
        )
        host.write_bytes("/etc/vipcast/authkey", self.authkey, mode=0o600)

    def start_daemon(self, name: str) -> dict[str, HostProcess]:
        """`vipcast-runner`, then `vipcastd`, on one host, with their output in `host.log(...)`."""
        self.configure(name)
        return self.run_daemon(name)

    def run_daemon(self, name: str) -> dict[str, HostProcess]:
        """The same with whatever settings the host has."""
        host = self.hosts[name]
        started = {}
        for program in ("vipcast-runner", "vipcastd"):
            with host.log(program).open("ab") as log:
                started[program] = host.popen(program, stdout=log, stderr=log)
        self.daemons[name] = started
        self._describe()
        return started

    def start_daemons(self, names: Sequence[str] = ()) -> None:
        for name in names or self.names:
            self.start_daemon(name)

    def stop_daemon(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End `vipcastd`, then the runner."""
        daemons = self.daemons.pop(name, {})
        for program in ("vipcastd", "vipcast-runner"):
            if program in daemons:
                daemons[program].end(number)

    def await_cluster(self, bound_s: float = 20) -> None:
        """Wait until every host that runs a daemon says that there is a quorum and that all of them are online."""
        names = sorted(self.daemons)

        def ended() -> list[str]:
            return [
                f"{n}:{p}" for n, programs in self.daemons.items() for p, one in programs.items() if not one.running
            ]

        def agreed() -> bool:
            if ended():
                raise RuntimeError(f"ended: {', '.join(ended())}\n{self.tail()}")
            return all(self._sees(name, names) for name in names)

        try:
            wait_until(agreed, bound_s, f"a cluster of {', '.join(names)}", interval_s=0.1)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.tail()}") from None

    def _sees(self, name: str, online: Sequence[str]) -> bool:
        status = Status.of(self.hosts[name])
        return status is not None and status.quorate and status.leader is not None and set(online) <= status.online

    def processes(self) -> list[int]:
        """Every process of every host, and the guards outside, by their numbers outside."""
        return [pid for host in self._machines() for pid in host.processes()]

    def _machines(self) -> list[Host]:
        return [*self.hosts.values(), *(switch.machine for switch in self.switches)]

    def tail(self, lines: int = 60) -> str:
        """The last lines of every log, for the message of a failure."""
        texts = []
        for path in sorted(self.logs.glob("*.log")):
            text = path.read_text(errors="replace").splitlines()[-lines:]
            if text:
                texts.append("\n".join([f"--- {path.name}", *text]))
        return "\n".join(texts)

    def capture(self, expression: str = "", names: Sequence[str] = ()) -> Capture:
        """Frames that a pcap-filter(7) lets through, on the named hosts (default: all of the cluster)."""
        return Capture([self.hosts[name] for name in names or self.names], INTERFACE, expression)

    def keep(self) -> None:
        """Mark it as one that `make lab-down` may end."""
        (self.directory / "kept").touch()

    def _describe(self) -> None:
        """What `make lab-shell` reads."""
        known = {name: host.init for name, host in self.hosts.items()}
        temporary = self.directory / "lab.json.new"
        temporary.write_text(json.dumps({"pid": os.getpid(), "hosts": known}))
        temporary.replace(self.directory / "lab.json")


def _room() -> str:
    """Where the hosts' disks may lie: overlayfs takes no other overlayfs (a container's root) as its upper side."""
    for path in ROOMS:
        kind = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=False).stdout
        if kind.strip() not in ("overlayfs", ""):
            return path
    raise RuntimeError(
        "no place for the hosts' disks: set VIPCAST_LAB_DIRECTORY to a directory that is not on overlayfs"
    )
