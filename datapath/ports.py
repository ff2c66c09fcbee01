"""Rules for ports as an administrator writes them, and as an engine can look them up.  Pure.

    80:shared 443:shared tcp/22:one udp/5000-5099:one:3 *:refused

One rule after the other, by blanks or commas: ports (a number, a range, `*` for all), before them a protocol if the
rule is for one only, and what becomes of packets to them: `shared` by the hash, `one` slot (0 if none is named) and
so one host at a time, or `refused`, dropped by every host.  The first rule that fits decides; where none fits,
packets are shared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from datapath.engine import PortFate, PortRule
from datapath.hashing import rule_for

PORT_MAX = 65_535
RULES_MAX = 16
"""for each address: packets may meet them one after the other"""
TEXT_MAX = 240
"""characters of all rules of an address together: what the kernel keeps beside a chain"""
SLOT_MAX = 65_535

PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
_NAMES = {number: name for name, number in PROTOCOLS.items()}
_RULE = re.compile(
    r"(?:(?P<protocol>[a-z]+)/)?(?P<ports>\*|[0-9]{1,5}(?:-[0-9]{1,5})?):(?P<fate>[a-z]+)(?::(?P<slot>[0-9]{1,5}))?"
)
_EXAMPLE = "80:shared 443:shared tcp/22:one *:refused"


def parse(text: str) -> tuple[PortRule, ...]:
    """The rules in `text`; ValueError with a sentence that names what is wrong and what is right."""
    rules = tuple(_rule(word) for word in text.replace(",", " ").split())
    if len(rules) > RULES_MAX:
        raise ValueError(f"{len(rules)} rules; at most {RULES_MAX} are possible, use ranges and *")
    if len(written := spell(rules)) > TEXT_MAX:
        raise ValueError(f"{len(written)} characters of rules; at most {TEXT_MAX} are possible, use ranges and *")
    return rules


def _rule(word: str) -> PortRule:
    match = _RULE.fullmatch(word.lower())
    if match is None:
        raise ValueError(f"{word[:40]!r} is no rule for ports; write them as in {_EXAMPLE!r}")
    name, ports, fate, slot = match.group("protocol", "ports", "fate", "slot")
    if name is not None and name not in PROTOCOLS:
        raise ValueError(f"{word}: there are no ports of {name!r}; protocols are {', '.join(PROTOCOLS)}")
    if fate not in {one.value for one in PortFate}:
        raise ValueError(f"{word}: {fate!r} is not known; ports are {', '.join(one.value for one in PortFate)}")
    if slot is not None and (fate != PortFate.ONE or int(slot) > SLOT_MAX):
        raise ValueError(f"{word}: a slot, at most {SLOT_MAX}, can be named after 'one' alone")
    first, _, last = ("0", "-", str(PORT_MAX)) if ports == "*" else ports.partition("-")
    rule = PortRule(int(first), int(last or first), PortFate(fate), int(slot or 0), PROTOCOLS.get(name or "", 0))
    if not rule.first <= rule.last <= PORT_MAX:
        raise ValueError(f"{word}: ports are 0 to {PORT_MAX}, the lower one first")
    return rule


def spell(rules: Iterable[PortRule]) -> str:
    """The rules as `parse` reads them."""
    return " ".join(_spelled(rule) for rule in rules)


def _spelled(rule: PortRule) -> str:
    protocol = f"{_NAMES[rule.protocol]}/" if rule.protocol else ""
    ports = str(rule.first) if rule.first == rule.last else f"{rule.first}-{rule.last}"
    if (rule.first, rule.last) == (0, PORT_MAX):
        ports = "*"
    slot = f":{rule.slot}" if rule.fate is PortFate.ONE else ""
    return f"{protocol}{ports}:{rule.fate.value}{slot}"


@dataclass(frozen=True, slots=True)
class Interval:
    """Ports that are not shared, for one protocol."""

    first: int
    last: int
    slot: int | None
    """None: refused"""


def intervals(rules: Sequence[PortRule], protocol: int) -> list[Interval]:
    """What the rules come to for one protocol: in order, apart from each other, as few as possible."""
    edges = {0, PORT_MAX + 1}
    for rule in rules:
        edges |= {rule.first, rule.last + 1}
    found: list[Interval] = []
    ordered = sorted(edges)
    for first, behind in pairwise(ordered):
        decided = rule_for(rules, protocol, first)
        if decided is None or decided.fate is PortFate.SHARED:
            continue
        slot = decided.slot if decided.fate is PortFate.ONE else None
        if found and found[-1].last == first - 1 and found[-1].slot == slot:
            found[-1] = Interval(found[-1].first, behind - 1, slot)
        else:
            found.append(Interval(first, behind - 1, slot))
    return found
