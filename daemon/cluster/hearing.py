"""Who is heard over which link, and how: by everything that comes, and by probes of the group and of the addresses.

Once a second each node sends a *probe* to the group of each link, and one to each address that it knows there.  A
peer whose probes come to the address and not to the group shows what nothing else does: the switch eats the group
(IGMP snooping without a querier, RFC 4541 §2.1.1), though the network is well.

    probe = flags (1) ‖ number of marks (1) ‖ marks of the sender's keys, the active one first (4 each)

Fields that a newer version adds at the end are passed over.  Pure, and bounded: one small record a link and sender.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from daemon.cluster.keyring import KEYS_MAX, MARK_BYTES

SILENT_AFTER_HEARTBEATS = 8
"""less is loss, more is a link that is gone: with a fifth of all frames lost, one in 400,000 heartbeats says so"""
PROBE_INTERVAL_NS = 1_000_000_000
GROUP_MISSED_NS = 5_000_000_000
"""the group is silent for so long, and the address is not: no coincidence any more"""
SAID_AGAIN_NS = 10_000_000_000
"""between two lines about one link whose peers come and go"""

_TO_GROUP, _HAS_GROUP, _DEAF = 1, 2, 4


@dataclass(frozen=True, slots=True)
class Probe:
    to_group: bool
    """it was sent to the group, not to an address"""
    has_group: bool
    """the sender's link has a group that it sends to"""
    deaf: bool
    """the sender hears no multicast: what goes to all has to be sent to it, too"""
    marks: tuple[bytes, ...] = ()
    """of the keys that the sender has"""

    def encode(self) -> bytes:
        flags = _TO_GROUP * self.to_group | _HAS_GROUP * self.has_group | _DEAF * self.deaf
        return bytes([flags, len(self.marks)]) + b"".join(self.marks)

    @classmethod
    def decode(cls, data: bytes) -> Probe | None:
        """None for what is no probe."""
        if len(data) < 2 or data[1] > KEYS_MAX or len(data) < 2 + data[1] * MARK_BYTES:
            return None
        flags = data[0]
        marks = tuple(data[at : at + MARK_BYTES] for at in range(2, 2 + data[1] * MARK_BYTES, MARK_BYTES))
        return cls(bool(flags & _TO_GROUP), bool(flags & _HAS_GROUP), bool(flags & _DEAF), marks)


@dataclass(frozen=True, slots=True)
class LinkPeer:
    """A peer on one link, for status."""

    name: str
    heard_ms: int | None
    """since anything of it came over this link; None: never"""
    group_ms: int | None
    """since its probe came to the group"""
    unicast_ms: int | None
    """since its probe came to our address"""
    trouble: str


class _Record:
    __slots__ = ("first_unicast_ns", "group_ns", "has_group", "heard_ns", "unicast_ns")

    def __init__(self) -> None:
        self.heard_ns: int | None = None
        self.group_ns: int | None = None
        self.unicast_ns: int | None = None
        self.first_unicast_ns = 0
        """of the probes to the address that have come without a gap"""
        self.has_group = False


_NEVER = _Record()


