"""Counts what was refused, and says which refusals are worth a line in the log.

A flood must not become a flood of log lines, nor of memory: one line a minute per reason and source, and a bounded
number of sources is remembered.  Pure: the time is an argument.
"""

from __future__ import annotations

from collections import Counter, OrderedDict

from daemon.cluster.seal import Reason

QUIET_NS = 60 * 1_000_000_000
"""between two lines about the same reason and source"""
SOURCES_MAX = 256
LINES_PER_QUIET_MAX = 20
"""over all sources: an attacker chooses his source address freely"""

_REMEDY = (
    "compare 'vipcast key status' on both; where the older one is, type 'vipcast cluster join --force TOKEN', with a"
    " token that 'vipcast cluster token' prints on the other"
)
MEANING: dict[str, str] = {
    Reason.MALFORMED: "not from vipcast; see what else uses this group and port",
    Reason.VERSION: "from another version of vipcast; run the same on every node",
    Reason.OTHER_CLUSTER: "of a cluster with another name; compare cluster.name, or give each its own group or port",
    Reason.WRONG_KEY: f"sealed with a key that this node does not have: {_REMEDY}",
    Reason.RETIRED_KEY: f"sealed with a key that was replaced, and not by a node of this cluster: {_REMEDY}",
    Reason.OTHER_ID: "of another cluster with the same name and key; a key file was copied: give that one its own",
    Reason.FORGED: "it names our key and was not made with it; somebody forges, or a cable damages",
    Reason.NAMESAKE: "another host bears this node's name; give each its own node.name",
    Reason.OLD_INCARNATION: "from a process that a newer one has replaced; where it is the newer one, its store is new"
    " and its clock behind: set the clock, then restart vipcastd there",
    Reason.TWIN: "two processes of one node at the same time; is it a copy of a virtual machine?",
    Reason.REPLAYED: "seen before",
    Reason.DAMAGED: "changed on its way",
}
"""reason → what an administrator makes of it, for those that want a word more"""


class Refusals:
    """`note` counts; it returns the line to log, or None while the same was said a short time ago."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._said: OrderedDict[tuple[str, str], _Silence] = OrderedDict()
        self._period_ns = -QUIET_NS
        self._lines = 0

    def note(self, reason: str, source: str, now_ns: int, detail: str = "") -> str | None:
        """Count one refusal of a datagram from `source` (an address)."""
        self.counts[reason] += 1
        silence = self._said.get((reason, source))
        if silence is not None and now_ns - silence.since_ns < QUIET_NS:
            silence.swallowed += 1
            return None
        if now_ns - self._period_ns >= QUIET_NS:
            self._period_ns = now_ns
            self._lines = 0
        if self._lines >= LINES_PER_QUIET_MAX:
            return None
        self._lines += 1
        swallowed = silence.swallowed if silence is not None else 0
        self._said[reason, source] = _Silence(now_ns)
        self._said.move_to_end((reason, source))
        if len(self._said) > SOURCES_MAX:
            self._said.popitem(last=False)
        more = f" ({swallowed} more of these since the last line)" if swallowed else ""
        return f"refused a datagram from {source}: {reason}{f': {detail}' if detail else ''}{more}"


def explained(reason: str, line: str) -> str:
    """A line with what an administrator makes of its reason, where that is not plain."""
    return f"{line} ({meaning})" if (meaning := MEANING.get(reason)) is not None else line


class _Silence:
    __slots__ = ("since_ns", "swallowed")

    def __init__(self, since_ns: int) -> None:
        self.since_ns = since_ns
        self.swallowed = 0
