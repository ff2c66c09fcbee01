"""The laboratory's switch: a bridge in a network namespace of its own, with cables that can be cut."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterable, Sequence

from tests.lab.host import Host
from tests.lab.waiting import wait_until

BRIDGE = "br0"
RULES = """
add table bridge lab
delete table bridge lab
table bridge lab {{
    set cut {{ type ifname . ifname; {cut} }}
    chain forward {{
        type filter hook forward priority 0; policy accept;
        iifname . oifname @cut counter drop
        {loss}
    }}
}}
"""


class Switch:
    """Ports are named like the hosts in them.

    Every frame passes the bridge's forward hook once per receiver, so that each copy of a multicast frame is lost
    or not by itself.  (Not every kernel has netem.)
    """

    def __init__(self, machine: Host) -> None:
        self.machine = machine
        self._loss: tuple[int, tuple[str, ...]] = (0, ())
        self._cut: frozenset[tuple[str, str]] = frozenset()

    def start(self) -> None:
        """The bridge: no spanning tree, no snooping (an unknown multicast MAC is flooded, as by a plain switch)."""
        self.links(
            f"link add {BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
            f"link set {BRIDGE} up",
            "link set lo up",
        )

    def links(self, *commands: str) -> None:
        """A batch of ip(8) commands in the switch's network, with the process numbers of outside (for `netns`)."""
        done = self._ip(commands)
        if done.returncode != 0:
            raise RuntimeError(f"the switch: {'; '.join(commands)}: {done.stderr.strip()}")

    def _ip(self, commands: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["nsenter", "--target", str(self.machine.init), "--net", "ip", "-batch", "-"],
            input="\n".join(commands) + "\n",
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )

    def disconnect(self, name: str) -> None:
        """Remove the port of a killed host; the kernel may have done it already with the host's network."""
        self._ip([f"link delete {name}"])

    def connect(self, host: Host, interface: str, mac: str) -> None:
        """A cable from a new port to a new interface of a host that has just booted."""
        self.links(
            f"link add {host.name} type veth peer name {interface} address {mac} netns {host.init}",
            f"link set {host.name} master {BRIDGE} up",
        )

    def unplug(self, name: str) -> None:
        """Pull the cable: the host sees that it has no carrier."""
        self.links(f"link set {name} down")

    def plug(self, name: str) -> None:
        self.links(f"link set {name} up")
        self.await_forwarding(name)

    def await_forwarding(self, name: str) -> None:
        """A carrier is told to the bridge by the kernel's link watch, up to a second later when it flaps."""
        state = self.machine.path(f"/sys/class/net/{name}/brport/state")
        wait_until(lambda: state.read_text().strip() == "3", 5, f"the port of {name} forwarding")

    def partition(self, groups: Sequence[Iterable[str]]) -> None:
        """Members of different groups do not hear each other; who is in no group hears everyone.  () heals all."""
        pairs: set[tuple[str, str]] = set()
        for one, other in itertools.permutations([frozenset(group) for group in groups], 2):
            pairs.update(itertools.product(one, other))
        self._cut = frozenset(pairs)
        self._write_rules()

    def cut(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Frames from the first port of each pair do not reach the second; () heals."""
        self._cut = frozenset(pairs)
        self._write_rules()

    def loss(self, percent: int, names: Iterable[str] = ()) -> None:
        """Drop this part of all frames to and from the named ports (of every port where none is named)."""
        if not 0 <= percent <= 100:
            raise ValueError(f"loss of {percent}%: between 0 and 100")
        self._loss = (percent, tuple(names))
        self._write_rules()

    def dropped(self) -> int:
        """Frames that the partition has cut since the last change of rules."""
        listing = self.machine.run("nft", "list", "table", "bridge", "lab").stdout
        words = listing.split()
        return sum(int(words[index + 1]) for index, word in enumerate(words) if word == "packets")

    def _write_rules(self) -> None:
        cut = ", ".join(f'"{one}" . "{other}"' for one, other in sorted(self._cut))
        percent, names = self._loss
        chance = f"numgen random mod 100 < {percent} drop" if percent < 100 else "drop"
        if not percent:
            loss = ""
        elif names:
            ports = ", ".join(f'"{name}"' for name in names)
            loss = f"iifname {{ {ports} }} {chance}\n        oifname {{ {ports} }} {chance}"
        else:
            loss = chance
        rules = RULES.format(cut=f"elements = {{ {cut} }}" if cut else "", loss=loss)
        self.machine.run("nft", "-f", "-", input=rules).check()
