"""Votes as `pcs quorum status` tells them, and what would follow if each node were lost next."""

from __future__ import annotations

import time
from collections.abc import Iterator

from daemon.cli.layout.resources import Paint, plain
from daemon.control.schema import QuorumDocument, QuorumNode

LISTED_MAX = 12
"""more instances without a place than these are counted, not listed"""


def quorum(document: QuorumDocument, paint: Paint = plain) -> Iterator[str]:
    yield "Quorum information"
    yield "------------------"
    yield f"Cluster name:     {document.cluster}"
    yield f"Seen from:        {document.node}"
    yield f"Leader:           {document.leader or paint('NONE', 'bad')}"
    yield f"Quorate:          {'Yes' if document.quorate else paint('No', 'bad')}"
    yield ""
    yield "Votequorum information"
    yield "----------------------"
    yield f"Expected votes:   {document.votes_expected}"
    yield f"Total votes:      {document.votes_heard}"
    yield f"Quorum:           {document.votes_needed}"
    yield f"Tie-breaker:      {_tie_breaker(document)}"
    yield f"Fencing:          {_fencing(document, paint)}"
    yield f"No quorum policy: {_policy(document)}"
    if document.without_quorum:
        yield paint("ALARM: serving without quorum", "bad")
    yield ""
    yield "Membership information"
    yield "----------------------"
    width = max((len(node.name) for node in document.nodes), default=4)
    for node in document.nodes:
        yield _member(node, document.node, width, paint)
    yield ""
    yield "If a node were lost next"
    yield "------------------------"
    for node in document.nodes:
        yield f"{node.name:<{width}}  {_if_lost(node, paint)}"


def _tie_breaker(document: QuorumDocument) -> str:
    name = document.tie_breaker
    wished = document.tie_breaker_wished
    if name != wished:
        return f"{name or 'none'}, {wished or 'none'} as soon as a change of the roster is possible"
    if not name:
        return "none"
    return name if document.tie_breaker_counts else f"{name}, without effect while the number of voters is odd"


def _fencing(document: QuorumDocument, paint: Paint) -> str:
    if document.fenced:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(document.fenced_ms / 1000))
        return paint(f"{document.fenced} was fenced at {when} by {document.fenced_by}, its vote counts", "moving")
    if document.fencing_trouble:
        return paint(document.fencing_trouble, "bad")
    if document.fencing:
        return "of the two nodes, a fenced one's vote counts"
    return "does not count (stonith-enabled and exactly two voters without a tie-breaker)"


def _policy(document: QuorumDocument) -> str:
    if document.policy != "ignore" or not document.wait_for_all:
        return document.policy
    heard = "has" if document.heard_all else "has not"
    return f"ignore, with wait-for-all ({document.node} {heard} heard all since it booted)"


def _member(node: QuorumNode, own: str, width: int, paint: Paint) -> str:
    votes = "1 vote" if node.votes == 1 else f"{node.votes} votes"
    words = [node.role, votes, "heard" if node.heard else paint("NOT heard", "bad")]
    words += ["leads"] if node.leads else []
    words += ["this node"] if node.name == own else []
    return f"{node.name:<{width}}  {', '.join(words)}"


def _if_lost(node: QuorumNode, paint: Paint) -> str:
    found = node.if_lost
    if found is None:
        return "is not heard already"
    lost = f"{paint('NO QUORUM', 'bad')}: {found.then}"
    text = f"still quorate, {found.leader} leads" if found.quorate else lost
    if not found.nowhere:
        return text
    listed = ", ".join(found.nowhere[:LISTED_MAX])
    more = len(found.nowhere) - LISTED_MAX
    return f"{text}; {paint('no place for', 'moving')} {listed}" + (f" and {more} more" if more > 0 else "")
