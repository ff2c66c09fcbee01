"""Which engine serves this host: the one that is asked for, or the best that its kernel has."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from datapath.engine import Address, DatapathError, Engine, HashKind
from datapath.netlink import Message, Socket
from datapath.nft import belts, ruleset
from datapath.nft.lease import Term, renewal
from datapath.nft.protocol import NETLINK_NETFILTER, Family, abandoned_batch, batch
from datapath.nft.readback import Reader

log = logging.getLogger(__name__)

SETTINGS = ("auto", "nft", "raw", "bpf")


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine, not yet started, and why it is this one."""

    engine: Engine
    reason: str


def choose(setting: str, run_dir: Path) -> Choice:
    """`auto` takes bpf where its object is there and the kernel loads it, else nft, else raw, and says what is missing.

    What another engine has left in the kernel is taken down: no two of ours judge the same packets.
    DatapathError for an unknown setting, and when an engine that is asked for by name cannot work here.
    """
    if setting not in SETTINGS:
        raise DatapathError(f"there is no engine {setting!r}; datapath is one of {', '.join(SETTINGS)}")
    lacks: dict[str, str] = {}
    for name, engine in _ENGINES.items():
        if setting not in ("auto", name):
            continue
        missing = engine.missing()
        if missing is None:
            reason = f"{name}, as the settings say" if setting == name else f"{name}: the kernel has it"
            without = "".join(f"; {other} cannot work here: {why}" for other, why in lacks.items())
            return Choice(engine.make(run_dir), reason + without)
        if setting == name:
            raise DatapathError(f"the {name} engine cannot work here: {missing}; mend that or set datapath to auto")
        lacks[name] = missing
    raise AssertionError("the raw engine works everywhere")


def missing_for_bpf() -> str | None:
    """What the host lacks for the bpf engine, in words; None when it has everything."""
    from datapath.bpf import presence  # noqa: PLC0415 - only what is in use is loaded

    return presence.missing()


def missing_for_nft() -> str | None:
    """What the kernel lacks for the nft engine, in words; None when it has everything.

    The kernel is asked to make our very rule set, piece by piece, in batches that are abandoned instead of
    committed: it checks everything and changes nothing.  (Base chains need an interface; the loopback is there.)
    """
    try:
        netlink = Socket(NETLINK_NETFILTER)
    except DatapathError as problem:
        return str(problem)
    try:
        for feature, messages in _features():
            try:
                netlink.transact(abandoned_batch(messages))
            except DatapathError as problem:
                return f"{feature} ({problem})"
    finally:
        netlink.close()
    return None


def _features() -> list[tuple[str, list[Message]]]:
    """What is needed, each piece with those before it."""
    probe = Address(
        resource="probe",
        ip=IPv4Address("192.0.2.1"),
        prefixlen=32,
        interface="lo",
        mac="01:00:5e:00:00:01",
        hash_kind=HashKind.SOURCEIP_SOURCEPORT_DESTPORT,
        seed=1,
        slots=2,
    )
    tables = [*ruleset.drop_table(Family.NETDEV), *ruleset.netdev_table()]
    hooked = [*tables, *ruleset.hook_interface(probe.interface)]
    leased = [*hooked, *renewal(Term(wall_ns=1, timeout_ms=1000))]
    belted = [*leased, *ruleset.drop_table(Family.ARP), *belts.arp_table()]
    belted6 = [*belted, *ruleset.drop_table(Family.IP6), *belts.neighbour_table()]
    return [
        ("it has no nf_tables for the netdev family (NF_TABLES_NETDEV)", tables),
        ("nf_tables has no ingress hook (NETFILTER_INGRESS)", hooked),
        ("nf_tables has no interval sets with timeouts", leased),
        ("nf_tables has no ARP family (NF_TABLES_ARP)", belted),
        ("nf_tables has no IPv6 family (NF_TABLES_IPV6)", belted6),
        ("nf_tables has no hash, dynamic sets or named counters (NFT_HASH)", belted6 + ruleset.add_address(probe)),
    ]


def _bpf(run_dir: Path) -> Engine:
    from datapath.bpf.engine import BpfEngine  # noqa: PLC0415 - only the engine in use is loaded

    _take_down_nft()
    return BpfEngine(run_dir)


def _nft(run_dir: Path) -> Engine:
    from datapath.nft.engine import NftEngine  # noqa: PLC0415 - only the engine in use is loaded

    _take_down_bpf(run_dir)
    return NftEngine(run_dir)


def _raw(run_dir: Path) -> Engine:
    from datapath.raw.engine import RawEngine  # noqa: PLC0415 - only the engine in use is loaded

    _take_down_nft()
    _take_down_bpf(run_dir)
    return RawEngine(run_dir)


def _take_down_bpf(run_dir: Path) -> None:
    """A program that a former process has left would drop beside another engine what that one accepts."""
    from datapath.bpf import presence  # noqa: PLC0415 - only what is in use is loaded

    try:
        presence.take_down(run_dir)
    except DatapathError as problem:
        log.warning("the program of the bpf engine may have been left: %s", problem)


def _take_down_nft() -> None:
    """Rules that a former process has left would accept beside another engine until their lease ends."""
    try:
        netlink = Socket(NETLINK_NETFILTER)
    except DatapathError:
        return  # no nf_tables, no rules
    try:
        for family in Family:
            if Reader(netlink).has_table(family):
                netlink.transact(batch(ruleset.drop_table(family)))
    except DatapathError as problem:
        log.warning("rules of the nft engine may have been left: %s", problem)
    finally:
        netlink.close()


@dataclass(frozen=True, slots=True)
class _Kind:
    missing: Callable[[], str | None]
    make: Callable[[Path], Engine]


_ENGINES = {
    "bpf": _Kind(missing_for_bpf, _bpf),
    "nft": _Kind(missing_for_nft, _nft),
    "raw": _Kind(lambda: None, _raw),
}
"""In the order in which `auto` takes them."""
