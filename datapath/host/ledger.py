"""What we changed on this host and what was there before, so that it can be put back even by the next process.

The file lies in the run directory, which is empty after a boot, as the kernel's settings are back to theirs.
A file of another boot or of another network namespace says nothing about this one and is set aside.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from datapath.engine import DatapathError

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/net")


@dataclass
class Ledger:
    """Notes are written before the change that they describe: a crash leaves too much in it, never too little."""

    path: Path
    settings: dict[str, tuple[str, str]] = field(default_factory=dict)
    """kernel setting → (what was there, what we wrote)"""
    addresses: dict[str, list[str]] = field(default_factory=dict)
    """interface → addresses that we put there"""
    macs: dict[str, list[str]] = field(default_factory=dict)
    """interface → MACs that we admitted"""
    groups: dict[str, list[str]] = field(default_factory=dict)
    """interface → multicast groups that we joined"""

    @classmethod
    def load(cls, path: Path) -> Ledger:
        """Read it; one that is missing, damaged or of another boot or namespace is empty."""
        try:
            noted = json.loads(path.read_text())
            if noted["where"] != _where():
                return cls(path)
            settings = {name: (str(before), str(ours)) for name, (before, ours) in noted["settings"].items()}
            return cls(path, settings, dict(noted["addresses"]), dict(noted["macs"]), dict(noted["groups"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls(path)

    def save(self) -> None:
        """Atomically: a reader finds the old or the new one.  Raises DatapathError where it cannot be written."""
        content = {
            "where": _where(),
            "settings": self.settings,
            "addresses": self.addresses,
            "macs": self.macs,
            "groups": self.groups,
        }
        fresh = self.path.with_suffix(".new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps(content))
            os.replace(fresh, self.path)
        except OSError as problem:
            raise DatapathError(
                f"cannot note in {self.path} what the host was like before: {problem.strerror}; "
                "give the run directory to the user that vipcastd runs as"
            ) from problem

    @property
    def is_empty(self) -> bool:
        return not (self.settings or self.addresses or self.macs or self.groups)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)


def note(of: dict[str, list[str]], interface: str, what: str) -> bool:
    """Add an entry; True when it is new."""
    entries = of.setdefault(interface, [])
    if what in entries:
        return False
    entries.append(what)
    return True


def note_all(of: dict[str, list[str]], interface: str, what: Iterable[str]) -> list[str]:
    """Add entries; returns those that are new."""
    known = set(of.get(interface, ()))
    fresh = [entry for entry in dict.fromkeys(what) if entry not in known]
    if fresh:
        of.setdefault(interface, []).extend(fresh)
    return fresh


def strike(of: dict[str, list[str]], interface: str, what: str) -> None:
    """Take an entry out."""
    entries = of.get(interface, [])
    if what in entries:
        entries.remove(what)
    if not entries:
        of.pop(interface, None)


def _where() -> list[str]:
    return [_BOOT_ID.read_text().strip(), os.readlink(_NAMESPACE)]
