"""The keys of a cluster while one replaces another: sealed with the active one, opened with any.

A key's *mark* is its name: four bytes that HKDF-SHA256 (RFC 5869) derives from it, in the clear in every datagram.
It says which key to open with, and tells two keys apart in a log, without telling anything of the key itself.
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
    """seconds since 1970 from which it opens nothing any more; 0: no end is set"""

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

    def with_pending(self, key: bytes) -> Keyring:
        """`key` is to follow; raises ValueError while another one is, or where there is no room."""
        if self.find(mark_of(key)) is not None:
            return self
        if self.pending is not None:
            raise ValueError("another key is about to follow")
        return Keyring((*self.keys, RingKey(key)))

    def activated(self, retired_until_s: int) -> Keyring:
        """The pending key becomes the active one; the one before opens until `retired_until_s`."""
        following = self.pending
        if following is None:
            return self
        rest = tuple(one for one in self.keys[1:] if one != following)
        return Keyring((following, replace(self.active, until_s=retired_until_s), *rest))

    def without(self, marks: Sequence[bytes]) -> Keyring:
        """The active key always stays."""
        return Keyring((self.active, *(one for one in self.keys[1:] if one.mark not in marks)))

    def expired(self, now_s: int) -> tuple[bytes, ...]:
        return tuple(one.mark for one in self.keys[1:] if one.until_s and one.until_s <= now_s)

    def retired(self) -> tuple[bytes, ...]:
        """Marks of keys that only open still."""
        return tuple(one.mark for one in self.keys[1:] if one.until_s)
