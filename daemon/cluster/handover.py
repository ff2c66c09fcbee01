"""How a key travels to a node that lacks it, inside a seal that others may be able to open.

A rotation is done because somebody else may have the old key.  A new one that was sealed with the old alone would be
his as well, now or whenever he plays a recording.  So each process has a key pair of its own (X25519, RFC 7748) that
ends with it, tells the public half in its sealed probes, and is sent the key under what the two halves make together:

    content = public half of the sender (32) ‖ nonce (12) ‖ AES-256-GCM( flags (1) ‖ key (32) )

under HKDF-SHA256 (RFC 5869) of the shared secret, bound to both names and both public halves.  Who only listens gets
nothing by the old key.  Who has it and *speaks* as a member at that moment does: there are no keys of single nodes.

Pure: private halves and nonces are arguments.  Bytes from the network never raise.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from daemon.cluster.keyring import KEY_BYTES, derived

PUBLIC_BYTES = 32
NONCE_BYTES = 12
_TAG_BYTES = 16
_CONTENT_BYTES = PUBLIC_BYTES + NONCE_BYTES + 1 + KEY_BYTES + _TAG_BYTES
_REVOKES, _IN_USE = 1, 2


@dataclass(frozen=True, slots=True)
class Offer:
    key: bytes
    revokes: bool = False
    """once it is active, no key before it is a way back"""
    in_use: bool = False
    """the cluster seals with it already: it does not wait for anybody"""


class Handover:
    """Of one process, which is `node`."""

    def __init__(self, node: str, private: bytes) -> None:
        """`private`: 32 random bytes, for this process alone."""
        self._node = node
        self._private = X25519PrivateKey.from_private_bytes(private)
        self.public = self._private.public_key().public_bytes_raw()

    def seal(self, offer: Offer, peer: str, public: bytes, nonce: bytes) -> bytes:
        """For the process of `peer` with this public half.  Raises ValueError for one that yields no secret."""
        flags = _REVOKES * offer.revokes | _IN_USE * offer.in_use
        cipher = self._cipher(public, (self._node, peer), self.public + public)
        return self.public + nonce + cipher.encrypt(nonce, bytes([flags]) + offer.key, None)

    def open(self, content: bytes, sender: str) -> Offer | None:
        """None: not made for this process by `sender`."""
        if len(content) != _CONTENT_BYTES:
            return None
        public, nonce = content[:PUBLIC_BYTES], content[PUBLIC_BYTES : PUBLIC_BYTES + NONCE_BYTES]
        try:
            cipher = self._cipher(public, (sender, self._node), public + self.public)
            opened = cipher.decrypt(nonce, content[PUBLIC_BYTES + NONCE_BYTES :], None)
        except (InvalidTag, ValueError):
            return None
        return Offer(opened[1:], bool(opened[0] & _REVOKES), bool(opened[0] & _IN_USE))

    def _cipher(self, other: bytes, names: tuple[str, str], publics: bytes) -> AESGCM:
        shared = self._private.exchange(X25519PublicKey.from_public_bytes(other))
        return AESGCM(derived(shared, None, b"vipcast 2 handover", *(name.encode() for name in names), publics))
