"""What filters a host's packets: an engine, the peer's rules, or nothing; a quarter of all slots, as one of four hosts.

The peer is Pacemaker's agent of 2026 in a cluster of four: nft rules at prerouting, priority mangle, one for each
slot that the host holds, and one for each address that drops the rest (tests/netns/test_takeover.py has them too).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address
from typing import Literal

from bench.datapath.hosts import PREFIXLEN, Host
from datapath.engine import Address, HashKind, SlotState, Wish
from datapath.hashing import slot_of_flow
from datapath.mac import agents_seed, pack_mac, shared_mac
from tests.netns import actions, raw_runner
from tests.netns.moves import steps

Filter = Literal["none", "peer", "nft", "bpf", "raw"]
ENGINES: tuple[Filter, ...] = ("bpf", "nft")
MAKERS = {
    "bpf": "datapath.bpf.engine:BpfEngine",
    "nft": "datapath.nft.engine:NftEngine",
    "raw": "datapath.raw.engine:RawEngine",
}
HOSTS = 4
LEASE_MS = 3_600_000
SEED = 0x1234ABCD
_ADDRESSES_IN_A_ROW = 250


def address(number: int, slots: int) -> Address:
    """The `number`th shared address (from 0), hashed as the peer hashes: by client, with its seed."""
    ip = IPv4Address(f"10.77.{200 + number // _ADDRESSES_IN_A_ROW}.{1 + number % _ADDRESSES_IN_A_ROW}")
    return Address(
        resource=f"VIP{number}",
        ip=ip,
        prefixlen=PREFIXLEN,
        interface="eth0",
        mac=shared_mac(ip, PREFIXLEN),
        hash_kind=HashKind.SOURCEIP,
        seed=agents_seed(ip, PREFIXLEN),
        slots=slots,
    )


def own_slots(shared: Address) -> range:
    """Those of the first of HOSTS hosts, to which they were dealt in turn."""
    return range(0, shared.slots, HOSTS)


def stand(host: Host, kind: Filter, addresses: Sequence[Address], slots: Iterable[int] | None = None) -> None:
    """Put the filter on the host, with these slots of each address open (by default a quarter)."""
    states = {shared: list(own_slots(shared) if slots is None else slots) for shared in addresses}
    if kind == "none":
        _assign(host, addresses)
    elif kind == "peer":
        _assign(host, addresses)
        host.run("nft", "-f", "-", text=peers_rules(states.items()))
    else:
        host.process.call(actions.start_engine, MAKERS[kind], str(host.run_dir))
        if kind == "raw":
            host.process.call(raw_runner.serve, str(host.run_dir))
            host.process.call(steps.await_forwarder)
        wishes = [Wish(shared, dict.fromkeys(own, SlotState.OPEN)) for shared, own in states.items()]
        host.process.call(actions.apply, wishes)
        host.process.call(actions.renew, LEASE_MS)


def _assign(host: Host, addresses: Sequence[Address]) -> None:
    lines = "".join(f"addr add {shared.ip}/32 dev lo\n" for shared in addresses)
    host.run("ip", "-batch", "-", text=lines)


def peers_rules(states: Iterable[tuple[Address, Sequence[int]]]) -> str:
    """For nft(8)."""
    rules = []
    for shared, own in states:
        for slot in own:
            rules.append(
                f'iif "eth0" ip daddr {shared.ip} jhash ip saddr mod {shared.slots} seed {shared.seed:#x} offset 1'
                f" == {slot + 1} meta pkttype set host accept"
            )
        rules.append(f'iif "eth0" ip daddr {shared.ip} drop')
    lines = "\n        ".join(rules)
    return f"""table ip IPaddr2_peer {{
    chain prerouting {{
        type filter hook prerouting priority mangle; policy accept;
        {lines}
    }}
}}
"""


def clients(shared: Address, mine: bool, count: int) -> list[IPv4Address]:
    """Clients of the address that hash to slots of this host, or to none of them."""
    own, found = set(own_slots(shared)), []
    for number in range(1, 1 << 16):
        client = IPv4Address((10 << 24 | 80 << 16) + number)
        if (slot_of_flow(shared, client.packed, 20_000, 9) in own) is mine:
            found.append(client)
            if len(found) == count:
                return found
    raise AssertionError(f"too few clients for {shared.resource}")


def shared_frame_mac(shared: Address) -> bytes:
    return pack_mac(shared.mac)
