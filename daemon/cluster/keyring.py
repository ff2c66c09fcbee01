"""The keys of a cluster while one replaces another: sealed with the active one, opened with those that are good.

A key's *mark* is its name: four bytes that HKDF-SHA256 (RFC 5869) derives from it, in the clear in every datagram.
It says which key to open with, and tells two keys apart in a log, without telling anything of the key itself.

    follows ──► active ──► retired: opens for OVERLAP_S more ──► way back for RETURN_S ──► forgotten
                               └── replaced by a key that revokes ──► forgotten

A key that is a *way back* opens nothing that is believed: who comes with it is given the active key, if he belongs to
the cluster (`wayback`), and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
MARK_BYTES = 4
KEYS_MAX = 4
"""in a ring: the active one, the one that is to follow, and what is about to be forgotten"""
OVERLAP_S = 60
"""nodes that are there follow within a heartbeat; one that is starved, or loses every other datagram, within this"""
REVOKED_OVERLAP_S = 5
RETURN_S = 24 * 3600
"""a node that was away for longer, or while the key was revoked, joins again with a token"""


def derived(key: bytes, salt: bytes | None, purpose: bytes, *parts: bytes) -> bytes:
    """HKDF with an unambiguous `info`: each part is preceded by its length."""
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
    info = purpose + b"".join(len(part).to_bytes(2, "big") + part for part in parts)
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(key)


def mark_of(key: bytes) -> bytes:
    return derived(key, None, b"vipcast 1 mark")[:MARK_BYTES]


@dataclass(frozen=True, slots=True)
class RingKey:
    key: bytes
    until_s: int = 0
    """of a retired one: seconds since 1970 from which it opens nothing that is believed; 0: it is not retired"""
    revokes: bool = False
    """no key before it is a way back"""

    @property
    def mark(self) -> bytes:
        return mark_of(self.key)


@dataclass(frozen=True, slots=True)
class Keyring:
    """1 to KEYS_MAX different keys, the active one first."""

    keys: tuple[RingKey, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.keys) <= KEYS_MAX or len({one.mark for one in self.keys}) != len(self.keys):
            raise ValueError(f"a ring has 1 to {KEYS_MAX} different keys, not {len(self.keys)}")

    @classmethod
    def of(cls, *keys: bytes) -> Keyring:
        return cls(tuple(RingKey(key) for key in keys))

    @property
    def active(self) -> RingKey:
        return self.keys[0]

    @property
    def marks(self) -> tuple[bytes, ...]:
        return tuple(one.mark for one in self.keys)

    @property
    def pending(self) -> RingKey | None:
        """The key that is to follow: known, not active yet, and not on its way out."""
        return next((one for one in self.keys[1:] if not one.until_s), None)

    def find(self, mark: bytes) -> RingKey | None:
        return next((one for one in self.keys if one.mark == mark), None)

    def with_pending(self, key: RingKey) -> Keyring:
        """`key` is to follow; raises ValueError while another one is, or where there is no room."""
        if self.find(key.mark) is not None:
            return self
        if self.pending is not None:
            raise ValueError("another key is about to follow")
        return Keyring((*self.keys, key))

    def activated(self, now_s: int) -> Keyring:
        """The pending key becomes the active one; the one before opens for a while."""
        following = self.pending
        if following is None:
            return self
        return self._followed_by(following, now_s)

    def replaced_by(self, key: RingKey, now_s: int) -> Keyring:
        """`key` is what the cluster uses already, whatever was to follow here."""
        kept = self if self.pending is None else self.without([self.pending.mark])
        found = kept.find(key.mark)
        return kept if found is not None else kept.with_room()._followed_by(key, now_s)

    def _followed_by(self, key: RingKey, now_s: int) -> Keyring:
        # what the active key has revoked does not come back by one that revokes nothing
        rest = () if self.active.revokes else tuple(one for one in self.keys[1:] if one.mark != key.mark)
        until_s = now_s + (REVOKED_OVERLAP_S if key.revokes else OVERLAP_S)
        if key.revokes:
            rest = tuple(replace(one, until_s=min(one.until_s, until_s)) for one in rest)
        return Keyring((key, replace(self.active, until_s=until_s, revokes=False), *rest))

    def without(self, marks: Sequence[bytes]) -> Keyring:
        """The active key always stays."""
        return Keyring((self.active, *(one for one in self.keys[1:] if one.mark not in marks)))

    # ---- what a key is good for, by the wall clock: the keys are on a disk, and boot clocks end with the boot

    def opening(self, now_s: int) -> Keyring:
        """The keys whose datagrams are believed."""
        return Keyring(
            (
                self.active,
                *(one for one in self.keys[1:] if not one.until_s or now_s < one.until_s <= _latest(now_s)),
            )
        )

    def ways_back(self, now_s: int) -> tuple[RingKey, ...]:
        """Retired keys whose holders are given the active one."""
        if self.active.revokes:
            return ()
        opening = self.opening(now_s).keys
        return tuple(one for one in self.keys if one not in opening and now_s < one.until_s + RETURN_S)

    def bounded(self, now_s: int) -> Keyring:
        """Without what is of no use any more; a time that no clock which went right can have written is over now."""
        kept = [self.active]
        for one in self.keys[1:]:
            until_s = now_s if one.until_s > _latest(now_s) else one.until_s
            if not until_s or now_s < until_s + (0 if self.active.revokes else RETURN_S):
                kept.append(replace(one, until_s=until_s))
        return Keyring(tuple(kept))

    def with_room(self) -> Keyring:
        """Where it is full, without the key that was active longest ago."""
        retired = [one.mark for one in self.keys[1:] if one.until_s]
        return self.without(retired[-1:]) if len(self.keys) >= KEYS_MAX else self


def _latest(now_s: int) -> int:
    """The end of the overlap of a key that was retired just now; the clock may have been a second ahead."""
    return now_s + OVERLAP_S + 1
