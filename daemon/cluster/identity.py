"""Which cluster a datagram belongs to, beyond name and key: those two can be copied with a file, an id cannot.

Each cluster has an *id*, 16 random bytes that are drawn once: by `vipcast cluster init` into the first store, or by
the first leader that finds none.  It is in the log (`records.Roster`) and in the store of every member.  Datagrams
carry its *mark*, three bytes of a hash, in the upper bytes of their counter (`seal`): where an older version sees
a counter that is high, and where nothing of a session is looked at before the mark is.

Mark 0 is nobody's: of an older version, or of a node that does not know its cluster yet.
"""

from __future__ import annotations

import hashlib

ID_BYTES = 16
MARK_BITS = 24
NUMBER_BITS = 40
"""of a counter, below the mark: 34 years at a thousand datagrams a second"""
NAMELESS = 0


def id_of(entropy: bytes) -> str:
    """The id that these random bytes make: hexadecimal digits."""
    if len(entropy) != ID_BYTES:
        raise ValueError(f"an id is made of {ID_BYTES} bytes, not {len(entropy)}")
    return entropy.hex()


def is_id(text: str) -> bool:
    return len(text) == 2 * ID_BYTES and all(one in "0123456789abcdef" for one in text)


def mark_of(cluster_id: str) -> int:
    """1 to 2^24-1; NAMELESS for an empty id."""
    if not cluster_id:
        return NAMELESS
    digest = hashlib.sha256(b"vipcast cluster id " + cluster_id.encode()).digest()
    return int.from_bytes(digest[: MARK_BITS // 8], "big") or 1


def mark_in(counter: int) -> int:
    """Of the cluster that the sender of a datagram with this counter belongs to."""
    return counter >> NUMBER_BITS
