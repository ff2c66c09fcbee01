"""The seal around every datagram: who sent it, that nobody changed it, and that it was not seen before.

A datagram is

    header ‖ tag of the header (8 bytes) ‖ ciphertext with its own tag (16 bytes)

    header = magic "vIPc" ‖ version (1) ‖ algorithm (1) ‖ incarnation (8) ‖ salt (16) ‖ counter (8)
             ‖ length of the name (1) ‖ the sender's name

in network byte order.  The key of a *session* (one process of one node) is HKDF-SHA256 (RFC 5869) of the authkey
with the session's random salt, bound to algorithm, cluster, name and incarnation, so a restarted process or a
cloned VM never repeats a pair of key and nonce.  The nonce is the counter, never random; the header is the
associated data.

The header's own tag (keyed BLAKE2s under a key of the whole cluster) is there for cost: without it anybody could
make us derive a session key, and remember it, for every datagram with an invented salt.  With it a stranger's
datagram costs one short hash, and only nodes that have the authkey can make a session exist.

Pure: the salt is an argument, and nothing here reads a clock.  Bytes from the network never raise.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from daemon.cluster.replay import ReplayWindow

MAGIC = b"vIPc"
VERSION = 1
SALT_BYTES = 16
KEY_BYTES = 32
SALT_AT = 14
"""offset of the salt in a datagram, for `sieve`"""
NAME_BYTES_MAX = 63
COUNTER_MAX = (1 << 64) - 1
INCARNATION_MAX = (1 << 63) - 1

_FIXED = struct.Struct("!4sBBQ16sQB")
_HEADER_TAG_BYTES = 8
_TAG_BYTES = 16
OVERHEAD_BYTES_MAX = _FIXED.size + NAME_BYTES_MAX + _HEADER_TAG_BYTES + _TAG_BYTES
DATAGRAM_BYTES_MAX = 65_507


class Algorithm(enum.IntEnum):
    AES_256_GCM = 1
    CHACHA20_POLY1305 = 2


class Reason(enum.StrEnum):
    """Why a datagram was refused.  Below `WRONG_KEY` only holders of the authkey can cause it, or a replay."""

    MALFORMED = "malformed"
    """not one of ours: too short, too long, no magic"""
    VERSION = "version"
    """a protocol version or algorithm that this program does not know"""
    WRONG_KEY = "wrong-key"
    """made without this cluster's key and name, or damaged"""
    OWN = "own"
    """our own datagram, come back by multicast: expected"""
    NAMESAKE = "namesake"
    """another process claims this node's name"""
    OLD_INCARNATION = "old-incarnation"
    """from a process of that node that a newer one has replaced"""
    TWIN = "twin"
    """another process with the incarnation of one that we know"""
    REPLAYED = "replayed"
    """seen before, or too old to tell"""
    DAMAGED = "damaged"
    """a good header before a changed body"""


@dataclass(frozen=True, slots=True)
class Opened:
    """A datagram that passed every check."""

    sender: str
    incarnation: int
    salt: bytes
    """of the sender's session"""
    counter: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    reason: Reason
    claimed: str = ""
    """the sender's name as the datagram has it, where it could be read; proven only from NAMESAKE on"""


class CounterExhaustedError(Exception):
    """A session has sealed 2^64 datagrams; the process must start again under a new salt."""


class Sealer:
    """Seals the datagrams of this process.  Every call uses up one counter, whatever becomes of the datagram."""

    def __init__(
        self,
        key: bytes,
        cluster: str,
        node: str,
        incarnation: int,
        *,
        salt: bytes,
        algorithm: Algorithm = Algorithm.AES_256_GCM,
    ) -> None:
        name = _checked_name(node)
        if len(salt) != SALT_BYTES:
            raise ValueError(f"a salt has {SALT_BYTES} bytes, not {len(salt)}")
        if not 0 <= incarnation <= INCARNATION_MAX:
            raise ValueError(f"incarnation {incarnation} is outside 0 … 2^63-1")
        self._name = name
        self._incarnation = incarnation
        self._salt = salt
        self._algorithm = algorithm
        self._header_tag = _header_tagger(key, cluster)
        self._cipher = _session_cipher(key, cluster, name, incarnation=incarnation, salt=salt, algorithm=algorithm)
        self._counter = 0

    def seal(self, plaintext: bytes) -> bytes:
        """The datagram for `plaintext`.  Raises CounterExhaustedError after 2^64 calls."""
        counter = self._counter
        if counter > COUNTER_MAX:
            raise CounterExhaustedError(f"all counters of incarnation {self._incarnation} are used up")
        self._counter = counter + 1
        header = (
            _FIXED.pack(MAGIC, VERSION, self._algorithm, self._incarnation, self._salt, counter, len(self._name))
            + self._name
        )
        head = header + _tag_of(self._header_tag, header)
        return head + self._cipher.encrypt(_nonce(counter), plaintext, head)


class _Session:
    """What is remembered of the newest known process of one member."""

    __slots__ = ("algorithm", "cipher", "incarnation", "salt", "window")

    def __init__(self, incarnation: int, salt: bytes, algorithm: int, cipher: AESGCM | ChaCha20Poly1305) -> None:
        self.incarnation = incarnation
        self.salt = salt
        self.algorithm = algorithm
        self.cipher = cipher
        self.window = ReplayWindow()


