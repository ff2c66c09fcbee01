"""`vipcast who`: which slot and host a client belongs to; asked of the cluster, or computed from what is typed."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from daemon.cli.call import OK, Call, CommandError
from daemon.cli.grammar import UsageError

_OFFLINE = ("--slots", "--hash", "--seed")


def who(call: Call) -> int:
    """`vipcast who <client>[:<port>] [<address>[:<port>]]`"""
    client, port = parse_endpoint(call, call.arguments[0])
    if call.has("--vip") or any(call.has(option) for option in _OFFLINE):
        return _offline(call, client, port)
    wanted, destination_port = None, None
    if len(call.arguments) > 1:
        wanted, destination_port = _wanted(call, call.arguments[1])
    if call.has("--destport"):
        destination_port = call.number("--destport", 0, 0, 65535)
    document = call.client.who(str(client), port, wanted, destination_port)
    if call.out.json_wanted:
        call.out.document(document)
        return OK
    from daemon.cli.layout.who import who as lines  # noqa: PLC0415 - start-up time

    call.out.lines(lines(document, call.out.painted))
    return OK


def parse_endpoint(call: Call, text: str) -> tuple[IPv4Address | IPv6Address, int | None]:
    """`10.0.0.7`, `10.0.0.7:4321`, `2001:db8::7`, `[2001:db8::7]:4321`.  Raises UsageError."""
    address, port = _split(text)
    try:
        parsed = ip_address(address)
    except ValueError:
        raise call.misuse(f"'{text}' is no client: ADDRESS, ADDRESS:PORT or [IPV6ADDRESS]:PORT") from None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return parsed, _port(call, port, text)


def _split(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        address, _, rest = text[1:].partition("]")
        return address, rest.removeprefix(":") if rest else None
    if text.count(":") == 1:
        address, _, port = text.partition(":")
        return address, port
    return text, None  # no port, or an IPv6 address without brackets


def _port(call: Call, port: str | None, text: str) -> int | None:
    if port is None:
        return None
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) <= 65535):
        raise call.misuse(f"'{text}': '{port}' is no port, ports are 0 to 65535")
    return int(port)


def _wanted(call: Call, text: str) -> tuple[str, int | None]:
    """A resource id or an address, perhaps with the service's port."""
    name, port = _split(text)
    return name, _port(call, port, text)


def _offline(call: Call, client: IPv4Address | IPv6Address, port: int | None) -> int:
    """The same function as the kernel's, for people who check it by hand: prints the slot alone."""
    from datapath.engine import HashKind  # noqa: PLC0415 - start-up time
    from datapath.hashing import PORTS_IN_KEY, SLOTS_MAX, jhash, key_of, reciprocal_scale  # noqa: PLC0415

    missing = [option for option in ("--vip", *_OFFLINE) if call.value(option) is None]
    if missing:
        raise call.misuse(f"without a daemon, {' and '.join(missing)} must be given as well")
    vip, destination_port = parse_endpoint(call, call.value("--vip") or "")
    if vip.version != client.version:
        raise CommandError(f"{client} is IPv{client.version} and {vip} is IPv{vip.version}")
    if call.has("--destport"):
        destination_port = call.number("--destport", 0, 0, 65535)
    slots = call.number("--slots", 1, 1, SLOTS_MAX)
    seed = _seed(call, call.value("--seed") or "")
    try:
        kind = HashKind(call.value("--hash") or "")
    except ValueError:
        kinds = ", ".join(kind.value for kind in HashKind)
        raise call.misuse(f"--hash takes {kinds}, not '{call.value('--hash')}'") from None
    if PORTS_IN_KEY[kind] and port is None:
        raise call.misuse(f"{kind.value} hashes the client's port as well: ADDRESS:PORT")
    try:
        key = key_of(kind, client, port, destination_port)
    except ValueError as error:
        raise UsageError(f"{error}: --vip ADDRESS:PORT or --destport PORT", call.command) from error
    hashed = jhash(key, seed)
    slot = reciprocal_scale(hashed, slots)
    if call.out.json_wanted:
        call.out.line(f'{{"slot": {slot}}}')
        return OK
    call.out.line(f"slot {slot}")
    call.out.line(f"  key     {key.hex()}")
    call.out.line(f"  jhash   0x{hashed:08x} (seed 0x{seed:x})")
    call.out.line(f"  slot    (0x{hashed:08x} * {slots}) >> 32 = {slot}")
    return OK


def _seed(call: Call, text: str) -> int:
    try:
        seed = int(text, 0)
    except ValueError:
        raise call.misuse(f"--seed takes a number, decimal or 0x…, not '{text[:40]}'") from None
    if not 0 <= seed < 1 << 32:
        raise call.misuse("--seed takes 32 bits: 0 to 0xffffffff")
    return seed
