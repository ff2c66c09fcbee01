"""Of the networks: the links of the settings, and what stands in the way of heartbeats."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from daemon import interfaces
from daemon.doctor.complaint import Complaint
from daemon.settings import Settings

NFT_TIMEOUT_S = 10


def links(settings: Settings) -> Iterator[Complaint]:
    """The interfaces that heartbeats take."""
    here = {interface.name: interface for interface in interfaces.of_this_host()}
    for link in settings.links:
        found = here.get(link.interface)
        causes = "no heartbeat takes this link; where it is the only one, this host is lost to the others"
        if found is None:
            there = ", ".join(name for name, one in here.items() if not one.loopback) or "none"
            yield Complaint(
                "link",
                "error",
                f"there is no interface {link.interface}; there are: {there}",
                causes,
                "ip -brief link",
            )
        elif not found.up:
            name = link.interface
            yield Complaint("link", "error", f"{name} is down", causes, f"ip link set dev {name} up")
        elif not found.addresses:
            yield Complaint(
                "link",
                "error",
                f"{link.interface} has no IPv4 address",
                causes,
                f"ip address add ADDRESS/24 dev {link.interface}",
            )
        elif link.group and not found.multicast:
            yield Complaint(
                "multicast",
                "error",
                f"{link.interface} takes no multicast",
                "heartbeats to the group do not come; with `peers` in the settings unicast would do",
                f"ip link set dev {link.interface} multicast on",
            )


def firewall(settings: Settings) -> Iterator[Complaint]:
    """Chains that drop what no rule has let in, or by a rule, in tables where no rule lets the heartbeats' port in."""
    if shutil.which("nft") is None:
        yield Complaint("firewall", "unchecked", "needs the program nft", mend="apt install nftables")
        return
    if os.geteuid() != 0:
        yield Complaint("firewall", "unchecked", "needs root")
        return
    listed = subprocess.run(
        ["nft", "--json", "list", "ruleset"], capture_output=True, timeout=NFT_TIMEOUT_S, check=False
    )
    try:
        objects = json.loads(listed.stdout)["nftables"]
    except (ValueError, KeyError):
        yield Complaint(
            "firewall", "unchecked", f"nft does not list its rules: {listed.stderr.decode()[:200].strip()}"
        )
        return
    ports = {link.port for link in settings.links}
    for family, table, chain, how in _strict_chains(objects):
        rules = [one["rule"] for one in objects if "rule" in one and _is_of(one["rule"], family, table)]
        for port in sorted(ports):
            if not any(_lets_in(rule, port) for rule in rules):
                yield Complaint(
                    "firewall",
                    "error",
                    f"nothing in table {family} {table}, whose chain {chain} {how}, lets in UDP port {port}",
                    "no heartbeat comes in: this host neither leads nor is granted a lease",
                    f"nft insert rule {family} {table} {chain} udp dport {port} accept   # and in its file",
                )


def _strict_chains(objects: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, str, str]]:
    """Family, table and name of input chains that do not take everything, and how they refuse."""
    for one in objects:
        chain = one.get("chain", {})
        if chain.get("hook") != "input" or chain["family"] not in {"ip", "inet"}:
            continue
        names = chain["family"], chain["table"], chain["name"]
        rules = [one["rule"] for one in objects if "rule" in one]
        own = [rule["expr"] for rule in rules if (rule["family"], rule["table"], rule["chain"]) == names]
        if chain.get("policy") == "drop":
            yield *names, "drops by default"
        elif any(_refuses_all(expressions) for expressions in own):
            yield *names, "ends by refusing everything"


def _refuses_all(expressions: Iterable[Mapping[str, Any]]) -> bool:
    """A rule that drops or rejects, of whatever packet, or of UDP as a whole."""
    refuses = False
    for statement in expressions:
        if "match" in statement:
            match = statement["match"]
            if _field(match) not in {"protocol", "l4proto"} or match["right"] not in ("udp", 17):
                return False
        refuses |= "drop" in statement or "reject" in statement
    return refuses


def _is_of(rule: Mapping[str, Any], family: str, table: str) -> bool:
    return bool(rule["family"] == family and rule["table"] == table)


def _lets_in(rule: Mapping[str, Any], port: int) -> bool:
    """A rule that accepts, and names the port or no port and protocol at all."""
    if not any("accept" in statement for statement in rule["expr"]):
        return False
    matches = [statement["match"] for statement in rule["expr"] if "match" in statement]
    if any(_names(match["right"], port) for match in matches if _field(match) == "dport" and not _is_tcp(match)):
        return True
    return not any(
        _field(match) in {"dport", "sport", "protocol", "state", "l4proto", "iif", "iifname"} for match in matches
    )


def _field(match: Mapping[str, Any]) -> str:
    left = match["left"]
    for kind in ("payload", "meta", "ct"):
        if isinstance(left, dict) and kind in left:
            return str(left[kind].get("field") or left[kind].get("key"))
    return ""


def _is_tcp(match: Mapping[str, Any]) -> bool:
    return bool(match["left"].get("payload", {}).get("protocol") == "tcp")


def _names(right: object, port: int) -> bool:
    if isinstance(right, dict):
        if "range" in right:
            low, high = right["range"]
            return isinstance(low, int) and isinstance(high, int) and low <= port <= high
        return any(_names(one, port) for one in right.get("set", ()))
    return right == port
