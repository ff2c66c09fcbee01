"""Which host answers a client, and why."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from daemon.cli.layout.resources import Paint, plain
from daemon.control.schema import WhoAddress, WhoDocument

_FIELDS = {
    "sourceip": ("client address",),
    "sourcenet": ("client network",),
    "sourceip-sourceport": ("client address", "client port"),
    "sourceip-sourceport-destport": ("client address", "client port", "service port"),
}


def who(document: WhoDocument, paint: Paint = plain) -> Iterator[str]:
    """An answer for each address, each with its arithmetic."""
    client = _client(document.client, document.port)
    for at, answer in enumerate(document.addresses):
        if at:
            yield ""
        yield from _answer(client, answer, paint)


def _client(address: str, port: int | None) -> str:
    shown = f"[{address}]" if port is not None and ip_address(address).version == 6 else address
    return shown if port is None else f"{shown}:{port}"


def _answer(client: str, answer: WhoAddress, paint: Paint) -> Iterator[str]:
    host = paint(answer.answers, "strong") if answer.answers is not None else paint("nobody", "bad")
    yield f"{client} -> {answer.address} ({answer.ip}): slot {answer.slot}, {host} answers"
    fields = " + ".join(_FIELDS.get(answer.hash, (answer.hash,)))
    yield f"  hash    {answer.hash}: {fields}"
    yield f"  key     {answer.key}"
    yield f"  jhash   0x{answer.hashed:08x} (seed 0x{answer.seed:x})"
    hashed_to = (answer.hashed * answer.slots_total) >> 32
    yield f"  slot    (0x{answer.hashed:08x} * {answer.slots_total}) >> 32 = {hashed_to}"
    if answer.rule:
        yield f"  rule    {answer.rule}: it decides instead of the hash"
    holder = answer.holder or "nobody"
    moving = f", moving to {answer.successor}" if answer.successor else ""
    yield f"  holder  {holder} ({answer.phase}{moving})"
    for warning in answer.warnings:
        yield paint(f"  note: {warning}", "moving")
