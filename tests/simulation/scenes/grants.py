"""Who may grant, and when."""

from __future__ import annotations

from daemon.cluster.messages import Append, Message, PreVote
from daemon.cluster.records import Lost
from tests.simulation.cast import Cast
from tests.simulation.scenes.stage import Scene


def a_loss_that_a_minority_has(cast: Cast) -> None:
    """Rule 11: a3 leads for a moment without a commit; a2, whose log has `Lost(a4)` from before, comes after it.

    Had a3 granted a4 anything, the loss would be committed under a lease that runs.
    """
    scene = Scene(cast, nodes=5)

    def drops(sender: str, receiver: str, message: Message) -> bool:
        if isinstance(message, PreVote):
            return sender in {"a4", "a5"}  # they shall not stand
        if not isinstance(message, Append):
            return False
        loss = sender == "a1" and receiver != "a2" and any(isinstance(e.command, Lost) for e in message.entries)
        uncommitted = sender == "a3" and bool(message.entries)
        return loss or uncommitted

    scene.network.drops = drops
    scene.network.cut = {("a4", "a1")}
    scene.until(lambda: scene.tail_has_loss("a2", of="a4"))
    scene.host("a1").die()
    scene.part({"a2"})
    scene.until(lambda: scene.leads("a3"))
    scene.go_on(60)
    scene.host("a3").die()
    scene.network.cut = set()
    scene.until(lambda: scene.leads("a2"))
    scene.go_on(100)


def a_leader_cut_off_with_one_follower(cast: Cast) -> None:
    """Rule 11: a1 goes on hearing a4, and nobody else; the others elect a2, which counts from its election."""
    scene = Scene(cast, nodes=5)
    scene.part({"a1", "a4"})
    scene.go_on(600)


def a_host_that_is_stopped_with_a_grant_in_its_queue(cast: Cast) -> None:
    """Rule 13: a3 is stopped until it is lost; then it finds grants that were sent to it before that."""
    scene = Scene(cast, nodes=4)
    for _ in range(3):
        scene.until_heartbeat("a3")
        process = scene.host("a3").process
        assert process is not None
        process.paused = True
        scene.until(lambda: scene.tail_has_loss("a1", of="a3"))
        scene.go_on(20)
        scene.host("a3").resume(process)
        scene.go_on(40)
        scene.let_lead("a1")


def a_leader_that_is_cut_off(cast: Cast) -> None:
    """Rule 14: the next leader counts on it that the former one's lease ends with its leadership lease (rule 18)."""
    scene = Scene(cast, nodes=4)
    scene.go_on(300)
    scene.part({"a1"})
    scene.go_on(300)


def a_node_that_is_heard_again_before_its_loss_is_committed(cast: Cast) -> None:
    """Rule 12: a1 has appended the loss of a3, and nobody has confirmed it yet when a3 is heard again."""
    scene = Scene(cast, nodes=4)
    scene.network.cut = {("a3", "a1")}
    scene.network.drops = lambda sender, _, message: (
        sender == "a1" and isinstance(message, Append) and bool(message.entries)
    )
    scene.until(lambda: scene.tail_has_loss("a1", of="a3"))
    scene.network.cut = set()
    scene.go_on(40)
    scene.network.drops = lambda sender, receiver, message: False
    scene.go_on(100)
