"""How old what this node knows can be: the claim that goes with every answer to a person.

"Nothing that was acknowledged anywhere before `as_of_ns` is missing here."  It rests on the leadership lease: while
one runs nobody else can commit anything, so a leader that has committed an entry of its own term knows all that is
committed.  It tells its commit index with each grant, and a grant names a heartbeat, whose stamp this host took
before sending it.  So the claim needs no other host's clock, and a late or repeated grant claims nothing too much
(as rule 13 says of leases).
"""

from __future__ import annotations

from collections import deque

CLAIMS_MAX = 64
"""grants whose commit index was not applied yet when they came; older ones are of no use"""


class Freshness:
    def __init__(self) -> None:
        self._claims: deque[tuple[int, int]] = deque(maxlen=CLAIMS_MAX)
        """(stamp, commit index of the leader after it), stamps rising"""

    def granted(self, stamp_ns: int, commit: int) -> None:
        """A leader that led after `stamp_ns` has told its commit index; -1: of a version that does not."""
        if commit >= 0 and (not self._claims or stamp_ns > self._claims[-1][0]):
            self._claims.append((stamp_ns, commit))

    def as_of_ns(self, applied: int) -> int | None:
        """The newest time whose commits are all among the first `applied` entries; None: nobody knows."""
        return next((stamp_ns for stamp_ns, commit in reversed(self._claims) if commit <= applied), None)
