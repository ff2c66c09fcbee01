"""The seal around every datagram: who sent it, that nobody changed it, and that it was not seen before.

A datagram is

    header ‖ tag of the header (8 bytes) ‖ ciphertext with its own tag (16 bytes)

    header = magic "vIPc" ‖ major (1) ‖ minor (1) ‖ algorithm (1) ‖ mark of the cluster (4) ‖ mark of the key (4)
             ‖ incarnation (8) ‖ salt (16) ‖ counter (8) ‖ length of the name (1) ‖ the sender's name

in network byte order, and the counter is the mark of the cluster's id (3, `identity`) ‖ a number (5).

Another major version is refused.  Minor versions understand each other: a newer one adds
fields at the end of messages, kinds of messages and kinds of payloads, and an older one passes over them.

The mark of the cluster is a hash of its name, which is no secret: it tells a neighbour on the same group from a
node with the wrong key.  The mark of the key says which key of the ring to use (`keyring`).  The mark of the id tells
two clusters that have the same name and key; it is looked at before anything is believed of the sender, and is 0
from versions and nodes that know no id.  It changes once in a session at most, from 0, so that the counter rises.

The key of a *session* (one process of one node) is HKDF-SHA256 (RFC 5869) of the authkey with the session's random
salt, bound to algorithm, cluster, name and incarnation, so a restarted process or a cloned VM never repeats a pair of
key and nonce.  The nonce is the counter, never random, and one counter runs over all keys of the ring; the header is
the associated data.

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
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from daemon.cluster.identity import NAMELESS, NUMBER_BITS, mark_in
from daemon.cluster.keyring import MARK_BYTES, Keyring, RingKey, derived
from daemon.cluster.replay import ReplayWindow

MAGIC = b"vIPc"
MAJOR = 2
MINOR = 3
SALT_BYTES = 16
SALT_AT = 23
"""offset of the salt in a datagram, for `sieve`"""
NAME_BYTES_MAX = 63
NUMBER_MAX = (1 << NUMBER_BITS) - 1
INCARNATION_MAX = (1 << 63) - 1
RECENT = 256
"""counters behind the newest: the copies of one datagram over several links are not further apart"""

_FIXED = struct.Struct("!4sBBB4s4sQ16sQB")
_HEADER_TAG_BYTES = 8
_TAG_BYTES = 16
OVERHEAD_BYTES_MAX = _FIXED.size + NAME_BYTES_MAX + _HEADER_TAG_BYTES + _TAG_BYTES
DATAGRAM_BYTES_MAX = 65_507


class Algorithm(enum.IntEnum):
    AES_256_GCM = 1
    CHACHA20_POLY1305 = 2


class Reason(enum.StrEnum):
    """Why a datagram was refused.  Below `FORGED` only holders of the authkey can cause it, or a replay."""

    MALFORMED = "malformed"
    """not one of ours: too short, too long, no magic"""
    VERSION = "version"
    """a protocol version or algorithm that this program does not know"""
    OTHER_CLUSTER = "other-cluster"
    """of a cluster with another name; nothing of it is proven"""
    WRONG_KEY = "wrong-key"
    """made with a key that is not in the ring"""
    FORGED = "forged"
    """it names a key of ours and was not made with it, or was damaged"""
    RETIRED_KEY = "retired-key"
    """made with a key that is a way back, by one who is not to be given another (`wayback`)"""
    OTHER_ID = "other-id"
    """of a cluster with the same name and key, and another id"""
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
    key_mark: bytes = b""
    """of the key that it was sealed with"""
    minor: int = MINOR
    """version of its sender's protocol"""


@dataclass(frozen=True, slots=True)
class Refused:
    reason: Reason
    claimed: str = ""
    """the sender's name as the datagram has it, where it could be read; proven only from NAMESAKE on"""
    is_recent: bool = False
    """of REPLAYED: its counter is of the sender's last ones, as that of a copy which came over another link"""


class CounterExhaustedError(Exception):
    """A session has sealed 2^40 datagrams; the process must start again under a new salt."""


