"""The laboratory with systemd as process 1 of each host of the cluster; client, router and switch are as ever."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.lab.control import Status
from tests.lab.host import Host
from tests.lab.hostinit import REBOOTED, SWITCHED_OFF
from tests.lab.lab import CLIENT, Lab
from tests.lab.process import Completed
from tests.lab.waiting import wait_until
from tests.systemd.image import installed

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SERVICES = ("vipcast-runner.service", "vipcastd.service")
NETWORK_IS_UP = "/run/lab-network"
BOOT_S = 30.0
SHUTDOWN_S = 120.0
"""vipcastd may take TimeoutStopSec= of its unit"""


class Machine(Host):
    """A host that systemd runs."""

    def environment(self) -> dict[str, str]:
        """As after a log-in: the programs are those that are installed."""
        return {**super().environment(), "PATH": PATH}

    def systemctl(self, line: str, timeout_s: float = 120) -> Completed:
        """Run `systemctl LINE`."""
        return self.run("systemctl", *shlex.split(line), timeout_s=timeout_s)

    def property(self, unit: str, name: str) -> str:
        """One property of a unit, as `systemctl show` prints it."""
        return self.systemctl(f"show --value --property={name} {unit}").stdout.strip()

    def main_pid(self, unit: str) -> int:
        """Number of a service's main process in the host; 0 while it has none."""
        return int(self.property(unit, "MainPID") or 0)

    def is_active(self, unit: str) -> bool:
        return self.property(unit, "ActiveState") == "active"

    def journal(self, *fields: str) -> list[dict[str, Any]]:
        """What the journal has under these fields (`VIPCAST_RESOURCE=VIP`), the oldest first."""
        said = self.run("journalctl", "--no-pager", "--output=json", "--all", *fields).stdout
        return [json.loads(line) for line in said.splitlines()]

    def await_boot(self) -> None:
        """Until systemd takes commands."""
        wait_until(lambda: self.path("/run/systemd/private").exists(), BOOT_S, f"systemd on {self.name}")


class SystemdLab(Lab):
    """See Lab.  A host's daemon is started by what is enabled on it, not by the laboratory."""

    def _make(self, name: str) -> Host:
        if name == CLIENT:
            return super()._make(name)
        host = Machine(name, self.directory / name, self._read_end, self.logs)
        host.image = installed()
        return host

    def machine(self, name: str) -> Machine:
        host = self.hosts[name]
        assert isinstance(host, Machine)
        return host

    @property
    def machines(self) -> list[Machine]:
        return [self.machine(name) for name in self.names]

    def boot(self, name: str) -> None:
        super().boot(name)
        host = self.hosts[name]
        if isinstance(host, Machine):
            host.await_boot()
            host.write(NETWORK_IS_UP, "")

    def install(self, names: Sequence[str] = ()) -> None:
        """What an administrator, or the package, does once on a host: users, folders, settings, enabled units."""
        for name in names or self.names:
            machine = self.machine(name)
            machine.run("systemd-sysusers", "vipcast.conf").check()
            machine.run("systemd-tmpfiles", "--create", "vipcast.conf").check()
            self.configure(name)
            machine.systemctl("preset vipcast-runner.service vipcastd.service vipcast.target").check()

    def start_cluster(self, names: Sequence[str] = ()) -> None:
        """`systemctl start` on each, side by side, and a quorum of all."""
        for name in names or self.names:
            self.machine(name).systemctl("start --no-block vipcast.target").check()
        self.await_members(names or self.names)

    def await_members(self, names: Sequence[str] = (), bound_s: float = 60) -> None:
        """Until each of them says that there is a quorum and that all of them are online."""
        wanted = set(names or self.names)

        def agreed() -> bool:
            return all(self._sees(name, sorted(wanted)) for name in sorted(wanted))

        wait_until(agreed, bound_s, f"a cluster of {', '.join(sorted(wanted))}", interval_s=0.1)

    def reboot(self, name: str) -> None:
        """`systemctl reboot`, to the host's next start; what is enabled there begins to run."""
        self._end(name, "reboot", REBOOTED)
        self.boot(name)

    def switch_off(self, name: str) -> None:
        """`systemctl poweroff`; `boot` switches it on again."""
        self._end(name, "poweroff", SWITCHED_OFF)

    def _end(self, name: str, how: str, expected: int) -> None:
        self.machine(name).systemctl(how)
        self.await_end(name, expected)

    def await_end(self, name: str, expected: int) -> None:
        """Until the host has rebooted or is off, as it was told; raises AssertionError where it ended otherwise."""
        host = self.machine(name)
        wait_until(lambda: not host.up, SHUTDOWN_S, f"the end of {name}")
        host.await_end()
        for _, switch in self._cables(name):
            switch.disconnect(name)
        assert host.ended == expected, f"{name} ended with {host.ended}, not {expected}\n{self.tail()}"

    def status(self, name: str) -> Status | None:
        return Status.of(self.hosts[name])

    def tail(self, lines: int = 40) -> str:
        """Logs, consoles and journals of every host, their last lines."""
        parts = [super().tail(lines)]
        for machine in self.machines:
            console = Path(machine.directory) / "console.log"
            if console.exists():
                parts += [
                    f"--- console of {machine.name}",
                    *console.read_text(errors="replace").splitlines()[-lines:],
                ]
            if machine.up:
                said = machine.run("journalctl", "--no-pager", "-o", "short-monotonic", "-n", str(lines))
                parts += [f"--- journal of {machine.name}", said.stdout]
        return "\n".join(parts)
