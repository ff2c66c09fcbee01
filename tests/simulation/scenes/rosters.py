"""Nodes that come and go: every two electorates that can act at the same time must meet (rule 22)."""

from __future__ import annotations

from collections.abc import Collection

from daemon.cluster.messages import Append, AppendAnswer, Message, PreVote, Vote
from tests.simulation.cast import Cast
from tests.simulation.network import NS_PER_MS
from tests.simulation.scenes.stage import Scene


class Growing(Scene):
    """Founders a1, a2, …, and b1, b2, … that have joined; they get a vote when they are heard to have caught up."""

    def __init__(self, cast: Cast, nodes: int, joiners: int) -> None:
        super().__init__(cast, nodes, spares=joiners)
        self.hold_back({f"b{number + 1}" for number in range(joiners)})
        for number in range(joiners):
            self.join(f"b{number + 1}")

    def hold_back(self, names: Collection[str]) -> None:
        """They get the log, and nobody hears how much of it they have."""
        self.network.drops = lambda sender, _, message: (
            isinstance(message, AppendAnswer) and not message.want and sender in names
        )

    def join(self, name: str) -> None:
        self.host(name).is_away = False
        self.host(name).start()
        self.until(lambda: any(member.name == name for member in self.world.roster.members))

    def votes(self, name: str, by: str) -> bool:
        """Whether the log of `by` says that `name` votes, committed or not."""
        return any(member.name == name and member.votes for member in self.core(by).roster.members)

    def until_whole(self) -> None:
        self.network.drops = lambda sender, receiver, message: False
        self.network.cut = set()
        self.until(lambda: self.world.ailing() is None)


def two_learners_at_a_leader_that_is_cut_off(cast: Cast) -> None:
    """Rule 22: a1 hears b1 and b2 alone, and a2 and a3 each other; five, of whom three, would meet no two of three."""
    scene = Growing(cast, nodes=3, joiners=2)
    scene.let_settle()
    scene.network.slowest_ns = NS_PER_MS // 4  # a1 hears of both before it looks again
    scene.go_on(50)
    scene.part({"a2", "a3"})
    scene.hold_back(())
    scene.go_on(600)
    scene.until_whole()


def two_leaders_who_each_add_a_vote(cast: Cast) -> None:
    """Raft's first description: a1 adds b1, which only the two of them know; then a2 adds b2, and a4 does not know.

    a1, a4 and b1 are three of a1's five; a2, a3 and b2 of a2's.
    """
    scene = Growing(cast, nodes=4, joiners=2)
    scene.let_settle()
    scene.part({"a1", "b1"})
    scene.hold_back(("b2",))
    scene.until(lambda: scene.votes("b1", by="b1"))
    scene.go_on(10)  # both disks have it, too
    for name in ("a1", "b1"):
        scene.host(name).die()
    scene.network.cut = set()

    def drops(sender: str, receiver: str, message: Message) -> bool:
        if isinstance(message, PreVote | Vote):
            return sender != "a2"
        return isinstance(message, Append) and receiver == "a4" and bool(message.entries)

    scene.network.drops = drops
    scene.until(lambda: scene.leads("a2"))
    scene.go_on(60)
    scene.network.drops = lambda sender, receiver, message: False
    scene.part({"a1", "b1", "a4"})
    for name in ("a1", "b1"):
        scene.host(name).start()
    scene.go_on(600)
    scene.until_whole()


def a_tie_breaker_that_moves(cast: Cast) -> None:
    """Rule 22: of two, a1 breaks ties; a2 leads and is told to do so from now on; then they do not hear each other."""
    scene = Scene(cast, nodes=2)
    scene.host("a1").edit(b"ties a1 1")
    scene.until(lambda: scene.world.roster.tie_breaker == "a1" and scene.world.ailing() is None)
    scene.let_lead("a2")
    scene.host("a2").edit(b"ties a2 2")
    scene.until(lambda: scene.core("a2").replica.tie_breaker == "a2")
    scene.part({"a1"})
    scene.go_on(600)
    scene.network.cut = set()
    scene.until(lambda: scene.world.ailing() is None)


def a_voter_of_the_roster_whose_disk_was_lost(cast: Cast) -> None:
    """Rule 21: the log names the voters; an edit is on the disks of a1 and a2, a2's is lost, and b1 lags."""
    scene = Growing(cast, nodes=2, joiners=1)
    scene.until_whole()
    scene.let_lead("a1")
    scene.part({"b1"})
    scene.edit("a1")
    scene.until(lambda: scene.edit_is_acknowledged)
    scene.lose_disk("a2")
    scene.host("a1").die()
    scene.network.cut = set()
    scene.host("a2").start()
    scene.go_on(600)
    scene.host("a1").start()
    scene.until_whole()


def two_of_three_founders_start_again_after_two_have_joined(cast: Cast) -> None:
    """Raft, chapter 4: a2 and a3 have the roster of five in their logs, and have forgotten that it is committed."""
    scene = Growing(cast, nodes=3, joiners=2)
    scene.until_whole()
    scene.let_lead("a1")
    scene.part({"a2", "a3"})
    for name in ("a2", "a3"):
        scene.host(name).die()
        scene.host(name).start()
    scene.go_on(600)
    scene.until_whole()


def the_only_one_that_knows_of_its_removal(cast: Cast) -> None:
    """Raft, 4.2.2: a1 takes a4 off the roster and dies; a4 alone knows, and the others cannot go on without it."""
    scene = Scene(cast, nodes=4)
    scene.host("a1").edit(b"retire a4 1")
    scene.network.drops = lambda sender, receiver, message: (
        receiver != "a4" and isinstance(message, Append) and not scene.is_on_roster("a4", by=sender)
    )
    scene.until(lambda: not scene.is_on_roster("a4", by="a4"))
    scene.go_on(3)
    scene.host("a1").die()
    scene.network.drops = lambda sender, receiver, message: False
    scene.until(lambda: scene.world.roster.members != () and scene.core("a2").replica.rosters.committed is not None)
    scene.until(lambda: scene.leads("a2") or scene.leads("a3"))
    scene.host("a1").start()
    scene.until(lambda: scene.world.ailing() is None)
    assert scene.host("a4").is_away