class Sealer:
    """Seals the datagrams of this process.  Every call uses up one counter, whatever becomes of the datagram."""

    def __init__(
        self,
        keys: bytes | Keyring,
        cluster: str,
        node: str,
        incarnation: int,
        *,
        salt: bytes,
        algorithm: Algorithm = Algorithm.AES_256_GCM,
        minor: int = MINOR,
    ) -> None:
        name = _checked_name(node)
        if len(salt) != SALT_BYTES:
            raise ValueError(f"a salt has {SALT_BYTES} bytes, not {len(salt)}")
        if not 0 <= incarnation <= INCARNATION_MAX:
            raise ValueError(f"incarnation {incarnation} is outside 0 … 2^63-1")
        self._cluster = cluster
        self._name = name
        self._incarnation = incarnation
        self._salt = salt
        self._algorithm = algorithm
        self._minor = minor
        self._cluster_mark = cluster_mark(cluster)
        self._tools: dict[bytes, tuple[hashlib.blake2s, AESGCM | ChaCha20Poly1305]] = {}
        self._number = 0
        self._identity = NAMELESS
        self.use(keys if isinstance(keys, Keyring) else Keyring.of(keys))

    def use(self, keys: Keyring) -> None:
        """Seal with these from now on.  One counter runs over all of them."""
        self._active = keys.active.mark
        self._tools = {one.mark: self._tools.get(one.mark) or self._made(one) for one in keys.keys}

    def identify(self, identity: int) -> None:
        """Say from now on which cluster this node belongs to: the mark of its id.  Once; other marks are ignored."""
        if self._identity == NAMELESS:
            self._identity = identity

    def seal(self, plaintext: bytes, key_mark: bytes = b"") -> bytes:
        """The datagram for `plaintext`, under the active key unless it is for one who has another.

        Raises CounterExhaustedError after 2^40 calls.
        """
        if self._number > NUMBER_MAX:
            raise CounterExhaustedError(f"all counters of incarnation {self._incarnation} are used up")
        counter = self._identity << NUMBER_BITS | self._number
        self._number += 1
        mark = key_mark if key_mark in self._tools else self._active
        tagger, cipher = self._tools[mark]
        header = (
            _FIXED.pack(
                *(MAGIC, MAJOR, self._minor, self._algorithm, self._cluster_mark, mark),
                *(self._incarnation, self._salt, counter, len(self._name)),
            )
            + self._name
        )
        head = header + _tag_of(tagger, header)
        return head + cipher.encrypt(_nonce(counter), plaintext, head)

    def _made(self, key: RingKey) -> tuple[hashlib.blake2s, AESGCM | ChaCha20Poly1305]:
        cipher = _session_cipher(
            *(key.key, self._cluster, self._name),
            incarnation=self._incarnation,
            salt=self._salt,
            algorithm=self._algorithm,
        )
        return _header_tagger(key.key, self._cluster), cipher


class _Session:
    """What is remembered of the newest known process of one member."""

    __slots__ = ("algorithm", "ciphers", "incarnation", "salt", "window")

    def __init__(self, incarnation: int, salt: bytes, algorithm: int) -> None:
        self.incarnation = incarnation
        self.salt = salt
        self.algorithm = algorithm
        self.ciphers: dict[bytes, AESGCM | ChaCha20Poly1305] = {}
        """mark of the key → its session key; as many as the ring has keys"""
        self.window = ReplayWindow()

    @property
    def identity(self) -> int:
        """Mark of the cluster's id, as its newest datagram has it."""
        return mark_in(max(0, self.window.newest))


