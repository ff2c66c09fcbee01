"""Who comes with yesterday's key: what he is given, and that he is believed nothing.  No socket, every byte chosen."""

from __future__ import annotations

import hashlib

from daemon.cluster import greeting
from daemon.cluster.chunks import Splitter
from daemon.cluster.greeting import Greetings
from daemon.cluster.handover import Handover, Offer
from daemon.cluster.hearing import Probe
from daemon.cluster.keydistribution import INVITED_MAX, KeyDistribution
from daemon.cluster.keyring import Keyring, RingKey, mark_of
from daemon.cluster.messages import Reject, encode
from daemon.cluster.seal import Opened, Opener, Reason, Refused, Sealer
from daemon.cluster.wayback import Reply

OLD, NEW, OTHER = (bytes([number]) * 32 for number in (1, 2, 3))
NOW_S = 1_000_000
S = 1_000_000_000
MEMBERS = frozenset({"a2", "a4"})


class Entropy:
    """Different bytes at each call, the same ones in each run."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._calls = 0

    def __call__(self, count: int) -> bytes:
        self._calls += 1
        return hashlib.shake_128(self._seed + self._calls.to_bytes(4, "big")).digest(count)


class Comer:
    """A process of `name` that has one key, and the member a1 whose cluster uses another."""

    def __init__(self, name: str = "a4", key: bytes = OLD, *, ring: Keyring | None = None, minor: int = 2) -> None:
        self.name = name
        self.salt = name.encode().ljust(16, b"s")
        self.sealer = Sealer(key, "demo", name, 7, salt=self.salt, minor=minor)
        self.opener = Opener(key, "demo", own=(name, self.salt))
        self.greetings = Greetings(name, self.salt)
        self.own = KeyDistribution(Keyring.of(key), "demo", name, self.salt, Entropy(name.encode()))
        retired = Keyring((RingKey(NEW), RingKey(OLD, NOW_S - 1)))
        self.member = KeyDistribution(ring or retired, "demo", "a1", b"o" * 16, Entropy(b"a1"))
        self.seals = Sealer(self.member.rotation.ring, "demo", "a1", 3, salt=b"o" * 16)
        self.main = Opener(self.member.rotation.ring, "demo", own=("a1", b"o" * 16))
        self.member.use(self.main, NOW_S)
        self.present: set[str] = set()
        self.now_ns = 0

    def sends(self, payload: bytes) -> Reply | Refused:
        datagram = self.sealer.seal(payload)
        assert self.main.open(datagram) == Refused(Reason.WRONG_KEY, self.name), "nothing of it is believed"
        self.now_ns += 1 * S
        return self.member.welcome_back(datagram, MEMBERS, lambda name: name in self.present, self.now_ns)

    def hears(self, reply: Reply | Refused) -> Keyring:
        """What its ring is after the reply."""
        assert isinstance(reply, Reply)
        for payload in reply.payloads:
            opened = self.opener.open(self.seals.seal(payload, reply.key_mark))
            assert isinstance(opened, Opened)
            judgement = self.greetings.judge(opened, self.now_ns)
            if judgement.answer is not None:
                self.sends(judgement.answer)
            self.own.rotation.ring = self.own.taken(opened, judgement, NOW_S)
        return self.own.rotation.ring

    def probe(self, *, public: bool = True) -> bytes:
        marks = self.own.rotation.ring.marks
        return greeting.probe(Probe(False, True, False, marks, self.own.public if public else b"").encode())

    def greet(self) -> None:
        self.hears(self.sends(greeting.data(b"heartbeat")))


def test_a_member_that_was_away_is_given_the_key_in_use_and_nothing_it_says_is_believed() -> None:
    comer = Comer()
    comer.greet()
    ring = comer.hears(comer.sends(comer.probe()))
    assert ring.active.key == NEW
    reply = comer.sends(greeting.data(Splitter().split(encode(Reject(1)))[0]))
    assert reply == Reply((), mark_of(OLD)), "a message is not even answered"


def test_a_recording_of_one_who_was_here_yesterday_is_given_nothing() -> None:
    comer = Comer()
    for _ in range(3):  # it cannot know this process's salt, so it never greets
        reply = comer.sends(comer.probe())
        assert isinstance(reply, Reply)
        assert reply.handed_to == ""
        assert all(len(payload) == 18 for payload in reply.payloads), "greetings alone"


def test_who_is_not_of_the_cluster_is_refused_and_named() -> None:
    stranger = Comer("x9")
    assert stranger.sends(stranger.probe()) == Refused(Reason.RETIRED_KEY, "x9")
    stranger.member.invite("x9")
    stranger.greet()
    assert stranger.hears(stranger.sends(stranger.probe())).active.key == NEW, "it was let in by a token"
    stranger.member.members({"x9"})
    assert stranger.sends(stranger.probe()) == Refused(Reason.RETIRED_KEY, "x9"), "and has come"


def test_a_name_that_somebody_bears_under_the_good_key_gets_nothing_by_the_old_one() -> None:
    thief = Comer("a2")
    thief.present = {"a2"}
    assert thief.sends(thief.probe()) == Refused(Reason.RETIRED_KEY, "a2")


def test_his_claim_does_not_touch_the_session_of_the_true_bearer() -> None:
    thief = Comer("a2")
    true = Sealer(NEW, "demo", "a2", 5, salt=b"t" * 16)
    assert isinstance(thief.main.open(true.seal(b"x")), Opened)
    thief.greet()
    assert isinstance(thief.main.open(true.seal(b"x")), Opened), "though the thief claims a newer incarnation"


def test_after_a_revocation_nobody_comes_back() -> None:
    ring = Keyring((RingKey(NEW, revokes=True), RingKey(OLD, NOW_S - 1)))
    comer = Comer(ring=ring)
    assert comer.sends(comer.probe()) == Refused(Reason.WRONG_KEY, "")
    assert Comer(ring=Keyring.of(NEW)).sends(comer.probe()) == Refused(Reason.WRONG_KEY, "")


def test_another_clusters_node_does_not_come_back_to_this_one() -> None:
    comer = Comer()
    comer.member.way_back.identify(77)
    comer.sealer.identify(78)
    assert comer.sends(comer.probe()) == Refused(Reason.OTHER_ID, "a4")


def test_a_listener_who_has_the_old_key_reads_the_handover_and_learns_nothing() -> None:
    comer = Comer()
    comer.greet()
    reply = comer.sends(comer.probe())
    assert isinstance(reply, Reply)
    assert reply.handed_to == "a4"
    assert all(NEW not in payload for payload in reply.payloads)


def test_an_older_version_is_handed_the_key_in_the_only_way_that_it_knows() -> None:
    comer = Comer(minor=1)
    comer.greet()
    reply = comer.sends(comer.probe(public=False))
    assert isinstance(reply, Reply)
    assert greeting.key(NEW) in reply.payloads


def test_a_handover_is_for_one_process_of_one_node_by_one_node() -> None:
    sender, receiver, other = (Handover(name, name.encode() * 16) for name in ("a1", "a2", "a3"))
    content = sender.seal(Offer(NEW, revokes=True), "a2", receiver.public, b"n" * 12)
    assert receiver.open(content, "a1") == Offer(NEW, revokes=True)
    assert receiver.open(content, "a3") is None
    assert other.open(content, "a1") is None
    assert Handover("a2", b"zz" * 16).open(content, "a1") is None, "the process after a restart"
    for at in range(len(content)):
        assert receiver.open(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :], "a1") is None
        assert receiver.open(content[:at], "a1") is None
    assert receiver.open(bytes(len(content)), "a1") is None, "a public half that yields no secret"


def test_an_attempt_to_revoke_is_refused_while_somebody_could_only_be_told_under_the_old_key() -> None:
    member = KeyDistribution(Keyring.of(OLD), "demo", "a1", b"o" * 16, Entropy(b"a1"))
    assert "a2 has not told" in member.against_revoking({"a2"})
    member.probed("a2", Probe(True, True, False, (mark_of(OLD),), Handover("a2", bytes(32)).public))
    assert member.against_revoking({"a2"}) == ""
    member.rotation.ring = member.rotation.begun(NEW, revokes=True)
    ((peer, payload, mark),) = member.offers({"a2"}, NOW_S)
    assert (peer, mark) == ("a2", b"")
    assert NEW not in payload
    member.probed("a2", Probe(True, True, False, (mark_of(OLD),)))
    assert list(member.offers({"a2"}, NOW_S)) == []
    assert "being replaced at this moment" in member.against_revoking({"a2"})


def test_only_so_many_are_expected_by_their_tokens() -> None:
    comer = Comer("x0")
    for number in range(INVITED_MAX + 1):
        comer.member.invite(f"x{number}")
    assert comer.sends(comer.probe()) == Refused(Reason.RETIRED_KEY, "x0")