class Hearing:
    def __init__(self, heartbeat_ns: int) -> None:
        self._silent_after_ns = heartbeat_ns * SILENT_AFTER_HEARTBEATS
        self._records: dict[str, dict[str, _Record]] = {}
        """interface → sender → record"""
        self._said: dict[str, tuple[frozenset[str], int]] = {}
        self._eaten_said: dict[str, frozenset[str]] = {}

    def add_link(self, interface: str) -> None:
        self._records.setdefault(interface, {})

    def note(self, interface: str, sender: str, now_ns: int) -> None:
        """Something of `sender` has come over this link, be it a copy of what came over another one."""
        self._record(interface, sender).heard_ns = now_ns

    def probed(self, interface: str, sender: str, probe: Probe, now_ns: int) -> None:
        record = self._record(interface, sender)
        record.has_group = probe.has_group
        if probe.to_group:
            record.group_ns = now_ns
            return
        if record.unicast_ns is None or now_ns - record.unicast_ns > 3 * PROBE_INTERVAL_NS:
            record.first_unicast_ns = now_ns
        record.unicast_ns = now_ns

    def forget(self, sender: str) -> None:
        for records in self._records.values():
            records.pop(sender, None)

    def silent(self, interface: str, names: Collection[str], now_ns: int) -> frozenset[str]:
        """Who was heard over this link once, is not now, and is heard over another one."""
        return frozenset(
            name
            for name in names
            if not self._is_heard(interface, name, now_ns)
            and any(self._is_heard(other, name, now_ns) for other in self._records if other != interface)
        )

    def eaten(self, interface: str, names: Collection[str], now_ns: int) -> frozenset[str]:
        """Whose probes come to our address and not to the group, though they are sent to it."""
        found = ((name, self._records[interface].get(name)) for name in names)
        return frozenset(name for name, record in found if record is not None and _group_is_eaten(record, now_ns))

    def is_deaf(self, names: Collection[str], now_ns: int) -> bool:
        """Somebody's multicast reaches this node over no link at all, and his unicast does."""
        for name in names:
            found = [records[name] for records in self._records.values() if name in records]
            if any(_group_is_eaten(record, now_ns) for record in found) and not any(
                record.group_ns is not None and now_ns - record.group_ns < GROUP_MISSED_NS for record in found
            ):
                return True
        return False

    def news(self, names: Collection[str], now_ns: int) -> Iterator[tuple[bool, str]]:
        """What has changed since the last call, a sentence for each link: (whether it is bad, sentence)."""
        for interface in self._records:
            yield from self._silence_news(interface, self.silent(interface, names, now_ns), now_ns)
            eaten = self.eaten(interface, names, now_ns)
            if eaten and not eaten <= self._eaten_said.get(interface, frozenset()):
                yield True, f"link {interface}: {about_eaten(sorted(eaten))}"
            elif not eaten and self._eaten_said.get(interface):
                yield False, f"link {interface}: the multicast group works again"
            self._eaten_said[interface] = eaten

    def is_present(self, name: str, now_ns: int) -> bool:
        """Heard lately, over whatever link; patiently: a probe's interval and more."""
        stamps = (records[name].heard_ns for records in self._records.values() if name in records)
        return any(at_ns is not None and now_ns - at_ns < GROUP_MISSED_NS for at_ns in stamps)

    def peers(self, interface: str, names: Collection[str], now_ns: int) -> tuple[LinkPeer, ...]:
        records = self._records.get(interface, {})
        eaten = self.eaten(interface, names, now_ns)
        return tuple(
            LinkPeer(
                name=name,
                heard_ms=_since_ms(record.heard_ns, now_ns),
                group_ms=_since_ms(record.group_ns, now_ns),
                unicast_ms=_since_ms(record.unicast_ns, now_ns),
                trouble=""
                if name not in eaten and self._is_heard(interface, name, now_ns)
                else about_eaten([name])
                if name in eaten
                else "not heard on this link",
            )
            for name in sorted(names)
            for record in (records.get(name, _NEVER),)
        )

    def _silence_news(self, interface: str, silent: frozenset[str], now_ns: int) -> Iterator[tuple[bool, str]]:
        said, at_ns = self._said.get(interface, (frozenset(), -SAID_AGAIN_NS))
        if silent == said or now_ns - at_ns < SAID_AGAIN_NS:
            return
        self._said[interface] = (silent, now_ns)
        if silent:
            yield True, f"link {interface}: {', '.join(sorted(silent))} not heard here now, but over another link"
        else:
            yield False, f"link {interface}: everybody is heard here again"

    def _is_heard(self, interface: str, name: str, now_ns: int) -> bool:
        record = self._records[interface].get(name)
        return (
            record is not None and record.heard_ns is not None and now_ns - record.heard_ns < self._silent_after_ns
        )

    def _record(self, interface: str, sender: str) -> _Record:
        records = self._records.setdefault(interface, {})
        if (record := records.get(sender)) is None:
            record = records[sender] = _Record()
        return record


def about_eaten(names: Collection[str]) -> str:
    return (
        f"the group does not bring what {', '.join(names)} sends to it, though unicast works: a switch with IGMP"
        " snooping and no querier? Switch a querier on, or snooping off (guide: network); unicast is used meanwhile"
    )


def _group_is_eaten(record: _Record, now_ns: int) -> bool:
    if not record.has_group or record.unicast_ns is None:
        return False
    if now_ns - record.unicast_ns > 3 * PROBE_INTERVAL_NS or now_ns - record.first_unicast_ns < GROUP_MISSED_NS:
        return False
    return record.group_ns is None or now_ns - record.group_ns >= GROUP_MISSED_NS


def _since_ms(at_ns: int | None, now_ns: int) -> int | None:
    return None if at_ns is None else max(0, (now_ns - at_ns) // 1_000_000)
