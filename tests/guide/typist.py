"""Somebody who reads a page and types what it says, on the hosts of a laboratory."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.systemd.lab import SystemdLab
from tests.unit.docs.typed import PROMPT, Typed, typed

ENDLESS = ("tcpdump ", "vipcast cluster log -f")
"""an administrator ends these by ^C"""
SECONDS = 3
BOUND_S = 150.0


class Typist:
    """Types the blocks of pages; names of the pages' hosts and addresses become those of the laboratory."""

    def __init__(self, lab: SystemdLab) -> None:
        self.lab = lab
        self.token = ""
        self.failed: list[str] = []
        self._index, self._time = "1", ""

    def read(self, page: Path) -> int:
        """Type all of a page; how many commands that were.  What failed is in `failed`."""
        self._index, self._time = self._now()
        return sum(self._block(block) for block in typed(page) if block.is_run)

    def _now(self) -> tuple[str, str]:
        """An entry of the log and a time that the pages' 4711 and 21:10 stand for; none before there is a cluster."""
        host = self.lab["a1"]
        logged = re.findall(r"^ *(\d+) ", host.shell("vipcast cluster log -n 1").stdout, re.MULTILINE)
        return (logged or ["1"])[-1], host.run("date", "+%F %T").stdout.strip()

    def _block(self, block: Typed) -> int:
        count = 0
        for host in block.hosts:
            said: str | None = None
            for line in (*block.before, *block.lines):
                prompt = PROMPT.match(line)
                on = prompt["host"] if prompt else host
                if said is not None and not prompt and block.lines[0].startswith("["):
                    self._expect(line, said)
                    continue
                said = self._type(on, line[prompt.end() :] if prompt else line, block)
                count += 1
        return count

    def _type(self, host: str, line: str, block: Typed) -> str:
        command, statuses = self._here(line), block.statuses
        if command.startswith(ENDLESS):
            command, statuses = f"timeout {SECONDS} {command}", statuses | {124}
        done = self.lab[self._here(host)].shell(f"cd /root && {command}", timeout_s=BOUND_S)
        if done.returncode not in statuses:
            said = f"{done.returncode}\n{done.stdout[-600:]}{done.stderr[-900:]}"
            self.failed.append(f"{block.block.page.name}: {host}# {command}: {said}")
        if command.startswith("vipcast cluster token"):
            self.token = done.stdout.strip().splitlines()[-1] if done.stdout else ""
        return done.stdout

    def _here(self, line: str) -> str:
        """A line of the page as it is typed in the laboratory."""
        line = re.sub(r"\bn(\d)\b", r"a\1", line).replace("192.0.2.10", "192.168.110.120")
        line = re.sub(r"\b4711\b", self._index, line).replace("2026-11-22 21:10:05", self._time)
        return re.sub(r"\bTOKEN\b", lambda _: shlex.quote(self.token), line)

    def _expect(self, line: str, said: str) -> None:
        """What the page shows is what was said, but for numbers, room, and what `…` stands for."""
        words = [re.escape(word).replace("…", ".*") for word in self._here(line).split()]
        pattern = r"\s+".join(re.sub(r"\d+", r"\\d+", word) for word in words)
        if not re.search(pattern, said):
            self.failed.append(f"the page shows:\n{line}\nand this was said:\n{said}")
