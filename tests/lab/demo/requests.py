"""Step 7: one request seen from four hosts, then a thousand clients against what the hash says."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections import Counter

from tests.lab import Host, HostProcess, Lab, Traffic, wait_until
from tests.lab.answers import accepted_by, answered_twice, resets
from tests.lab.clients import client_range
from tests.lab.control import SharedAddress, Status
from tests.lab.demo.promises import Card
from tests.lab.demo.screen import Screen

CLIENT = "10.64.7.42"
CLIENTS = 1000
COLUMN = 23
BUFFER_TIMEOUT_S = 0.1
"""tcpdump asks libpcap for packets this often (its -i waits in the kernel's ring)"""
PACKET = re.compile(r"IP (\S+)\.\d+ > \S+: Flags \[([^]]+)\].*length (\d+)")


class RequestSteps:
    def __init__(self, lab: Lab, screen: Screen, card: Card, address: str) -> None:
        self.lab = lab
        self.screen = screen
        self.card = card
        self.address = address

    def one_request(self) -> None:
        screen = self.screen
        screen.step(7, "One request arrives everywhere and is answered once")
        command = f"vipcast who {CLIENT}"
        screen.prompt("a2", command)
        screen.output(self.lab["a2"].shell(command).check().stdout)
        predicted = self.shared().owner_of(next(client_range(1))._replace(address=CLIENT))
        screen.note(f"so {predicted} will answer.  Now the request, with tcpdump on all four hosts:")
        dumps = {host.name: self._tcpdump(host) for host in self.lab}
        for name in dumps:
            log = self.lab[name].log("tcpdump.err")
            wait_until(lambda log=log: "listening on" in log.read_text(), 5, f"tcpdump on {name}")  # type: ignore[misc]
        command = f"curl -s --interface {CLIENT} http://{self.address}/"
        screen.prompt("gw", command)
        body = self.lab.gw.shell(command).check().stdout
        screen.output(body)
        columns = {name: self._lines(dump) for name, dump in dumps.items()}
        answered = [name for name, cells in columns.items() if any(cell.startswith("◄") for cell in cells)]
        self._show(columns, answered)
        arrived = sum(any(cell.startswith("►") for cell in cells) for cells in columns.values())
        self.card.add(
            "`vipcast who` tells beforehand who answers",
            f"said {predicted}, answered {', '.join(answered)}; seen by {arrived} hosts",
            answered == [predicted] == [body.strip()] and arrived == len(columns),
            "make test-one T=the_predicted_one_answers",
        )

    def thousand_clients(self) -> None:
        screen = self.screen
        screen.line()
        screen.note(f"{CLIENTS} clients, each from an address and port of its own, by real TCP connections:")
        shared = self.shared()
        clients = list(client_range(CLIENTS))
        expected = {client: shared.owner_of(client) for client in clients}
        capture = self.lab.capture(f"tcp port 80 and host {self.address}")
        with capture, Traffic(self.lab.gw, self.address) as traffic:
            attempts = traffic.once(clients)
            capture.poll()
        segments = capture.segments()
        taken = accepted_by(segments, self.address)
        computed = Counter(expected.values())
        answered = Counter(attempt.answer for attempt in attempts if attempt.ok)
        screen.table(
            ("host", "the hash says", "connections taken", "requests answered"),
            [(name, str(computed[name]), str(taken[name]), str(answered[name])) for name in sorted(self.lab.names)],
        )
        wrong = sum(1 for attempt in attempts if attempt.ok and attempt.answer != expected[attempt.client])
        failed = sum(1 for attempt in attempts if not attempt.ok)
        reset = resets(segments, self.address)
        twice = len(answered_twice(segments, self.address))
        screen.note(f"failed {failed}, on the wrong host {wrong}, RST {reset}, packets answered twice {twice}")
        self.card.add(
            "each client has exactly one host, the one of its hash",
            f"{len(attempts)} clients: {failed} failed, {wrong} elsewhere, {reset} RST, {twice} twice",
            len(attempts) == CLIENTS and failed == wrong == reset == twice == 0 and computed == taken == answered,
            "make test-one T=a_thousand_clients",
        )

    def shared(self) -> SharedAddress:
        status = Status.of(self.lab["a2"])
        address = status.address("VIP") if status else None
        if address is None:
            raise AssertionError("a2 does not know VIP as a shared address")
        return address

    # -- tcpdump --------------------------------------------------------------------------------------------------

    def _tcpdump(self, host: Host) -> HostProcess:
        with host.log("tcpdump.err").open("wb") as errors:
            return host.popen(
                *("tcpdump", "-l", "-n", "-i", "eth0", f"tcp and host {CLIENT} and host {self.address}"),
                stdout=subprocess.PIPE,
                stderr=errors,
            )

    def _lines(self, dump: HostProcess) -> list[str]:
        """What tcpdump printed, a short cell a packet: ► to the address, ◄ from it.

        SIGINT ends it after it has written what it took; what the kernel still holds for it comes within its
        buffer's time-out.
        """
        time.sleep(BUFFER_TIMEOUT_S)
        dump.send(signal.SIGINT)
        out, _ = dump.wrapper.communicate(timeout=5)
        cells = []
        for source, flags, length in PACKET.findall(out.decode()):
            data = f" {length} B" if length != "0" else ""
            cells.append(f"{'◄' if source == self.address else '►'} [{flags}]{data}")
        return cells

    def _show(self, columns: dict[str, list[str]], answered: list[str]) -> None:
        screen = self.screen
        screen.line("   " + "".join(screen.paint(name.ljust(COLUMN), 1) for name in columns))
        for row in range(max(len(cells) for cells in columns.values())):
            cells = [column[row] if row < len(column) else "" for column in columns.values()]
            screen.line(
                "   " + "".join(screen.paint(c.ljust(COLUMN), 32 if c.startswith("◄") else 37) for c in cells)
            )
        verdicts = [("answered" if name in answered else "dropped") for name in columns]
        screen.line(
            "   "
            + "".join(
                screen.paint(verdict.ljust(COLUMN), 32 if verdict == "answered" else 2, 1) for verdict in verdicts
            )
        )
