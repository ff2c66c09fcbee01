"""Who is heard over which link, and a group that a switch eats."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from hypothesis import given
from hypothesis import strategies as st

from daemon.cluster.hearing import DOUBT_AFTER_HEARTBEATS, SAID_MAX, SILENT_AFTER_HEARTBEATS, Hearing, Probe

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
        (False, "link eth1: everybody heard here again"),
    ]
    assert said[0][0] <= 100 + SILENT_AFTER_HEARTBEATS


def beaten(ears: Hearing, beats: range, links: Mapping[str, Collection[str]]) -> list[tuple[bool, str]]:
    """Heartbeats of those who are named for each link, one after the other; what was said of that."""
    said: list[tuple[bool, str]] = []
    for beat in beats:
        for link, peers in links.items():
            for peer in peers:
                ears.note(link, peer, beat * HEARTBEAT_NS)
        said += ears.news(PEERS, beat * HEARTBEAT_NS)
    return said


def test_it_is_said_who_falls_silent_on_a_link_and_who_is_back_though_others_are_not() -> None:
    ears = hearing()
    assert beaten(ears, range(100), {"eth0": PEERS, "eth1": PEERS}) == []
    assert beaten(ears, range(100, 120), {"eth0": PEERS, "eth1": ["a2"]}) == [
        (True, "link eth1: a3 not heard here now, but over another link")
    ]
    assert beaten(ears, range(120, 140), {"eth0": PEERS}) == [
        (True, "link eth1: a2 not heard here now, but over another link")
    ]
    assert beaten(ears, range(140, 160), {"eth0": PEERS, "eth1": ["a3"]}) == [
        (False, "link eth1: a3 heard here again")
    ]
    assert beaten(ears, range(160, 180), {"eth0": PEERS, "eth1": PEERS}) == [
        (False, "link eth1: everybody heard here again")
    ]


def test_who_was_silent_on_a_link_and_dies_is_not_told_to_be_back() -> None:
    ears = hearing()
    beaten(ears, range(100), {"eth0": PEERS, "eth1": PEERS})
    assert len(beaten(ears, range(100, 120), {"eth0": PEERS, "eth1": ["a2"]})) == 1
    assert beaten(ears, range(120, 160), {"eth0": ["a2"], "eth1": ["a2"]}) == []
    assert beaten(ears, range(160, 180), {"eth0": PEERS, "eth1": PEERS}) == []


def test_a_link_that_flaps_says_only_so_much_a_minute_and_how_it_is_in_the_end() -> None:
    ears = hearing()
    said = []
    for flap in range(20):
        begin = flap * 40
        said += beaten(ears, range(begin, begin + 20), {"eth0": PEERS, "eth1": PEERS})
        said += beaten(ears, range(begin + 20, begin + 40), {"eth0": PEERS})
    assert 2 < len(said) <= SAID_MAX, "40 seconds of it"
    said += beaten(ears, range(800, 2_200), {"eth0": PEERS, "eth1": PEERS})
    assert len(said) <= SAID_MAX + 1
    assert said[-1] == (False, "link eth1: everybody heard here again")


def test_a_link_that_comes_and_goes_is_taken_for_lost_a_while_longer_each_time_and_that_is_shown() -> None:
    ears = hearing()
    both, one = {"eth0": PEERS, "eth1": PEERS}, {"eth0": PEERS}
    back_after: list[int] = []
    at = 0
    for _ in range(4):
        beaten(ears, range(at, at + 20), both)
        beaten(ears, range(at + 20, at + 40), one)
        at += 40
        for beat in range(at, at + 400):
            beaten(ears, range(beat, beat + 1), both)
            troubles = {peer.trouble for peer in ears.peers("eth1", PEERS, beat * HEARTBEAT_NS)}
            if troubles == {""}:
                back_after.append(beat - at)
                at = beat + 1
                break
            [trouble] = troubles
            assert trouble.startswith("comes and goes, not relied on for"), trouble
    assert back_after[0] == 0, "the first time costs nothing"
    assert back_after == sorted(set(back_after)), back_after
    assert ears.is_present("a2", at * HEARTBEAT_NS), "and it is nothing but shown: heartbeats go over all links"


def test_a_link_whose_group_is_eaten_is_lost_once_though_a_probe_comes_each_second() -> None:
    ears = hearing()
    troubles = []
    for beat in range(300):
        now_ns = beat * HEARTBEAT_NS
        ears.note("eth0", "a2", now_ns)
        if not 50 <= beat < 180:  # so long until unicast takes over
            ears.note("eth1", "a2", now_ns)
        if beat % 20 == 0:
            for to_group in [True, False] if beat < 50 else [False]:
                ears.probed("eth1", "a2", Probe(to_group, has_group=True, deaf=False), now_ns)
        list(ears.news(["a2"], now_ns))
        (peer,) = ears.peers("eth1", ["a2"], now_ns)
        assert peer.heard_ms is not None
        assert peer.heard_ms < 1_000
        if troubles[-1:] != [peer.trouble]:
            troubles.append(peer.trouble)
    assert troubles[:2] == ["", "not heard on this link"]
    assert len(troubles) == 3
    assert troubles[2].startswith("the group does not bring what a2 sends to it")


def test_links_that_come_and_go_are_forgotten_with_their_node() -> None:
    ears = hearing()
    beaten(ears, range(20), {"eth0": PEERS, "eth1": PEERS})
    beaten(ears, range(20, 60), {"eth0": PEERS})
    for peer in PEERS:
        ears.forget(peer)
    assert ears._flaps == {}


def test_who_has_never_come_over_a_link_is_told_once_though_he_has_just_come_over_the_other() -> None:
    ears = hearing()
    assert beaten(ears, range(2), {"eth0": PEERS}) == [], "its copy may be on its way"
    assert beaten(ears, range(2, 50), {"eth0": PEERS}) == [
        (True, "link eth1: a2, a3 not heard here now, but over another link")
    ]


def test_a_node_that_dies_between_two_copies_of_a_heartbeat_is_no_news_of_a_link() -> None:
    ears = hearing()
    beaten(ears, range(100), {"eth0": PEERS, "eth1": PEERS})
    last_ns = 99 * HEARTBEAT_NS
    ears.note("eth1", "a2", last_ns + 1_000_000)
    for ms in range(SILENT_AFTER_HEARTBEATS * 50 + 10):
        at_ns = last_ns + ms * 1_000_000
        ears.note("eth0", "a3", at_ns)
        ears.note("eth1", "a3", at_ns)
        assert list(ears.news(PEERS, at_ns)) == []


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


def test_a_group_is_doubted_once_nobodys_heartbeat_comes_and_until_a_probe_to_it_does() -> None:
    ears = hearing()
    for peer in PEERS:
        ears.probed("eth0", peer, Probe(to_group=True, has_group=True, deaf=False), 0)
    for beat in range(20):
        for peer in PEERS if beat < 10 else {"a2"}:
            ears.beat(peer, beat * HEARTBEAT_NS)
        assert not ears.doubts(PEERS, (beat + 1) * HEARTBEAT_NS), "somebody's is enough"
    last_ns = 19 * HEARTBEAT_NS
    assert not ears.doubts(PEERS, last_ns + DOUBT_AFTER_HEARTBEATS * HEARTBEAT_NS - 1)
    assert ears.doubts(PEERS, last_ns + DOUBT_AFTER_HEARTBEATS * HEARTBEAT_NS)
    ears.beat("a2", 2 * SECOND_NS)
    ears.probed("eth0", "a2", Probe(to_group=False, has_group=True, deaf=True), 2 * SECOND_NS)
    assert ears.doubts(PEERS, 2 * SECOND_NS), "what comes to the address tells nothing of the group"
    ears.beat("a2", 3 * SECOND_NS)
    ears.probed("eth0", "a2", Probe(to_group=True, has_group=True, deaf=True), 3 * SECOND_NS)
    assert not ears.doubts(PEERS, 3 * SECOND_NS)


def test_who_sends_to_no_group_gives_no_doubt_of_one_and_dispels_none() -> None:
    ears = hearing()
    ears.note("eth0", "a2", 0)
    ears.probed("eth0", "a2", Probe(to_group=False, has_group=False, deaf=True), 0)
    ears.beat("a2", 0)
    assert not ears.doubts(PEERS, SECOND_NS)
    ears.note("eth0", "a3", SECOND_NS)
    ears.beat("a3", SECOND_NS)
    ears.beat("a2", 2 * SECOND_NS)
    assert ears.doubts(PEERS, 2 * SECOND_NS), "no probe has said yet that a3 has no group"


def test_a_doubt_that_is_dispelled_comes_back_only_after_another_heartbeat() -> None:
    ears = hearing()
    ears.note("eth0", "a2", SECOND_NS)
    ears.beat("a2", SECOND_NS)
    assert ears.doubts(PEERS, 2 * SECOND_NS)
    ears.probed("eth0", "a2", Probe(to_group=True, has_group=True, deaf=True), 3 * SECOND_NS)
    assert not ears.doubts(PEERS, 3 * SECOND_NS)
    assert not ears.doubts(PEERS, 10 * SECOND_NS), "a2 hears no group itself, so its heartbeats do not count"
    ears.beat("a2", 11 * SECOND_NS)
    assert not ears.doubts(PEERS, 11 * SECOND_NS)
    assert ears.doubts(PEERS, 12 * SECOND_NS)
