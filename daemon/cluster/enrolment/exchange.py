"""The datagrams of an enrolment, and the keys that seal them.

    1  host → cluster   HELLO      id, path, the host's public key                                      tag
    2  daemon → host    CHALLENGE  id, path, the host's public key, the daemon's public key, cookie     tag
    3  host → daemon    REQUEST    id, path, the host's public key, cookie, sealed Application          tag
    4  daemon → host    ANSWER     id, path, the host's public key, sealed Grant or Denial              tag
    or any daemon → host  UNKNOWN  id: "I hear you, but the token is not mine", with the daemon's name

Every datagram begins with magic "vIPj" ‖ version (1) ‖ kind (1) ‖ id of the token (8) ‖ path (1), and all but
UNKNOWN end with a tag (keyed BLAKE2s, 16 bytes) under a key that only holders of the token's secret have.  It is
what is checked first: whoever lacks the secret costs one short hash, and gets no answer that tells him more than
the heartbeats do.

The bodies are sealed with AES-256-GCM under keys from HKDF-SHA256 (RFC 5869) of two things together: the token's
secret, and a Diffie-Hellman secret of two key pairs that live as long as this exchange and this token (X25519,
RFC 7748).  So the token proves who may ask, and a recording of the exchange stays closed even to somebody who finds
the token later in a terminal's history.  Each direction has a key of its own; the cookie, which only the daemon
can make, is part of both, so that a recorded exchange cannot be played to it again.

`path` is the applicant's note of how it sent a datagram (to the group or to the address); answers repeat it, and
that is how it learns whether multicast comes through.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import struct
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC = b"vIPj"
VERSION = 1
ID_BYTES = 8
KEY_BYTES = 32
COOKIE_BYTES = 16
NONCE_BYTES = 12
NAME_BYTES_MAX = 63
DATAGRAM_BYTES_MAX = 16_384

_HEAD = struct.Struct(f"!4sBB{ID_BYTES}sB")
_TAG_BYTES = 16


class Kind(enum.IntEnum):
    HELLO = 1
    CHALLENGE = 2
    REQUEST = 3
    ANSWER = 4
    UNKNOWN = 5


class Path(enum.IntEnum):
    """How the applicant sent what is answered."""

    GROUP = 0
    ADDRESS = 1


class Application(msgspec.Struct, array_like=True, frozen=True):
    """What the host asks for."""

    name: str
    witness: bool
    replaces: bool
    """it takes the place of an offline node of that name, whose disk is lost"""
    version: str
    """of the program"""


class GrantedLink(msgspec.Struct, array_like=True, frozen=True):
    """One of the cluster's links, as the daemon that answers has it."""

    group: str
    port: int
    network: str
    """of the daemon's interface, `192.0.2.0/24`; "": not known"""
    peers: tuple[str, ...] = ()
    """addresses of the nodes, the answering one first: for those whom the group does not reach"""


class Grant(msgspec.Struct, tag="grant", array_like=True, frozen=True):
    """Everything that the host needs to take part."""

    cluster: str
    node: str
    """who answers"""
    authkey: bytes
    """contents of the key file"""
    links: tuple[GrantedLink, ...]
    profile: str
    timers: dict[str, float]
    """single values that go before the profile's, as in [timers]"""
    cipher: str
    version: str
    cluster_id: str = ""
    """the host's store belongs to this cluster alone; "": it has none yet, or the daemon is older than 2.2"""


class Denial(msgspec.Struct, tag="denial", array_like=True, frozen=True):
    code: str
    """`name-taken`, `name-offline`, `expired`, `used-up`, `unready`"""
    sentence: str


_Body = TypeVar("_Body")
_ANSWER: msgspec.msgpack.Decoder[Grant | Denial] = msgspec.msgpack.Decoder(Grant | Denial)
_APPLICATION = msgspec.msgpack.Decoder(Application)


@dataclass(frozen=True, slots=True)
class Frame:
    """A datagram of this protocol, taken apart; nothing in it is proven yet."""

    version: int
    kind: int
    token: bytes
    path: int
    body: bytes
    """without the tag"""
    signed: bytes
    """everything that the tag covers"""
    tag: bytes


