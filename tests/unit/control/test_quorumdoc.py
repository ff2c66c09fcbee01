"""`vipcast quorum status`: votes, and what would follow if each node were lost next."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from daemon.cli.layout.quorum import quorum
from daemon.control.quorumdoc import build
from daemon.control.schema import IfLost, QuorumDocument
from daemon.model.configuration import AttributeSet, Configuration, Location, Primitive
from daemon.state.commands import Edit
from tests.unit.control.living import HOSTS, StateBackend, living
from tests.unit.executor.cluster import shared, webserver


def of(members: tuple[str, ...] = HOSTS, configuration: Configuration | None = None, **core: Any) -> QuorumDocument:
    """The document of a cluster at rest, `core` being what its cluster core says otherwise."""
    backend = StateBackend(members)
    if configuration is not None:
        backend.request(Edit(None, configuration.model_dump_json().encode(), "test", ""))
        backend.play()
    facts = backend.quorum()
    silent = core.pop("silent", ())
    peers = tuple(replace(peer, live=peer.name not in silent) for peer in facts.core.peers)
    return build(replace(facts, core=replace(facts.core, peers=peers, **core)))


def lost(document: QuorumDocument, name: str) -> IfLost | None:
    return next(node for node in document.nodes if node.name == name).if_lost


def under(configuration: Configuration, **values: str) -> Configuration:
    named = {name.replace("_", "-"): value for name, value in values.items()}
    return configuration.model_copy(update={"properties": (AttributeSet(id="p", values=named),)})


def test_four_voters_need_three_and_bear_the_loss_of_any() -> None:
    document = of()
    assert (document.votes_expected, document.votes_needed, document.votes_heard) == (4, 3, 4)
    assert all(node.if_lost is not None and node.if_lost.quorate for node in document.nodes)


def test_with_one_of_four_gone_the_next_loss_is_one_too_many() -> None:
    document = of(silent={"a4"})
    assert lost(document, "a4") is None
    assert lost(document, "a3") == IfLost(False, None, "nothing is served, and what runs is stopped")


def test_the_leader_goes_on_and_without_it_the_lowest_rank_leads() -> None:
    document = of()
    found = lost(document, "a3"), lost(document, "a1")
    assert [one.leader for one in found if one is not None] == ["a1", "a2"]


def test_of_two_nodes_the_tie_breaker_s_side_goes_on() -> None:
    document = of(("a1", "a2"), tie_breaker="a1")
    assert (document.votes_expected, document.votes_needed, document.tie_breaker_counts) == (3, 2, True)
    found = lost(document, "a2"), lost(document, "a1")
    assert [one.quorate for one in found if one is not None] == [True, False]


def test_a_tie_breaker_of_three_voters_has_no_effect() -> None:
    document = of(("a1", "a2", "a3"), tie_breaker="a1")
    assert (document.votes_expected, document.tie_breaker_counts) == (3, False)
    assert any(
        "without effect" in line for line in quorum(msgspec.structs.replace(document, tie_breaker_wished="a1"))
    )


def test_a_learner_has_no_vote_and_its_loss_changes_nothing() -> None:
    backend = StateBackend(HOSTS)
    facts = backend.quorum()
    peers = tuple(replace(peer, role="learner") if peer.name == "a4" else peer for peer in facts.core.peers)
    document = build(replace(facts, core=replace(facts.core, peers=peers)))
    assert document.votes_expected == 3
    assert next(node.votes for node in document.nodes if node.name == "a4") == 0
    assert lost(document, "a4") == IfLost(True, "a1")


def test_a_store_that_was_lost_counts_for_nothing() -> None:
    facts = StateBackend(("a1", "a2", "a3")).quorum()
    peers = tuple(replace(peer, store_lost=peer.name == "a3") for peer in facts.core.peers)
    document = build(replace(facts, core=replace(facts.core, peers=peers)))
    assert (document.votes_expected, document.votes_heard) == (3, 2)
    found = lost(document, "a2")
    assert found is not None
    assert not found.quorate


def test_a_resource_that_may_run_on_one_node_only_would_have_no_place() -> None:
    bans = tuple(Location(id=f"no-{n}", resource="web", node=n, score="-INFINITY") for n in HOSTS[1:])
    configuration = webserver().model_copy(update={"constraints": bans})
    document = of(configuration=configuration)
    found = {node.name: node.if_lost.nowhere for node in document.nodes if node.if_lost is not None}
    assert found == {"a1": ("web",), "a2": (), "a3": (), "a4": ()}


def test_slots_find_another_host() -> None:
    document = of(configuration=shared())
    assert all(node.if_lost == IfLost(True, node.if_lost.leader) for node in document.nodes if node.if_lost)


def test_under_ignore_the_others_would_serve() -> None:
    document = of(("a1", "a2"), configuration=under(shared(), no_quorum_policy="ignore"))
    found = lost(document, "a2")
    assert found is not None
    assert (found.quorate, found.nowhere) == (False, ())
    assert "without quorum" in found.then


def test_what_the_socket_answers_reads_like_pcs_quorum_status() -> None:
    with living(StateBackend(("a1", "a2"))) as server:
        lines = list(quorum(server.client.quorum()))
    assert "Expected votes:   2" in lines
    assert "Quorum:           2" in lines
    assert "a2  NO QUORUM: nothing is served, and what runs is stopped" in lines


def test_a_tie_breaker_that_is_no_node_is_refused_with_the_nodes_that_there_are() -> None:
    backend = StateBackend(("a1", "a2"))
    body = under(Configuration(), tie_breaker="a9").model_dump_json().encode()
    outcome = backend.request(Edit(None, body, "test", ""))
    assert not outcome.accepted
    assert "a1, a2" in str(outcome.findings[0])


def test_a_tie_breaker_stays_when_its_node_has_gone() -> None:
    """Else the removal of a node would make every later edit impossible."""
    backend = StateBackend(("a1", "a2"))
    for _ in range(2):
        body = under(Configuration(), tie_breaker="a2").model_dump_json().encode()
        assert backend.request(Edit(None, body, "test", "")).accepted
        backend.state.members = ("a1",)


def test_of_two_nodes_that_have_agreed_the_loss_of_one_says_who_fences_it() -> None:
    device = Primitive(
        id="fence-a2",
        standard="stonith",
        type="fence_lab",
        instance=(AttributeSet(id="i", values={"pcmk_host_list": "a2"}),),
    )
    document = of(("a1", "a2"), Configuration(resources=(device,)), fencing=True)
    found = lost(document, "a2"), lost(document, "a1")
    said = [one.then for one in found if one is not None]
    assert "until fence-a2 has fenced it" in said[0]
    assert "until somebody says 'vipcast stonith confirm a1'" in said[1]
    assert any("a fenced one's vote counts" in line for line in quorum(document))


def test_a_fenced_node_is_named_with_its_vote() -> None:
    document = of(("a1", "a2"), silent={"a2"}, fencing=True, fenced="a2", fenced_by="root", fenced_ms=1)
    assert (document.votes_heard, document.votes_needed) == (2, 2)
    assert any("a2 was fenced at" in line and "by root, its vote counts" in line for line in quorum(document))


def test_what_keeps_a_node_from_being_fenced_is_shown() -> None:
    document = msgspec.structs.replace(of(("a1", "a2")), fencing_trouble="the switch does not answer")
    assert any("the switch does not answer" in line for line in quorum(document))
