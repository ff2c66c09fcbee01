"""Who votes, and what would happen next: `GET /v1/quorum`."""

from __future__ import annotations

import msgspec

from daemon.control.schema.words import SCHEMA


class IfLost(msgspec.Struct, frozen=True):
    """What would follow if a node were the next to be lost."""

    quorate: bool
    """whether the nodes that are heard now, without it, are a quorum"""
    leader: str | None
    """who would lead; null: nobody"""
    then: str = ""
    """without a quorum: what no-quorum-policy makes of it"""
    nowhere: tuple[str, ...] = ()
    """instances and slots that have a place now and would have none"""


class QuorumNode(msgspec.Struct, frozen=True):
    name: str
    role: str
    """`voter`, `learner`, `witness` or `joining`"""
    votes: int
    heard: bool
    leads: bool = False
    if_lost: IfLost | None = None
    """null: it is not heard already"""


class QuorumDocument(msgspec.Struct, frozen=True):
    """GET /v1/quorum: votes as the answering node counts them."""

    cluster: str
    node: str
    quorate: bool
    leader: str | None
    votes_expected: int
    """of all voters, the tie-breaker's extra one included"""
    votes_needed: int
    votes_heard: int
    """of the voters that this node hears, itself included"""
    tie_breaker: str
    """as the roster has it; empty: none"""
    tie_breaker_counts: bool
    """its extra vote counts only while the number of voters is even"""
    tie_breaker_wished: str
    """the cluster property"""
    policy: str
    """no-quorum-policy in force"""
    wait_for_all: bool
    heard_all: bool
    """this node has heard all others at the same time since its host booted"""
    without_quorum: bool
    """it serves although it has no quorum (no-quorum-policy=ignore)"""
    nodes: tuple[QuorumNode, ...]
    """in the order of rank: the first live voter stands first when the leader is lost"""
    fencing: bool = False
    """the two voters have agreed that one counts the vote of the other once that is fenced"""
    fenced: str = ""
    """the node whose vote this one counts; empty: none's"""
    fenced_by: str = ""
    """the device or the person who said that it is without power"""
    fenced_ms: int = 0
    """when, milliseconds since 1970"""
    fencing_trouble: str = ""
    """why the other node is not fenced yet; empty: nothing is wrong"""
    schema: int = SCHEMA