class Opener:
    """Opens datagrams of whoever has the key.  One session is kept per name; `forget` those that are too many.

    `own` is this node's name and salt: its own datagrams are told apart from a namesake's.  `floors` are the
    incarnations known already (from the log's admissions): lower ones are refused from the start.
    """

    def __init__(
        self,
        keys: bytes | Keyring,
        cluster: str,
        own: tuple[str, bytes] | None = None,
        floors: Mapping[str, int] | None = None,
    ) -> None:
        self._cluster = cluster
        self._cluster_mark = cluster_mark(cluster)
        self._own = (_checked_name(own[0]), own[1]) if own else None
        self._floors = dict(floors or {})
        self._sessions: dict[str, _Session] = {}
        self.identity = NAMELESS
        """mark of the cluster's id; NAMELESS: not known, so all are heard"""
        self._keys: dict[bytes, tuple[RingKey, hashlib.blake2s]] = {}
        self.use(keys if isinstance(keys, Keyring) else Keyring.of(keys))

    def use(self, keys: Keyring) -> None:
        """Open with these from now on, and with no other."""
        self._keys = {one.mark: (one, _header_tagger(one.key, self._cluster)) for one in keys.keys}
        for session in self._sessions.values():
            for mark in session.ciphers.keys() - self._keys.keys():
                del session.ciphers[mark]

    def identify(self, identity: int) -> None:
        """Refuse everything of clusters with another id from now on, and forget what was heard of them."""
        self.identity = identity
        for name, session in list(self._sessions.items()):
            if session.identity not in (NAMELESS, identity):
                del self._sessions[name]

    @property
    def hears_named(self) -> bool:
        """Whether a session that is known bears the mark of some id."""
        return any(session.identity != NAMELESS for session in self._sessions.values())

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
        magic, major, _, algorithm, cluster, mark, _, salt, counter, length = _FIXED.unpack_from(datagram)
        body = _FIXED.size + length + _HEADER_TAG_BYTES
        if magic != MAGIC or not 1 <= length <= NAME_BYTES_MAX or len(datagram) < body + _TAG_BYTES:
            return Refused(Reason.MALFORMED)
        if major != MAJOR or algorithm not in (1, 2):
            return Refused(Reason.VERSION)
        header = datagram[: _FIXED.size + length]
        name = header[_FIXED.size :]
        if cluster != self._cluster_mark:
            return Refused(Reason.OTHER_CLUSTER, _readable(name))
        if (known_key := self._keys.get(mark)) is None:
            return Refused(Reason.WRONG_KEY, _readable(name))
        # Compared in constant time, so that a tag cannot be guessed byte by byte.
        if not _same(_tag_of(known_key[1], header), datagram[len(header) : body]):
            return Refused(Reason.FORGED, _readable(name))
        is_namesake = self._own is not None and name == self._own[0]
        if is_namesake and self._own is not None and salt == self._own[1]:
            return Refused(Reason.OWN, _readable(name))
        if self.identity and mark_in(counter) not in (NAMELESS, self.identity):
            return Refused(Reason.OTHER_ID, _readable(name))
        if is_namesake:
            return Refused(Reason.NAMESAKE, _readable(name))
        if not name.isascii():
            return Refused(Reason.MALFORMED)
        return self._opened(datagram, body, name.decode(), known_key[0])

    def _opened(self, datagram: bytes, body: int, member: str, key: RingKey) -> Opened | Refused:
        """A datagram whose header is proven: is it of a process that counts, new, and whole?"""
        _, _, minor, algorithm, _, mark, incarnation, salt, counter, _ = _FIXED.unpack_from(datagram)
        session = self._sessions.get(member)
        floor = max(self._floors.get(member, 0), session.incarnation if session else 0)
        if incarnation < floor:
            return Refused(Reason.OLD_INCARNATION, member)
        if session is None or session.incarnation != incarnation:
            session = _Session(incarnation, salt, algorithm)
        elif session.salt != salt or session.algorithm != algorithm:
            return Refused(Reason.TWIN, member)
        if not session.window.is_fresh(counter):
            return Refused(Reason.REPLAYED, member, session.window.newest - counter <= RECENT)
        cipher = session.ciphers.get(mark) or self._session_cipher(key.key, member.encode(), session)
        try:
            payload = cipher.decrypt(_nonce(counter), datagram[body:], datagram[:body])
        except InvalidTag:
            return Refused(Reason.DAMAGED, member)
        session.window.accept(counter)
        # Only a whole, authentic datagram may replace what is known of a member.
        session.ciphers[mark] = cipher
        self._sessions[member] = session
        return Opened(member, incarnation, salt, counter, payload, mark, minor)

    def _session_cipher(self, key: bytes, name: bytes, session: _Session) -> AESGCM | ChaCha20Poly1305:
        return _session_cipher(
            *(key, self._cluster, name),
            incarnation=session.incarnation,
            salt=session.salt,
            algorithm=Algorithm(session.algorithm),
        )


def cluster_mark(cluster: str) -> bytes:
    """What a datagram says of the cluster's name; nothing that the name's readers do not know."""
    return hashlib.sha256(b"vipcast cluster " + cluster.encode()).digest()[:MARK_BYTES]


def _readable(name: bytes) -> str:
    """An unproven name, fit for a log: a stranger chose its bytes."""
    return "".join(chr(byte) if 0x21 <= byte <= 0x7E else "?" for byte in name)


def _checked_name(name: str) -> bytes:
    encoded = name.encode("ascii", "strict") if name.isascii() else b""
    if not 1 <= len(encoded) <= NAME_BYTES_MAX:
        raise ValueError(f"{name!r} is no name of a node: 1 to {NAME_BYTES_MAX} ASCII characters")
    return encoded


def _session_cipher(
    key: bytes, cluster: str, name: bytes, *, incarnation: int, salt: bytes, algorithm: Algorithm
) -> AESGCM | ChaCha20Poly1305:
    session_key = derived(
        key, salt, b"vipcast 2 session", bytes([algorithm]), cluster.encode(), name, incarnation.to_bytes(8, "big")
    )
    return AESGCM(session_key) if algorithm is Algorithm.AES_256_GCM else ChaCha20Poly1305(session_key)


def _header_tagger(key: bytes, cluster: str) -> hashlib.blake2s:
    tag_key = derived(key, None, b"vipcast 2 header", cluster.encode())
    return hashlib.blake2s(key=tag_key, digest_size=_HEADER_TAG_BYTES)


def _tag_of(tagger: hashlib.blake2s, header: bytes) -> bytes:
    mine = tagger.copy()
    mine.update(header)
    return mine.digest()


def _same(one: bytes, other: bytes) -> bool:
    return hmac.compare_digest(one, other)


def _nonce(counter: int) -> bytes:
    return counter.to_bytes(12, "big")
