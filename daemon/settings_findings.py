"""What is wrong with the settings, in an administrator's words, with file, line and remedy."""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any

from daemon.model import findings
from daemon.tomllines import LineIndex


class Finding(findings.Finding):
    """A finding with its place in front: `/etc/vipcast/vipcast.toml:7: timers.lease_ms: Error: …`."""

    def __str__(self) -> str:
        return f"{self.where}: {findings.Finding.__str__(self)}"


class Places:
    """Names a key with its file and line."""

    def __init__(self, path: Path, lines: LineIndex) -> None:
        self._path = path
        self._lines = lines

    def __call__(self, *key: str | int) -> str:
        line = self._lines.line(key)
        place = f"{self._path}:{line}" if line is not None else str(self._path)
        return f"{place}: {dotted(key)}" if key else place


def dotted(key: tuple[str | int, ...]) -> str:
    """`link[0].port` for ("link", 0, "port")."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def syntax(path: Path, error: tomllib.TOMLDecodeError) -> Finding:
    said = str(error)
    place = re.search(r"\(at line (\d+), column \d+\)", said)
    where = f"{path}:{place.group(1)}" if place else str(path)
    message = re.sub(r"\s*\(at .*\)$", "", said)
    return Finding("syntax", "error", where, message, "see https://toml.io for how values are written")


def refusal(places: Places, detail: Any, known: list[str]) -> Finding:
    """What pydantic found, in an administrator's words; `known` are the keys that could stand there."""
    key: tuple[str | int, ...] = detail["loc"]
    kind: str = detail["type"]
    where = places(*key)
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(key[-1]), known, n=1)
        remedy = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known)}"
        return Finding("unknown-key", "error", where, f"unknown key '{key[-1]}'", remedy)
    if kind == "missing":
        example = _EXAMPLES.get(tuple(part for part in key if isinstance(part, str)), f"{key[-1]} = …")
        return Finding("missing", "error", where, "missing", f"write {example}")
    said = _PLAINLY.get(kind, detail["msg"][:1].lower() + detail["msg"][1:])
    message = f"{_shortened(detail['input'])} cannot be used: {said}"
    shape = tuple(part for part in key if isinstance(part, str))
    remedy = f"for example {_EXAMPLES[shape]}" if shape in _EXAMPLES else "correct the value"
    return Finding("bad-value", "error", where, message, remedy)


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_PLAINLY = {
    "model_type": "this is a table, not a value",
    "string_type": "write it in quotes",
    "int_type": "write a whole number",
    "float_type": "write a number",
    "tuple_type": "write a list, in square brackets",
    "path_type": "write a path, in quotes",
}

_EXAMPLES: dict[tuple[str, ...], str] = {
    ("cluster",): 'a table: [cluster], name = "demo"',
    ("cluster", "name"): 'name = "demo"',
    ("cluster", "nodes"): 'nodes = ["a1", "a2", "a3"]',
    ("cluster", "cipher"): 'cipher = "aes-256-gcm"',
    ("node", "name"): 'name = "a1"',
    ("node", "witness"): "witness = true",
    ("link",): 'a table: [[link]], interface = "eth0", group = "239.192.110.1", port = 5405',
    ("link", "interface"): 'interface = "eth0"',
    ("link", "group"): 'group = "239.192.110.1"',
    ("link", "port"): "port = 5405",
    ("link", "peers"): 'peers = ["192.0.2.11"]',
    ("timers", "profile"): 'profile = "default"',
    ("timers", "heartbeat_ms"): "heartbeat_ms = 50",
    ("timers", "leadership_lease_ms"): "leadership_lease_ms = 150",
    ("timers", "lease_ms"): "lease_ms = 350",
    ("timers", "drift"): "drift = 0.2",
    ("datapath", "engine"): 'engine = "auto"',
    ("paths", "authkey"): 'authkey = "/etc/vipcast/authkey"',
    ("paths", "state"): 'state = "/var/lib/vipcast"',
    ("paths", "run"): 'run = "/run/vipcast"',
    ("paths", "agents"): 'agents = ["/usr/lib/ocf"]',
    ("realtime", "scheduling"): 'scheduling = "auto"',
}
