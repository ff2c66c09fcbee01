"""The daemon's side of an enrolment: the tokens that it has printed, and what it answers to whom.

A token lives in this process's memory alone: it ends when its time is over on this host's boot clock, when as many
hosts have used it as it was made for, or when the daemon ends.  Wall clocks do not matter.  A token that has ended
is remembered for a while, so that its late holder is told what happened to it.

What a stranger can cost: a datagram without a token's tag, one short hash; answers are limited in their rate; and
nothing is remembered of a host before it has proven the secret, since the cookie of a challenge is computed, not
stored.  There is no limit of tries: 128 bits are not guessed, and a limit would only let strangers use it up.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from daemon.cluster.enrolment import exchange
from daemon.cluster.enrolment.exchange import Application, Denial, Frame, Grant, Kind, Seals, Signer

NS_PER_S = 1_000_000_000
TOKENS_MAX = 64
USES_MAX = 64
TTL_NS_MIN = 1 * NS_PER_S
TTL_NS_MAX = 24 * 3600 * NS_PER_S
REMEMBERED_NS = 3600 * NS_PER_S
"""how long a token that has ended is still told apart from one that never was"""
COOKIE_NS = 30 * NS_PER_S
"""a cookie is good for this long at least, and for twice that at most"""
ANSWERS_PER_S = 50
UNKNOWNS_PER_S = 5
NAMES_TOLD_MAX = 16


class TooManyTokensError(Exception):
    """`TOKENS_MAX` tokens are still good."""


class Presence(enum.StrEnum):
    """What the cluster knows of a name."""

    ONLINE = "online"
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster as the daemon knows it at the moment of an application."""

    nodes: Mapping[str, Presence]
    grant: Grant | None
    """None: this daemon cannot let anybody in, `unready` says why"""
    unready: str = ""


@dataclass(slots=True)
class _Issued:
    signer: Signer
    private: X25519PrivateKey
    public: bytes
    expires_ns: int
    uses_left: int
    granted: dict[bytes, bytes] = field(default_factory=dict)
    """host's public key → the answer's frame body, to be repeated where the first one was lost"""

    def ended(self, now_ns: int) -> Denial | None:
        if now_ns >= self.expires_ns:
            return Denial("expired", "the token has expired; print a new one with 'vipcast cluster token'")
        if self.uses_left <= 0:
            return Denial(
                "used-up",
                "the token has been used by as many hosts as it was made for; print a new one with"
                " 'vipcast cluster token' (--uses N for several hosts)",
            )
        return None


@dataclass(frozen=True, slots=True)
class Welcome:
    """Somebody was let in: worth a line in the log."""

    name: str
    witness: bool
    source: str


class _Allowance:
    """So many a second, and no more than that saved up."""

    def __init__(self, per_s: int) -> None:
        self._interval_ns = NS_PER_S // per_s
        self._burst_ns = NS_PER_S
        self._free_ns = 0

    def take(self, now_ns: int) -> bool:
        self._free_ns = max(self._free_ns, now_ns - self._burst_ns)
        if self._free_ns > now_ns:
            return False
        self._free_ns += self._interval_ns
        return True


