"""An enrolment from both ends: who is let in, who is not and why, and what a stranger gets (nothing)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.cluster.enrolment import exchange
from daemon.cluster.enrolment.applicant import Applicant
from daemon.cluster.enrolment.desk import (
    ANSWERS_PER_S,
    COOKIE_NS,
    NS_PER_S,
    REMEMBERED_NS,
    TOKENS_MAX,
    UNKNOWNS_PER_S,
    Cluster,
    Desk,
    Presence,
    TooManyTokensError,
)
from daemon.cluster.enrolment.exchange import Application, Denial, Grant, GrantedLink, Path

SECRET = bytes(16)
HOST = "192.0.2.14"
TTL_NS = 600 * NS_PER_S
GRANT = Grant(
    cluster="web",
    node="a1",
    authkey=bytes(32),
    links=(GrantedLink("239.192.110.1", 5405, "192.0.2.0/24"),),
    profile="fast",
    timers={"lease_ms": 200},
    cipher="aes-256-gcm",
    version="0.1",
)


def entropy(seed: str) -> Callable[[int], bytes]:
    """Bytes that look random and are the same in each run."""
    drawn = 0

    def draw(count: int) -> bytes:
        nonlocal drawn
        drawn += 1
        return hashlib.shake_128(f"{seed} {drawn}".encode()).digest(count)

    return draw


def applicant(
    name: str = "a4", secret: bytes = SECRET, *, replaces: bool = False, seed: str = "applicant"
) -> Applicant:
    draw = entropy(f"{seed} {name}")
    return Applicant(secret, Application(name, False, replaces, "0.1"), private=draw(32), nonce=draw(12))


@dataclass
class Office:
    """A desk with one token, and a clock."""

    nodes: dict[str, Presence] = field(default_factory=lambda: {"a1": Presence.ONLINE, "a3": Presence.OFFLINE})
    grant: Grant | None = GRANT
    uses: int = 1
    now_ns: int = 5 * NS_PER_S
    asked: int = 0

    def __post_init__(self) -> None:
        self.desk = Desk("a1", self._cluster, entropy("desk"))
        self.desk.issue(SECRET, TTL_NS, self.uses, self.now_ns)

    def _cluster(self) -> Cluster:
        self.asked += 1
        return Cluster(self.nodes, self.grant, "a1 is not a member itself")

    def receive(self, datagram: bytes, source: str = HOST) -> bytes | None:
        return self.desk.receive(datagram, source, self.now_ns)

    def serve(self, one: Applicant, path: Path = Path.GROUP) -> Grant | Denial | None:
        """Two round trips, as they are when nothing is lost."""
        for _ in range(2):
            answer = self.receive(one.datagram(path))
            if answer is not None:
                one.receive(answer)
        return one.answer


def code(answer: Grant | Denial | None) -> str:
    assert isinstance(answer, Denial), answer
    return answer.code


def test_who_has_the_token_gets_key_and_settings_in_two_round_trips() -> None:
    office = Office()
    one = applicant()
    assert office.serve(one) == GRANT
    assert one.observed.paths == {Path.GROUP}
    assert [(w.name, w.source) for w in office.desk.welcomes] == [("a4", HOST)]


def test_neither_the_key_nor_the_names_are_readable_on_the_wire() -> None:
    office, one = Office(grant=Grant(**{**_fields(GRANT), "authkey": b"K" * 32})), applicant("a-name")
    wire = b""
    for _ in range(2):
        datagram = one.datagram(Path.GROUP)
        answer = office.receive(datagram)
        assert answer is not None
        one.receive(answer)
        wire += datagram + answer
    assert one.answer is not None
    assert b"KKKK" not in wire
    assert b"a-name" not in wire
    assert SECRET not in wire


def test_an_answer_that_was_lost_is_given_again_and_counts_as_one_use() -> None:
    office, one = Office(), applicant()
    challenge = office.receive(one.datagram(Path.GROUP))
    assert challenge is not None
    one.receive(challenge)
    lost = office.receive(one.datagram(Path.GROUP))
    assert lost is not None
    assert office.serve(one) == GRANT
    assert office.desk.counts["granted"] == 1
    assert code(office.serve(applicant("a5"))) == "used-up"


def test_a_token_for_three_hosts_lets_three_in() -> None:
    office = Office(uses=3)
    answers = [office.serve(applicant(name)) for name in ("a4", "a5", "a6", "a7")]
    assert answers[:3] == [GRANT] * 3
    assert code(answers[3]) == "used-up"


def test_a_token_ends_by_the_daemon_s_boot_clock_and_its_late_holder_is_told() -> None:
    office = Office()
    office.now_ns += TTL_NS - 1
    assert office.serve(applicant()) == GRANT
    office = Office()
    office.now_ns += TTL_NS
    assert code(office.serve(applicant())) == "expired"
    office.now_ns += REMEMBERED_NS
    office.desk.issue(b"another secret..", TTL_NS, 1, office.now_ns)
    late = applicant()
    assert office.serve(late) is None
    assert late.observed.strangers == {"a1"}


def test_a_name_of_the_cluster_is_refused_with_those_that_are_taken() -> None:
    office = Office()
    answer = office.serve(applicant("a1"))
    assert code(answer) == "name-taken"
    assert isinstance(answer, Denial)
    assert "taken: a1, a3" in answer.sentence
    assert code(office.serve(applicant("a1", replaces=True, seed="2"))) == "name-taken"
    assert code(office.serve(applicant("a3"))) == "name-offline"
    assert office.serve(applicant("a3", replaces=True, seed="2")) == GRANT, "no use is counted for a refusal"


def test_a_daemon_that_cannot_let_anybody_in_says_why() -> None:
    office = Office(grant=None)
    answer = office.serve(applicant())
    assert isinstance(answer, Denial)
    assert (answer.code, answer.sentence) == ("unready", "a1 is not a member itself")


def test_who_lacks_the_secret_gets_no_answer_and_costs_no_key_exchange() -> None:
    office = Office()
    good = applicant().datagram(Path.GROUP)
    for place in range(len(exchange.MAGIC) + 2, len(good)):
        changed = good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
        answer = office.receive(changed)
        assert answer is None or exchange.dissect(answer).kind == exchange.Kind.UNKNOWN
    assert office.asked == 0
    assert office.desk.counts["unproven"] > 40


def test_a_recorded_exchange_played_back_is_not_let_in() -> None:
    office, one = Office(uses=2), applicant()
    hello = one.datagram(Path.GROUP)
    challenge = office.receive(hello)
    assert challenge is not None
    one.receive(challenge)
    request = one.datagram(Path.GROUP)
    assert office.receive(request, "192.0.2.66") is None, "the cookie belongs to the address that asked for it"
    assert office.receive(request) is not None
    for _ in range(5):
        office.receive(request)
    office.now_ns += 2 * COOKIE_NS
    assert office.receive(request) is None
    assert office.desk.counts["granted"] == 1
    restarted = Desk("a1", office._cluster, entropy("restarted"))
    restarted.issue(SECRET, TTL_NS, 1, office.now_ns)
    assert restarted.receive(request, HOST, office.now_ns) is None


def test_an_applicant_with_a_stale_cookie_begins_again() -> None:
    office, one = Office(), applicant()
    challenge = office.receive(one.datagram(Path.GROUP))
    assert challenge is not None
    one.receive(challenge)
    office.now_ns += 2 * COOKIE_NS
    assert office.serve(one) is None
    one.again()
    assert office.serve(one) == GRANT


def test_a_holder_of_the_same_token_cannot_read_another_s_answer() -> None:
    office, one, other = Office(uses=2), applicant("a4"), applicant("a5")
    for who in (one, other):
        challenge = office.receive(who.datagram(Path.GROUP))
        assert challenge is not None
        who.receive(challenge)
    answer = office.receive(one.datagram(Path.GROUP))
    assert answer is not None
    other.receive(answer)
    assert other.answer is None


def test_a_daemon_that_did_not_print_the_token_says_that_it_hears_the_host() -> None:
    office, one = Office(), applicant(secret=b"somebody else's!")
    assert office.serve(one) is None
    assert one.observed.strangers == {"a1"}


def test_another_protocol_version_is_named_by_both() -> None:
    office, one = Office(), applicant()
    newer = bytearray(one.datagram(Path.GROUP))
    newer[len(exchange.MAGIC)] = 9
    answer = office.receive(bytes(newer))
    assert answer is not None
    changed = bytearray(answer)
    changed[len(exchange.MAGIC)] = 7
    one.receive(bytes(changed))
    assert one.observed.versions == {7}


def test_the_path_that_a_host_was_heard_by_comes_back_to_it() -> None:
    office, one = Office(), applicant()
    office.serve(one, Path.ADDRESS)
    assert one.observed.paths == {Path.ADDRESS}


def test_a_host_s_own_datagrams_that_come_back_by_multicast_are_no_sign_of_a_daemon() -> None:
    one = applicant()
    one.receive(one.datagram(Path.GROUP))
    assert one.observed.paths == set()
    assert one.observed.refused == {"misdirected": 1}


def test_a_flood_gets_few_answers() -> None:
    office = Office()
    stranger, holder = applicant(secret=b"somebody else's!"), applicant()
    unknowns = sum(office.receive(stranger.datagram(Path.GROUP)) is not None for _ in range(10_000))
    answers = sum(office.receive(holder.datagram(Path.GROUP)) is not None for _ in range(10_000))
    assert unknowns <= UNKNOWNS_PER_S + 1
    assert answers <= ANSWERS_PER_S + 1
    office.now_ns += 2 * NS_PER_S
    assert office.serve(applicant(seed="later")) == GRANT


def test_tokens_are_bounded_and_ended_ones_make_room() -> None:
    desk = Desk("a1", lambda: Cluster({}, GRANT), entropy("many"))
    for number in range(TOKENS_MAX):
        desk.issue(number.to_bytes(16, "big"), TTL_NS, 1, 0)
    with pytest.raises(TooManyTokensError):
        desk.issue(b"one too many....", TTL_NS, 1, 0)
    desk.issue(b"one too many....", TTL_NS, 1, TTL_NS)


@given(
    st.binary(max_size=300), st.sampled_from([b"", exchange.MAGIC, exchange.MAGIC + b"\x01\x01", b"vIPj\x01\x03"])
)
def test_no_bytes_from_the_network_raise(noise: bytes, head: bytes) -> None:
    office, one = Office(), applicant()
    office.receive(head + noise)
    one.receive(head + noise)
    assert office.desk.counts["granted"] == 0
    assert one.answer is None


@given(st.integers(2, 5), st.binary(max_size=200))
def test_no_signed_nonsense_raises(kind: int, body: bytes) -> None:
    """Somebody who has the token is not trusted to be well-behaved either."""
    office, one = Office(), applicant()
    signer = exchange.Signer(SECRET)
    office.receive(signer.frame(exchange.Kind(kind), Path.GROUP, body))
    one.receive(signer.frame(exchange.Kind(kind), Path.GROUP, body))
    one.receive(signer.frame(exchange.Kind(kind), Path.GROUP, one.datagram(Path.GROUP)[15:47] + body))
    assert office.desk.counts["granted"] == 0
    assert not isinstance(one.answer, Grant)


def _fields(grant: Grant) -> dict[str, object]:
    return {name: getattr(grant, name) for name in grant.__struct_fields__}
