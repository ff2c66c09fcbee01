"""Who is heard over which link, and how: by everything that comes, and by probes of the group and of the addresses.

Once a second each node sends a *probe* to the group of each link, and one to each address that it knows there.  A
peer whose probes come to the address and not to the group shows what nothing else does: the switch eats the group
(IGMP snooping without a querier, RFC 4541 §2.1.1), though the network is well.

That takes seconds, and leases last less: a node to which no heartbeat comes from anybody *doubts* the group at once,
asks everybody for unicast and sends to all addresses itself (who is not heard may not hear, either) until a probe to
the group arrives.  If it is cut off or alone, that costs little.

    probe = flags (1) ‖ number of marks (1) ‖ marks of the sender's keys, the active one first (4 each)
            ‖ public half of the key pair that its process is handed keys by (32, `handover`; none before 2.2)

Fields that a newer version adds at the end are passed over.  Pure, and bounded: one small record a link and sender.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from daemon.cluster.core.holddown import NEVER, Flaps, HoldDown
from daemon.cluster.handover import PUBLIC_BYTES
from daemon.cluster.keyring import KEYS_MAX, MARK_BYTES

SILENT_AFTER_HEARTBEATS = 8
"""less is loss, more is a link that is gone: with a fifth of all frames lost, one in 400,000 heartbeats says so"""
PROBE_INTERVAL_NS = 1_000_000_000
GROUP_MISSED_NS = 5_000_000_000
"""the group is silent for so long, and the address is not: no coincidence any more"""
DOUBT_AFTER_HEARTBEATS = 2
"""missed of everybody who sends to the group: well before a lease ends"""
REJOIN_NS = 10_000_000_000
"""between two reports to a switch that may have forgotten that we are in the group"""
SAID_MAX = 6
SAID_PERIOD_NS = 60_000_000_000
"""lines in this time about one link whose peers come and go: what it keeps from saying it says once there is room"""

_TO_GROUP, _HAS_GROUP, _DEAF = 1, 2, 4
_NS_PER_MS = 1_000_000
_HOLD_DOWN = HoldDown(first=1_000, most=60_000, quiet=60_000)
"""milliseconds, as for nodes (`core.admissions`); what is held down is the word that the link is well, and nothing
else: heartbeats go over all links all the time"""


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
    public: bytes = b""
    """empty: of a version that takes keys in the seal alone"""

    def encode(self) -> bytes:
        flags = _TO_GROUP * self.to_group | _HAS_GROUP * self.has_group | _DEAF * self.deaf
        return bytes([flags, len(self.marks)]) + b"".join(self.marks) + self.public

    @classmethod
    def decode(cls, data: bytes) -> Probe | None:
        """None for what is no probe."""
        if len(data) < 2 or data[1] > KEYS_MAX or len(data) < 2 + data[1] * MARK_BYTES:
            return None
        flags = data[0]
        end = 2 + data[1] * MARK_BYTES
        marks = tuple(data[at : at + MARK_BYTES] for at in range(2, end, MARK_BYTES))
        public = data[end : end + PUBLIC_BYTES]
        return cls(
            bool(flags & _TO_GROUP),
            bool(flags & _HAS_GROUP),
            bool(flags & _DEAF),
            marks,
            public if len(public) == PUBLIC_BYTES else b"",
        )


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
        """anything but a probe to the address"""
        self.group_ns: int | None = None
        self.unicast_ns: int | None = None
        self.first_unicast_ns = 0
        """of the probes to the address that have come without a gap"""
        self.has_group = False

    @property
    def newest_ns(self) -> int | None:
        """Of anything at all."""
        return max((at_ns for at_ns in (self.heard_ns, self.unicast_ns) if at_ns is not None), default=None)


_NEVER = _Record()


class Hearing:
    def __init__(self, heartbeat_ns: int) -> None:
        self._silent_after_ns = heartbeat_ns * SILENT_AFTER_HEARTBEATS
        self._doubt_after_ns = heartbeat_ns * DOUBT_AFTER_HEARTBEATS
        self._records: dict[str, dict[str, _Record]] = {}
        """name of a link → sender → record"""
        self._met_ns: dict[str, int] = {}
        """sender → when anything of it came first, over whatever link"""
        self._silent_now: dict[str, frozenset[str]] = {}
        self._flaps: dict[tuple[str, str], Flaps] = {}
        """(link, sender) → how often it fell silent there and was heard elsewhere"""
        self._silent_said: dict[str, frozenset[str]] = {}
        self._said_ns: dict[str, deque[int]] = {}
        """link → when its newest lines about silence were said"""
        self._eaten_said: dict[str, frozenset[str]] = {}
        self._rejoined_ns: dict[str, int] = {}
        self._beats_ns: dict[str, int] = {}
        """sender → when its newest heartbeat came"""
        self._doubted_ns: int | None = None
        self._dispelled_ns = -1
        """when a doubt ended; the next one needs a heartbeat after it"""

    def add_link(self, link: str) -> None:
        self._records.setdefault(link, {})

    def note(self, link: str, sender: str, now_ns: int) -> None:
        """Something of `sender` has come over this link, be it a copy of what came over another one; no probe."""
        self._record(link, sender).heard_ns = now_ns
        self._met_ns.setdefault(sender, now_ns)

    def probed(self, link: str, sender: str, probe: Probe, now_ns: int) -> None:
        record = self._record(link, sender)
        record.has_group = probe.has_group
        if probe.to_group:
            record.group_ns = now_ns
            self.note(link, sender, now_ns)
            return
        # Not heard for that: where the group is eaten, one a second would be a link that comes and goes each second.
        self._met_ns.setdefault(sender, now_ns)
        if record.unicast_ns is None or now_ns - record.unicast_ns > 3 * PROBE_INTERVAL_NS:
            record.first_unicast_ns = now_ns
        record.unicast_ns = now_ns

    def beat(self, sender: str, now_ns: int) -> None:
        """A heartbeat of somebody who hears the group has come.

        Others' count for nothing: who doubts the group sends to every address, and would calm those who should doubt.
        """
        self._beats_ns[sender] = now_ns

    def forget(self, sender: str) -> None:
        for records in self._records.values():
            records.pop(sender, None)
        self._met_ns.pop(sender, None)
        self._beats_ns.pop(sender, None)
        self._flaps = {key: flaps for key, flaps in self._flaps.items() if key[1] != sender}

    def silent(self, link: str, names: Collection[str], now_ns: int) -> frozenset[str]:
        """Who is not heard over this link, and is over another one; who is gone everywhere is no news of a link."""
        return frozenset(
            name for name in names if not self._is_heard(link, name, now_ns) and self._outlives(link, name, now_ns)
        )

    def eaten(self, link: str, names: Collection[str], now_ns: int) -> frozenset[str]:
        """Whose probes come to our address and not to the group, though they are sent to it."""
        found = ((name, self._records[link].get(name)) for name in names)
        return frozenset(name for name, record in found if record is not None and _group_is_eaten(record, now_ns))

    def to_rejoin(self, names: Collection[str], now_ns: int) -> list[str]:
        """Links whose group should be entered anew now, since it does not come; asked for each now and then."""
        found = [
            link
            for link in self._records
            if self.eaten(link, names, now_ns) and now_ns - self._rejoined_ns.get(link, -REJOIN_NS) >= REJOIN_NS
        ]
        self._rejoined_ns.update(dict.fromkeys(found, now_ns))
        return found

    def is_deaf(self, names: Collection[str], now_ns: int) -> bool:
        """Somebody's multicast reaches this node over no link at all, and his unicast does."""
        for name in names:
            found = [records[name] for records in self._records.values() if name in records]
            if any(_group_is_eaten(record, now_ns) for record in found) and not any(
                record.group_ns is not None and now_ns - record.group_ns < GROUP_MISSED_NS for record in found
            ):
                return True
        return False

    def doubts(self, names: Collection[str], now_ns: int) -> bool:
        """Whether the group may be eaten: nobody's heartbeat comes any more; until a probe to the group comes."""
        newest_ns = max(
            (self._beats_ns.get(name, -1) for name in names if self._may_send_to_group(name)), default=-1
        )
        if self._doubted_ns is None:
            if newest_ns > self._dispelled_ns and now_ns - newest_ns >= self._doubt_after_ns:
                self._doubted_ns = now_ns
        elif self._group_came_after(self._doubted_ns, names):
            self._doubted_ns, self._dispelled_ns = None, now_ns
        return self._doubted_ns is not None

    def news(self, names: Collection[str], now_ns: int) -> Iterator[tuple[bool, str]]:
        """What has changed since the last call, a sentence for each link: (whether it is bad, sentence)."""
        for link in self._records:
            yield from self._silence_news(link, names, now_ns)
            eaten = self.eaten(link, names, now_ns)
            if eaten and not eaten <= self._eaten_said.get(link, frozenset()):
                yield True, f"link {link}: {about_eaten(sorted(eaten))}"
            elif not eaten and self._eaten_said.get(link):
                yield False, f"link {link}: the multicast group works again"
            self._eaten_said[link] = eaten

    def is_present(self, name: str, now_ns: int) -> bool:
        """Heard lately, over whatever link; patiently: a probe's interval and more."""
        stamps = (records[name].newest_ns for records in self._records.values() if name in records)
        return any(at_ns is not None and now_ns - at_ns < GROUP_MISSED_NS for at_ns in stamps)

    def peers(self, link: str, names: Collection[str], now_ns: int) -> tuple[LinkPeer, ...]:
        records = self._records.get(link, {})
        eaten = self.eaten(link, names, now_ns)
        return tuple(
            LinkPeer(
                name=name,
                heard_ms=_since_ms(record.newest_ns, now_ns),
                group_ms=_since_ms(record.group_ns, now_ns),
                unicast_ms=_since_ms(record.unicast_ns, now_ns),
                trouble=about_eaten([name]) if name in eaten else self._trouble(link, name, now_ns),
            )
            for name in sorted(names)
            for record in (records.get(name, _NEVER),)
        )

    def _trouble(self, link: str, name: str, now_ns: int) -> str:
        if not self._is_heard(link, name, now_ns):
            return "not heard on this link"
        flaps = self._flaps.get((link, name), NEVER)
        left_ms = _HOLD_DOWN.left(flaps, now_ns // _NS_PER_MS)
        if not left_ms:
            return ""
        within_s = max(1, (flaps.last - flaps.began) // 1000)
        left_s = -(-left_ms // 1000)
        return f"comes and goes, not relied on for {left_s} s more: lost {flaps.times} times in {within_s} s"

    def _count_flaps(self, link: str, silent: frozenset[str], now_ns: int) -> None:
        for name in silent - self._silent_now.get(link, frozenset()):
            self._flaps[link, name] = _HOLD_DOWN.gone(self._flaps.get((link, name), NEVER), now_ns // _NS_PER_MS)
        self._silent_now[link] = silent

    def _held_down(self, link: str, names: Collection[str], now_ns: int) -> frozenset[str]:
        """Who has come and gone here, and is taken for lost a while longer each time."""
        now_ms = now_ns // _NS_PER_MS
        return frozenset(name for name in names if _HOLD_DOWN.left(self._flaps.get((link, name), NEVER), now_ms))

    def _silence_news(self, link: str, names: Collection[str], now_ns: int) -> Iterator[tuple[bool, str]]:
        silent, said = self.silent(link, names, now_ns), self._silent_said.get(link, frozenset())
        self._count_flaps(link, silent, now_ns)
        silent |= self._held_down(link, said.intersection(names), now_ns)
        gone = silent - said
        back = frozenset(name for name in said - silent if self._is_heard(link, name, now_ns))
        times = self._said_ns.setdefault(link, deque(maxlen=SAID_MAX))
        if (gone or back) and len(times) == SAID_MAX and now_ns - times[0] < SAID_PERIOD_NS:
            return
        self._silent_said[link] = silent
        if gone or back:
            times.append(now_ns)
        if gone:
            yield True, f"link {link}: {', '.join(sorted(gone))} not heard here now, but over another link"
        if back:
            who = "everybody" if not silent else ", ".join(sorted(back))
            yield False, f"link {link}: {who} heard here again"

    def _outlives(self, link: str, name: str, now_ns: int) -> bool:
        """Whether `name` is heard over another link, by some heartbeats that had to come over this one as well."""
        here = self._records[link].get(name, _NEVER).heard_ns
        since_ns = (self._met_ns.get(name, now_ns) if here is None else here) + self._silent_after_ns // 2
        return any(
            self._is_heard(other, name, now_ns) and (records[name].heard_ns or 0) >= since_ns
            for other, records in self._records.items()
            if other != link
        )

    def _may_send_to_group(self, name: str) -> bool:
        """Unless its probes say otherwise."""
        records = [records[name] for records in self._records.values() if name in records]
        return any(record.has_group or record.unicast_ns is None for record in records)

    def _group_came_after(self, at_ns: int, names: Collection[str]) -> bool:
        """Whether a probe of one of them has come to the group since."""
        return any(
            record.group_ns is not None and record.group_ns > at_ns
            for records in self._records.values()
            for name, record in records.items()
            if name in names
        )

    def _is_heard(self, link: str, name: str, now_ns: int) -> bool:
        record = self._records[link].get(name)
        return (
            record is not None and record.heard_ns is not None and now_ns - record.heard_ns < self._silent_after_ns
        )

    def _record(self, link: str, sender: str) -> _Record:
        records = self._records.setdefault(link, {})
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