class Desk:
    """`issue` a token, then hand every datagram for which `exchange.is_ours` to `receive`.  Nothing raises there.

    `entropy(n)` gives n random bytes; `cluster()` is asked only for applications that were proven.
    """

    def __init__(self, node: str, cluster: Callable[[], Cluster], entropy: Callable[[int], bytes]) -> None:
        self._node = node
        self._cluster = cluster
        self._entropy = entropy
        self._cookie_key = entropy(exchange.KEY_BYTES)
        self._issued: dict[bytes, _Issued] = {}
        self._answers = _Allowance(ANSWERS_PER_S)
        self._unknowns = _Allowance(UNKNOWNS_PER_S)
        self.counts: Counter[str] = Counter()
        self.welcomes: list[Welcome] = []
        """since they were last taken away"""

    def issue(self, secret: bytes, ttl_ns: int, uses: int, now_ns: int) -> None:
        """Honour the token with this secret from now on.  Raises TooManyTokensError."""
        if not TTL_NS_MIN <= ttl_ns <= TTL_NS_MAX or not 1 <= uses <= USES_MAX:
            raise ValueError(f"a token for {ttl_ns} ns and {uses} uses")
        self._forget(now_ns)
        if len(self._issued) >= TOKENS_MAX:
            ended = next((i for i, issued in self._issued.items() if issued.ended(now_ns) is not None), None)
            if ended is None:
                raise TooManyTokensError
            del self._issued[ended]
        private = X25519PrivateKey.from_private_bytes(self._entropy(exchange.KEY_BYTES))
        signer = Signer(secret)
        public = exchange.public_of(private)
        self._issued[signer.id] = _Issued(signer, private, public, now_ns + ttl_ns, uses)

    def receive(self, datagram: bytes, source: str, now_ns: int) -> bytes | None:
        """What to send back to `source` (an address), if anything."""
        try:
            frame = exchange.dissect(datagram)
        except exchange.MalformedError:
            return self._refused("malformed")
        if frame.kind not in (Kind.HELLO, Kind.REQUEST):
            return self._refused("misdirected")  # answers to others, heard by multicast
        issued = self._issued.get(frame.token)
        if issued is None or frame.version != exchange.VERSION:
            # The version is in every head: an applicant of another one learns from this answer that it is.
            self.counts["unknown"] += 1
            return exchange.unknown(frame.token, frame.path, self._node) if self._unknowns.take(now_ns) else None
        if not issued.signer.has_signed(frame):
            return self._refused("unproven")
        if not self._answers.take(now_ns):
            return self._refused("too-many")
        if frame.kind == Kind.HELLO:
            return self._challenge(issued, frame, source, now_ns)
        return self._request(issued, frame, source, now_ns)

    def _challenge(self, issued: _Issued, frame: Frame, source: str, now_ns: int) -> bytes | None:
        if len(frame.body) != exchange.KEY_BYTES:
            return self._refused("malformed")
        cookie = self._cookie(issued, frame.body, source, now_ns // COOKIE_NS)
        return issued.signer.frame(Kind.CHALLENGE, frame.path, frame.body + issued.public + cookie)

    def _request(self, issued: _Issued, frame: Frame, source: str, now_ns: int) -> bytes | None:
        host, rest = frame.body[: exchange.KEY_BYTES], frame.body[exchange.KEY_BYTES :]
        cookie, sealed = rest[: exchange.COOKIE_BYTES], rest[exchange.COOKIE_BYTES :]
        period = now_ns // COOKIE_NS
        good = [self._cookie(issued, host, source, when) for when in (period, period - 1)]
        if not any(hmac.compare_digest(cookie, one) for one in good):
            # From before a restart, or a recording.  The applicant begins again when nothing comes.
            return self._refused("stale")
        if (again := issued.granted.get(host)) is not None and now_ns < issued.expires_ns:
            return issued.signer.frame(Kind.ANSWER, frame.path, again)
        try:
            seals = Seals(
                issued.signer.secret,
                issued.private,
                host,
                transcript=exchange.transcript(host, issued.public, cookie),
            )
        except ValueError:
            return self._refused("malformed")
        application = seals.open_application(sealed)
        if application is None:
            return self._refused("unproven")
        answer = self._judge(issued, application, now_ns)
        body = host + seals.seal_answer(answer, self._entropy(exchange.NONCE_BYTES))
        if isinstance(answer, Grant):
            issued.uses_left -= 1
            issued.granted[host] = body
            self.counts["granted"] += 1
            self.welcomes.append(Welcome(application.name, application.witness, source))
        else:
            self.counts[answer.code] += 1
        return issued.signer.frame(Kind.ANSWER, frame.path, body)

    def _judge(self, issued: _Issued, application: Application, now_ns: int) -> Grant | Denial:
        if (ended := issued.ended(now_ns)) is not None:
            return ended
        cluster = self._cluster()
        if cluster.grant is None:
            return Denial("unready", cluster.unready)
        name, presence = application.name, cluster.nodes.get(application.name)
        if presence is Presence.ONLINE or (presence is not None and not application.replaces):
            taken = f"the cluster has a node {name!r} already, and it is {presence.value}"
            if presence is Presence.ONLINE:
                return Denial("name-taken", f"{taken}; take another name with --name; {_taken(cluster.nodes)}")
            return Denial(
                "name-offline",
                f"{taken}; if this host is {name} with a new disk, add --replace, else take another name with"
                f" --name; {_taken(cluster.nodes)}",
            )
        return cluster.grant

    def _cookie(self, issued: _Issued, host: bytes, source: str, period: int) -> bytes:
        message = issued.signer.id + host + period.to_bytes(8, "big", signed=True) + source.encode()
        return hashlib.blake2s(message, key=self._cookie_key, digest_size=exchange.COOKIE_BYTES).digest()

    def _forget(self, now_ns: int) -> None:
        old = [i for i, issued in self._issued.items() if now_ns >= issued.expires_ns + REMEMBERED_NS]
        for identity in old:
            del self._issued[identity]

    def _refused(self, reason: str) -> bytes | None:
        """Counted, and not answered."""
        self.counts[reason] += 1
        return None


def _taken(names: Mapping[str, Presence]) -> str:
    told = ", ".join(sorted(names)[:NAMES_TOLD_MAX])
    return f"taken: {told}{', …' if len(names) > NAMES_TOLD_MAX else ''}"
