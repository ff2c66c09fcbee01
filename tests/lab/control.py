"""What a host's daemon says of the cluster, asked at its control socket from outside: cheap enough to ask often."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Self

from datapath.engine import HashKind
from datapath.hashing import key_of, slot
from tests.lab.clients import Client, client_range
from tests.lab.host import Host

SOCKET = "/run/vipcast/control.sock"
TIMEOUT_S = 2.0
ANSWER_BYTES_MAX = 16 << 20


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(self._path)


@dataclass(frozen=True, slots=True)
class SharedAddress:
    """An address with its slots, as one host's daemon knows them."""

    id: str
    ip: str
    hash: HashKind
    seed: int
    slots: int
    holders: dict[int, str | None]
    open: frozenset[int]
    """slots that are open in the kernel of their holder, in no move"""

    def slot_of(self, client: Client) -> int:
        """The slot of a client, by the function that `vipcast who` uses."""
        return slot(key_of(self.hash, ip_address(client.address), client.port, 80), self.seed, self.slots)

    def clients_by_slot(self, count: int, second_octet: int = 64) -> dict[int, list[Client]]:
        """`count` different clients of each slot.  Raises ValueError where there are not as many."""
        found: dict[int, list[Client]] = {number: [] for number in range(self.slots)}
        wanting = set(found)
        for client in client_range(60_000, second_octet=second_octet):
            clients = found[self.slot_of(client)]
            if len(clients) < count:
                clients.append(client)
                if len(clients) == count:
                    wanting.discard(self.slot_of(client))
                    if not wanting:
                        return found
        raise ValueError(f"too few clients of 10.{second_octet}.0.0/16 for the slots {sorted(wanting)}")

    def owner_of(self, client: Client) -> str | None:
        return self.holders[self.slot_of(client)]


@dataclass(frozen=True, slots=True)
class Status:
    """A status document (docs/reference/control-api.md), and the questions that the laboratory asks of it."""

    document: dict[str, Any]

    @classmethod
    def of(cls, host: Host) -> Self | None:
        """None when the daemon does not answer."""
        if not host.up:
            return None
        connection = _UnixConnection(str(host.path(SOCKET)))
        try:
            connection.request("GET", "/v1/status")
            answer = connection.getresponse()
            body = answer.read(ANSWER_BYTES_MAX)
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return cls(json.loads(body)) if answer.status == 200 else None

    @property
    def quorate(self) -> bool:
        return bool(self.document["quorate"])

    @property
    def leader(self) -> str | None:
        leader: str | None = self.document["leader"]
        return leader

    @property
    def online(self) -> set[str]:
        return {node["name"] for node in self.document["nodes"] if node["online"]}

    def address(self, resource: str) -> SharedAddress | None:
        """The shared address of this primitive, None while it is not shared."""
        for one in self.document["addresses"]:
            if one["id"] == resource:
                return SharedAddress(
                    id=resource,
                    ip=one["ip"],
                    hash=HashKind(one["hash"]),
                    seed=one["seed"],
                    slots=one["slots_total"],
                    holders={entry["slot"]: entry["holder"] for entry in one["slots"]},
                    open=frozenset(
                        entry["slot"] for entry in one["slots"] if entry["phase"] == "open" and entry["opened"]
                    ),
                )
        return None

    def started(self, resource: str) -> list[str]:
        """Nodes on which instances of a primitive are started, in the document's order."""
        return [
            instance["node"]
            for primitive in _primitives(self.document["resources"])
            if primitive["id"] == resource
            for instance in primitive["instances"]
            if instance["role"] == "Started" and instance["node"]
        ]


def _primitives(resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for resource in resources:
        if resource["kind"] == "primitive":
            found.append(resource)
        found += _primitives(resource["members"])
    return found
