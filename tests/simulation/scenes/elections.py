"""Elections: promises and clocks."""

from __future__ import annotations

from daemon.cluster.messages import Append, Heartbeat, Message, PreVoteAnswer, VoteAnswer
from tests.simulation.cast import Cast
from tests.simulation.clock import MILLION
from tests.simulation.invariants import ViolationError
from tests.simulation.network import NS_PER_MS
from tests.simulation.scenes.stage import Scene


def a_leader_with_a_slow_clock(cast: Cast) -> None:
    """Rule 2: the leader's 50 ms last longer than its followers'."""
    rho = int(MILLION * 0.2 / 2.2)
    scene = Scene(cast, nodes=4, ppm={"a1": -rho, "a2": rho, "a3": rho, "a4": rho})
    scene.network.slowest_ns = NS_PER_MS // 4  # a fast election, for the clocks are but a few milliseconds apart
    for _ in range(10):
        scene.part({"a1"})
        scene.go_on(300)
        scene.network.cut = set()
        scene.let_lead("a1")


def followers_that_start_again(cast: Cast) -> None:
    """Rule 5: all three have promised a1 something a moment before they died."""
    scene = Scene(cast, nodes=4)
    scene.part({"a1"})
    for name in ("a2", "a3", "a4"):
        scene.host(name).die()
        scene.host(name).start()
    scene.go_on(300)


def a_leader_that_one_follower_does_not_hear(cast: Cast) -> None:
    """Rule 4: a3 hears nothing of a1 but its answers; a1, which leads with a2, must not help to elect it."""
    scene = Scene(cast, nodes=3)
    scene.go_on(300)

    def drops(sender: str, receiver: str, message: Message) -> bool:
        if (sender, receiver) == ("a1", "a3"):
            return isinstance(message, Append | Heartbeat)
        return (sender, receiver) == ("a2", "a3") and isinstance(message, PreVoteAnswer | VoteAnswer)

    scene.network.drops = drops
    scene.go_on(500)


def a_leader_hands_over(cast: Cast) -> None:
    """Rule 10: whoever takes over leads at once, so the former leader must not lead any more."""
    scene = Scene(cast, nodes=4)
    scene.network.slowest_ns = NS_PER_MS // 4
    for _ in range(3):
        scene.until(lambda: scene.has_all_entries("a2"))
        scene.hand_over(scene.host("a1"), "a2")
        scene.network.cut = {(name, "a1") for name in ("a2", "a3", "a4")}  # it does not hear what becomes of it
        scene.go_on(100)
        scene.network.cut = set()
        scene.let_lead("a1")


def a_leader_hands_over_and_is_not_heard_any_more(cast: Cast) -> None:
    """Rule 10: a1 leads until the moment at which it hands over, and a2 has heard no heartbeat of it for a while."""
    scene = Scene(cast, nodes=4)
    scene.network.slowest_ns = NS_PER_MS // 4
    scene.go_on(300)
    scene.network.drops = lambda sender, receiver, message: (
        (sender, receiver) == ("a1", "a2") and isinstance(message, Heartbeat)
    )
    scene.go_on(100)
    scene.hand_over(scene.host("a1"), "a2")
    scene.network.cut = {("a1", name) for name in ("a2", "a3", "a4")}
    scene.go_on(300)


def a_leader_whose_entries_do_not_arrive(cast: Cast) -> None:
    """Rule 9: rounds pass and entries do not (a path with a smaller MTU): somebody else has to lead."""
    scene = Scene(cast, nodes=4)
    scene.network.drops = lambda sender, _, message: (
        sender == "a1" and isinstance(message, Append) and bool(message.entries)
    )
    scene.edit("a1")
    scene.go_on(3000)
    if not scene.edit_is_acknowledged:
        raise ViolationError("a1 leads and can commit nothing, and nobody else may lead")