class Opener:
    """Opens datagrams of whoever has the key.  One session is kept per name; `forget` those that are too many.

    `own` is this node's name and salt: its own datagrams are told apart from a namesake's.  `floors` are the
    incarnations known already (from the log's admissions): lower ones are refused from the start.
    """

    def __init__(
        self,
        key: bytes,
        cluster: str,
        own: tuple[str, bytes] | None = None,
        floors: Mapping[str, int] | None = None,
    ) -> None:
        self._key = key
        self._cluster = cluster
        self._own = (_checked_name(own[0]), own[1]) if own else None
        self._header_tag = _header_tagger(key, cluster)
        self._floors = dict(floors or {})
        self._sessions: dict[str, _Session] = {}

    def expect(self, member: str, incarnation: int) -> None:
        """Refuse everything of `member` below this incarnation from now on."""
        self._floors[member] = max(incarnation, self._floors.get(member, 0))
        session = self._sessions.get(member)
        if session is not None and session.incarnation < incarnation:
            del self._sessions[member]

    def forget(self, sender: str) -> None:
        """As if it had never been heard, but for the incarnation that is expected of it."""
        self._sessions.pop(sender, None)

    def refuse_until(self, member: str, counter: int) -> None:
        """Treat all datagrams of the member's session up to `counter` as seen."""
        if (session := self._sessions.get(member)) is not None:
            session.window.refuse_until(counter)

    def open(self, datagram: bytes) -> Opened | Refused:
        """The sender and payload, or why not.  Never raises; garbage costs a short hash at most."""
        if not _FIXED.size + _HEADER_TAG_BYTES + _TAG_BYTES < len(datagram) <= DATAGRAM_BYTES_MAX:
            return Refused(Reason.MALFORMED)
        magic, version, algorithm, incarnation, salt, counter, length = _FIXED.unpack_from(datagram)
        body = _FIXED.size + length + _HEADER_TAG_BYTES
        if magic != MAGIC or not 1 <= length <= NAME_BYTES_MAX or len(datagram) < body + _TAG_BYTES:
            return Refused(Reason.MALFORMED)
        if version != VERSION or algorithm not in (1, 2):
            return Refused(Reason.VERSION)
        header = datagram[: _FIXED.size + length]
        name = header[_FIXED.size :]
        # Compared in constant time, so that a tag cannot be guessed byte by byte.
        if not _same(_tag_of(self._header_tag, header), datagram[len(header) : body]):
            return Refused(Reason.WRONG_KEY, _readable(name))
        if self._own is not None and name == self._own[0]:
            return Refused(Reason.OWN if salt == self._own[1] else Reason.NAMESAKE, _readable(name))
        if not name.isascii():
            return Refused(Reason.MALFORMED)
        member = name.decode()
        session = self._sessions.get(member)
        floor = max(self._floors.get(member, 0), session.incarnation if session else 0)
        if incarnation < floor:
            return Refused(Reason.OLD_INCARNATION, member)
        known = session is not None and session.incarnation == incarnation
        if session is None or not known:
            session = self._new_session(name, incarnation, salt, algorithm)
        elif session.salt != salt or session.algorithm != algorithm:
            return Refused(Reason.TWIN, member)
        if not session.window.is_fresh(counter):
            return Refused(Reason.REPLAYED, member)
        try:
            payload = session.cipher.decrypt(_nonce(counter), datagram[body:], datagram[:body])
        except InvalidTag:
            return Refused(Reason.DAMAGED, member)
        session.window.accept(counter)
        # Only a whole, authentic datagram may replace what is known of a member.
        self._sessions[member] = session
        return Opened(member, incarnation, salt, counter, payload)

    def _new_session(self, name: bytes, incarnation: int, salt: bytes, algorithm: int) -> _Session:
        cipher = _session_cipher(
            self._key,
            self._cluster,
            name,
            incarnation=incarnation,
            salt=salt,
            algorithm=Algorithm(algorithm),
        )
        return _Session(incarnation, salt, algorithm, cipher)


def _readable(name: bytes) -> str:
    """An unproven name, fit for a log: a stranger chose its bytes."""
    return "".join(chr(byte) if 0x21 <= byte <= 0x7E else "?" for byte in name)


def _checked_name(name: str) -> bytes:
    encoded = name.encode("ascii", "strict") if name.isascii() else b""
    if not 1 <= len(encoded) <= NAME_BYTES_MAX:
        raise ValueError(f"{name!r} is no name of a node: 1 to {NAME_BYTES_MAX} ASCII characters")
    return encoded


def _derived(key: bytes, salt: bytes | None, purpose: bytes, *parts: bytes) -> bytes:
    """HKDF with an unambiguous `info`: each part is preceded by its length."""
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
    info = purpose + b"".join(len(part).to_bytes(2, "big") + part for part in parts)
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(key)


def _session_cipher(
    key: bytes, cluster: str, name: bytes, *, incarnation: int, salt: bytes, algorithm: Algorithm
) -> AESGCM | ChaCha20Poly1305:
    derived = _derived(
        key, salt, b"vipcast 1 session", bytes([algorithm]), cluster.encode(), name, incarnation.to_bytes(8, "big")
    )
    return AESGCM(derived) if algorithm is Algorithm.AES_256_GCM else ChaCha20Poly1305(derived)


def _header_tagger(key: bytes, cluster: str) -> hashlib.blake2s:
    derived = _derived(key, None, b"vipcast 1 header", cluster.encode())
    return hashlib.blake2s(key=derived, digest_size=_HEADER_TAG_BYTES)


def _tag_of(tagger: hashlib.blake2s, header: bytes) -> bytes:
    mine = tagger.copy()
    mine.update(header)
    return mine.digest()


def _same(one: bytes, other: bytes) -> bool:
    return hmac.compare_digest(one, other)


def _nonce(counter: int) -> bytes:
    return counter.to_bytes(12, "big")
