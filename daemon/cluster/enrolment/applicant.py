"""The joining host's side of an enrolment.

    asking ── CHALLENGE ──► applying ── ANSWER ──► done
      ▲                        │
      └──── no answer: a new cookie is asked for (`again`)

`datagram(path)` is what to send now, by each path, again and again until `answer` is there; the caller has the clock.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from daemon.cluster.enrolment import exchange
from daemon.cluster.enrolment.exchange import Application, Denial, Frame, Grant, Kind, Path, Seals, Signer

STRANGERS_MAX = 16
"""names that are remembered of daemons that hear this host and know nothing of the token"""


@dataclass(slots=True)
class Observed:
    """What came back, for the sentence that explains a failure."""

    paths: set[int] = field(default_factory=set)
    """by which the token's own daemon has heard this host"""
    strangers: set[str] = field(default_factory=set)
    """daemons that hear this host and did not print the token"""
    versions: set[int] = field(default_factory=set)
    """other versions of this protocol that were met"""
    refused: Counter[str] = field(default_factory=Counter)


class Applicant:
    def __init__(self, secret: bytes, application: Application, *, private: bytes, nonce: bytes) -> None:
        """`private` (32 bytes) and `nonce` (12) are random and used for this one applicant."""
        self.answer: Grant | Denial | None = None
        self.observed = Observed()
        self._signer = Signer(secret)
        self._application = application
        self._private = X25519PrivateKey.from_private_bytes(private)
        self._public = exchange.public_of(self._private)
        self._nonce = nonce
        self._seals: Seals | None = None
        self._request = b""
        """body of the REQUEST, once there was a challenge"""

    @property
    def applies(self) -> bool:
        """It has been challenged, and sends its application."""
        return self._seals is not None

    def datagram(self, path: Path) -> bytes:
        """To be sent now, by this path."""
        return self.hello(path) if self._seals is None else self._signer.frame(Kind.REQUEST, path, self._request)

    def hello(self, path: Path) -> bytes:
        """Also of use afterwards, to see which paths work: `observed.paths`."""
        return self._signer.frame(Kind.HELLO, path, self._public)

    def again(self) -> None:
        """Begin anew: the daemon may have forgotten the cookie."""
        self._seals = None

    def receive(self, datagram: bytes) -> None:
        """Take what came in; whatever it is, nothing raises."""
        try:
            frame = exchange.dissect(datagram)
        except exchange.MalformedError:
            self.observed.refused["malformed"] += 1
            return
        if frame.token != self._signer.id:
            self.observed.refused["other-token"] += 1
        elif frame.version != exchange.VERSION:
            self.observed.versions.add(frame.version)
        elif frame.kind == Kind.UNKNOWN:
            self._note_stranger(frame)
        elif frame.kind not in (Kind.CHALLENGE, Kind.ANSWER):
            self.observed.refused["misdirected"] += 1  # its own, come back by multicast, or another host's
        elif not self._signer.has_signed(frame) or not frame.body.startswith(self._public):
            self.observed.refused["unproven"] += 1
        else:
            self.observed.paths.add(frame.path)
            self._proven(frame, frame.body[exchange.KEY_BYTES :])

    def _proven(self, frame: Frame, rest: bytes) -> None:
        if frame.kind == Kind.CHALLENGE and self._seals is None:
            self._accept_challenge(rest)
        elif frame.kind == Kind.ANSWER and self._seals is not None and self.answer is None:
            self.answer = self._seals.open_answer(rest)

    def _accept_challenge(self, rest: bytes) -> None:
        daemon, cookie = rest[: exchange.KEY_BYTES], rest[exchange.KEY_BYTES :]
        if len(cookie) != exchange.COOKIE_BYTES:
            self.observed.refused["malformed"] += 1
            return
        try:
            seals = Seals(
                self._signer.secret,
                self._private,
                daemon,
                transcript=exchange.transcript(self._public, daemon, cookie),
            )
        except ValueError:
            self.observed.refused["malformed"] += 1
            return
        self._request = self._public + cookie + seals.seal_application(self._application, self._nonce)
        self._seals = seals

    def _note_stranger(self, frame: Frame) -> None:
        if len(self.observed.strangers) < STRANGERS_MAX:
            name = frame.body[: exchange.NAME_BYTES_MAX]
            self.observed.strangers.add("".join(chr(byte) if 0x21 <= byte <= 0x7E else "?" for byte in name))
