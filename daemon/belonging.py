"""Which cluster this host belongs to: learned once, from its store, a token or the log, and never changed.

A store without an id (of an older version, or of a host that was given the key file) hears everybody who has the
key.  It takes the id from the first committed roster that has one.  Where the log has none the leader proposes one:
the id that its own store has, or, if nobody who is heard knows any, a new one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from daemon.cluster import identity

log = logging.getLogger("vipcast.identity")


class Belonging:
    def __init__(self, known: str, fresh: str, keep: Callable[[str], None]) -> None:
        """`known`: the id that the store has, or ""; `fresh`: a new one; `keep(id)` writes one into the store."""
        self.cluster_id = known
        self._fresh = fresh
        self._keep = keep
        self._contradicted = ""

    @property
    def mark(self) -> int:
        return identity.mark_of(self.cluster_id)

    def learned(self, committed: str) -> bool:
        """What the committed log says; True where this host did not know its cluster before."""
        if not committed or committed == self.cluster_id:
            return False
        if not self.cluster_id:
            self.cluster_id = committed
            self._keep(committed)
            log.info("this cluster's id is %s; nodes with another one are not heard any more", committed)
            return True
        if committed != self._contradicted:
            self._contradicted = committed
            log.critical(
                "the log is that of cluster %s, and this host's store belongs to %s: it was copied, or joined the wrong"
                " one; stop vipcastd, run `vipcast node reset`, and join again with a token",
                committed,
                self.cluster_id,
            )
        return False

    def proposal(self, hears_named: bool) -> str:
        """What this node, should it lead, calls a cluster whose log has no id; "": it leaves that to another.

        `hears_named`: somebody who is heard knows an id; then a new one would be a second one.
        """
        return self.cluster_id or ("" if hears_named else self._fresh)
