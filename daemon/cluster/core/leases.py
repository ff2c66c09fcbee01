"""The three durations that keep two leaders, and two hosts, from acting at the same time.

* `Promise`: a voter stays with the leader that it has just heard (rules 2 to 5).
* `Rounds`: how long a leader leads: from before it sent what a majority has answered (rule 6).
* `OwnLease`: until when this host's kernel accepts (rules 13 to 15).

The promise outlasts the leadership lease by the drift of two clocks (P = LL·(1+δ)), so a new leader can only be
elected when the former one no longer grants anything.  Only durations on this host's own boot clock occur here
(rule 1).
"""

from __future__ import annotations

from collections.abc import Callable

from daemon.cluster.core import quorum
from daemon.cluster.core.quorum import Electorate

ROUNDS_MAX = 64
"""stamps of a leader's rounds that are kept; older ones could not carry a leadership lease any more"""


class Promise:
    """Until when this voter neither votes, nor pre-votes, nor stands.

    It is a time and nothing else (rule 3): it survives a change of term, stepping down, and not knowing the leader.
    """

    def __init__(self, started_ns: int, promise_ns: int) -> None:
        # Rule 5: the process before this one may have promised a moment before it died.
        self.until_ns = started_ns + promise_ns
        self._promise_ns = promise_ns

    def renew(self, now_ns: int) -> None:
        """Given to a leader by processing a message of its current term, and by it to itself with each round."""
        self.until_ns = max(self.until_ns, now_ns + self._promise_ns)

    def bind_until(self, until_ns: int) -> None:
        """By what the processes before this one may have promised by other timers (`changeover`)."""
        self.until_ns = max(self.until_ns, until_ns)

    def binds(self, now_ns: int) -> bool:
        return now_ns < self.until_ns


class Rounds:
    """The leader's rounds of one term, and the leadership lease that their answers carry."""

    def __init__(self, name: str, electorate: Callable[[], Electorate], leadership_lease_ns: int) -> None:
        """`electorate()`: who votes at present.

        It changes while rounds are being answered.  What the former one has answered goes on to count, because a voter
        that is new must have processed a message of this leader's before it can help to elect another, and has
        promised as much by that; and two electorates that follow each other have no disjoint quorums.
        """
        self._name = name
        self._electorate = electorate
        self._leadership_lease_ns = leadership_lease_ns
        self._stamps: dict[int, int] = {}
        self._answered: dict[str, int] = {}
        """voter → stamp of the newest round that it answered in this term"""
        self.number = 0
        self.lease_end_ns: int | None = None
        """LL runs until then; None until a majority has answered a round"""

    def begin(self, now_ns: int) -> int:
        """A new round; `now_ns` must have been read before anything of it is sent (rule 6)."""
        self.number += 1
        self._stamps[self.number] = now_ns
        self._stamps.pop(self.number - ROUNDS_MAX, None)
        self.answered(self._name, self.number, now_ns)
        return self.number

    def answered(self, voter: str, number: int, _now_ns: int) -> None:
        """The lease counts from the sending, whenever the answer comes: the promise behind it is as old as that."""
        stamp = self._stamps.get(number)
        if stamp is not None:
            self.count_from(voter, stamp)

    def count_from(self, voter: str, stamp_ns: int) -> None:
        if stamp_ns <= self._answered.get(voter, stamp_ns - 1):
            return
        self._answered[voter] = stamp_ns
        start = quorum.reached(self._answered, self._electorate())
        if start is not None:
            self.lease_end_ns = max(self.lease_end_ns or 0, start + self._leadership_lease_ns)

    def lead(self, now_ns: int) -> bool:
        """Whether the leadership lease runs."""
        return self.lease_end_ns is not None and now_ns < self.lease_end_ns


class OwnLease:
    """Until when this host's kernel accepts, absolute on its own boot clock; it only ever moves forward."""

    def __init__(self) -> None:
        self.until_ns: int | None = None
        self._reported_ns: int | None = None

    def extend(self, until_ns: int) -> None:
        if self.until_ns is None or until_ns > self.until_ns:
            self.until_ns = until_ns

    def news(self) -> int | None:
        """The deadline, when it has moved since the last call."""
        if self.until_ns == self._reported_ns:
            return None
        self._reported_ns = self.until_ns
        return self.until_ns
