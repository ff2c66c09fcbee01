"""Who is heard over which link, and a group that a switch eats."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from daemon.cluster.hearing import SILENT_AFTER_HEARTBEATS, Hearing, Probe

HEARTBEAT_NS = 50_000_000
SECOND_NS = 1_000_000_000
PEERS = frozenset({"a2", "a3"})


def hearing() -> Hearing:
    made = Hearing(HEARTBEAT_NS)
    made.add_link("eth0")
    made.add_link("eth1")
    return made


def test_a_lost_link_is_said_once_and_so_is_its_return() -> None:
    ears, said = hearing(), []
    for beat in range(600):
        now_ns = beat * HEARTBEAT_NS
        for peer in PEERS:
            ears.note("eth0", peer, now_ns)
            if not 100 <= beat < 400:
                ears.note("eth1", peer, now_ns)
        said += [(beat, *line) for line in ears.news(PEERS, now_ns)]
    assert [(bad, text) for _, bad, text in said] == [
        (True, "link eth1: a2, a3 not heard here now, but over another link"),
        (False, "link eth1: everybody is heard here again"),
    ]
    assert said[0][0] <= 100 + SILENT_AFTER_HEARTBEATS


def test_a_node_that_is_gone_everywhere_is_no_news_of_a_link() -> None:
    ears = hearing()
    for link in ("eth0", "eth1"):
        ears.note(link, "a2", 0)
    assert list(ears.news(PEERS, 10 * SECOND_NS)) == []
    (a2, a3) = ears.peers("eth0", PEERS, 10 * SECOND_NS)
    assert (a2.name, a2.heard_ms, a2.trouble) == ("a2", 10_000, "not heard on this link")
    assert (a3.heard_ms, a3.trouble) == (None, "not heard on this link")


def probed(ears: Hearing, second: int, *, group: bool, unicast: bool = True, has_group: bool = True) -> None:
    now_ns = second * SECOND_NS
    ears.note("eth0", "a2", now_ns)
    if group:
        ears.probed("eth0", "a2", Probe(to_group=True, has_group=True, deaf=False), now_ns)
    if unicast:
        ears.probed("eth0", "a2", Probe(to_group=False, has_group=has_group, deaf=False), now_ns)


def test_a_group_that_the_switch_eats_is_named_once_with_its_remedy_and_healed_when_it_is() -> None:
    ears, said = Hearing(HEARTBEAT_NS), []
    for second in range(60):
        probed(ears, second, group=second < 10 or second >= 40)
        said += [(second, *line) for line in ears.news({"a2"}, second * SECOND_NS)]
        assert ears.is_deaf({"a2"}, second * SECOND_NS) == (14 <= second < 40)
    (broken, bad, text), (healed, good, end) = said
    assert (broken, bad, healed, good) == (14, True, 40, False)
    assert text.startswith("link eth0: the group does not bring what a2 sends to it, though unicast works")
    assert "querier" in text
    assert end == "link eth0: the multicast group works again"


def test_a_peer_without_a_group_and_a_dead_peer_accuse_no_switch() -> None:
    ears = hearing()
    for second in range(30):
        probed(ears, second, group=False, has_group=False)
    assert not ears.eaten("eth0", {"a2"}, 30 * SECOND_NS)
    for second in range(30, 60):
        probed(ears, second, group=second < 40, unicast=second < 40)
    assert not ears.eaten("eth0", {"a2"}, 60 * SECOND_NS)


def test_a_group_that_fails_on_one_link_of_two_makes_nobody_deaf() -> None:
    ears = hearing()
    for second in range(30):
        probed(ears, second, group=False)
        for to_group in (True, False):
            ears.probed("eth1", "a2", Probe(to_group, has_group=True, deaf=False), second * SECOND_NS)
    assert ears.eaten("eth0", {"a2"}, 29 * SECOND_NS) == {"a2"}
    assert not ears.is_deaf({"a2"}, 29 * SECOND_NS)


@given(st.binary(max_size=64))
def test_no_bytes_make_a_probe_raise_and_what_is_one_comes_back(data: bytes) -> None:
    probe = Probe.decode(data)
    assert probe is None or Probe.decode(probe.encode() + b"of a newer version") == probe