class MalformedError(Exception):
    """Not a datagram of this protocol."""


def is_ours(datagram: bytes) -> bool:
    return datagram.startswith(MAGIC)


def dissect(datagram: bytes) -> Frame:
    """Raises MalformedError."""
    if not _HEAD.size <= len(datagram) <= DATAGRAM_BYTES_MAX or not is_ours(datagram):
        raise MalformedError
    _, version, kind, token, path = _HEAD.unpack_from(datagram)
    if kind == Kind.UNKNOWN or len(datagram) < _HEAD.size + _TAG_BYTES:
        return Frame(version, kind, token, path, datagram[_HEAD.size :], datagram, b"")
    signed, tag = datagram[:-_TAG_BYTES], datagram[-_TAG_BYTES:]
    return Frame(version, kind, token, path, signed[_HEAD.size :], signed, tag)


def unknown(token: bytes, path: int, node: str) -> bytes:
    """The answer of a daemon that did not print the token."""
    return _HEAD.pack(MAGIC, VERSION, Kind.UNKNOWN, token, path) + node.encode()[:NAME_BYTES_MAX]


class Signer:
    """The tags and the id that follow from a token's secret."""

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        self.id = _derived(secret, b"", b"id")[:ID_BYTES]
        self._tagger = hashlib.blake2s(key=_derived(secret, b"", b"tag"), digest_size=_TAG_BYTES)

    def frame(self, kind: Kind, path: int, body: bytes) -> bytes:
        signed = _HEAD.pack(MAGIC, VERSION, kind, self.id, path) + body
        return signed + self._tag(signed)

    def has_signed(self, frame: Frame) -> bool:
        """Compared in constant time, so that a tag cannot be guessed byte by byte."""
        return hmac.compare_digest(self._tag(frame.signed), frame.tag)

    def _tag(self, signed: bytes) -> bytes:
        tagger = self._tagger.copy()
        tagger.update(signed)
        return tagger.digest()


class Seals:
    """The two keys of one exchange.  Raises ValueError for a public key that yields no secret (RFC 7748, 6.1)."""

    def __init__(self, secret: bytes, private: X25519PrivateKey, other: bytes, *, transcript: bytes) -> None:
        shared = private.exchange(X25519PublicKey.from_public_bytes(other)) + secret
        self._application = AESGCM(_derived(shared, transcript, b"application"))
        self._answer = AESGCM(_derived(shared, transcript, b"answer"))

    def seal_application(self, application: Application, nonce: bytes) -> bytes:
        return nonce + self._application.encrypt(nonce, msgspec.msgpack.encode(application), None)

    def open_application(self, sealed: bytes) -> Application | None:
        """None: not made by the holder of the other key."""
        return _opened(self._application, _APPLICATION, sealed)

    def seal_answer(self, answer: Grant | Denial, nonce: bytes) -> bytes:
        return nonce + self._answer.encrypt(nonce, msgspec.msgpack.encode(answer), None)

    def open_answer(self, sealed: bytes) -> Grant | Denial | None:
        """None: not made by the holder of the other key."""
        return _opened(self._answer, _ANSWER, sealed)


def transcript(host: bytes, daemon: bytes, cookie: bytes) -> bytes:
    """What an exchange's keys are bound to: both public keys and the cookie."""
    return hashlib.sha256(b"vipcast enrolment 1" + host + daemon + cookie).digest()


def public_of(private: X25519PrivateKey) -> bytes:
    return private.public_key().public_bytes_raw()


def _opened(cipher: AESGCM, decoder: msgspec.msgpack.Decoder[_Body], sealed: bytes) -> _Body | None:
    try:
        return decoder.decode(cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None))
    except (InvalidTag, ValueError, msgspec.MsgspecError, RecursionError):
        return None


def _derived(key: bytes, salt: bytes, purpose: bytes) -> bytes:
    info = b"vipcast enrolment 1 " + purpose
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=salt or None, info=info).derive(key)
