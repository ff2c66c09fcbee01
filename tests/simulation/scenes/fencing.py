"""Two nodes, of which each may cut the other's power: what one has committed alone must not be lost."""

from __future__ import annotations

from daemon.cluster.messages import Append, AppendAnswer, Message
from tests.simulation.cast import Cast
from tests.simulation.faults.fencing import TRIES
from tests.simulation.scenes.stage import Scene


class Pair(Scene):
    """Two voters that have agreed that fencing counts, and perhaps some that may join; a1 leads."""

    def __init__(self, cast: Cast, spares: int = 0) -> None:
        super().__init__(cast, 2, spares=spares, fences=True)
        self.until(self.have_agreed)

    def have_agreed(self) -> bool:
        return self.world.ailing() is None and self.world.roster.fencing

    def newest(self, by: str, target: str) -> int:
        return self.core(by).newest_incarnation(target)

    def cut_off(self, target: str, for_ms: float) -> None:
        assert self.world.fences is not None
        self.world.fences.cut(self.host(target), for_ms)

    def confirm(self, by: str, target: str, newest: int) -> None:
        assert self.world.fences is not None
        self.world.fences.confirm(self.host(by), self.host(by).running, target, newest, "switch", TRIES)

    def fence(self, by: str, target: str, for_ms: float) -> None:
        newest = self.newest(by, target)
        self.cut_off(target, for_ms)
        self.confirm(by, target, newest)

    def is_counted(self, name: str, by: str) -> bool:
        return name in self.core(by).replica.fencing.counted

    def is_admitted_by(self, name: str, by: str) -> bool:
        """The log of `by`, tail included, admits the process of `name` that runs now."""
        standing = self.core(by).replica.admissions.tail.get(name)
        process = self.host(name).process
        return standing is not None and process is not None and standing.incarnation == process.incarnation

    def edit_alone(self, name: str) -> None:
        """It does not hear the other one, and somebody edits there."""
        self.part({"a1"})
        self.edit(name)
        self.go_on(600)

    def take_over(self, name: str) -> None:
        """It cuts the other one's power and goes on alone; then that one comes back."""
        other = "a1" if name == "a2" else "a2"
        self.fence(name, other, for_ms=600)
        self.go_on(500)
        self.mend()

    def mend(self) -> None:
        self.network.drops = lambda sender, receiver, message: False
        self.network.cut = set()
        self.until(lambda: self.world.ailing() is None, within_ms=4000)


def a_peer_that_is_admitted_and_not_heard(cast: Cast) -> None:
    """a1 serves alone, a2 comes back and is admitted; its log has that, and a1 never hears so."""
    scene = Pair(cast)
    scene.fence("a1", "a2", for_ms=400)
    scene.until(lambda: scene.is_counted("a2", by="a1") and scene.leads("a1"))
    scene.network.drops = lambda sender, _, message: (
        sender == "a2" and scene.is_admitted_by("a2", by="a1") and not getattr(message, "want", 0)
    )
    scene.until(lambda: scene.host("a2").process is not None and scene.is_admitted_by("a2", by="a2"))
    scene.go_on(10)  # its disk has it, too
    scene.edit_alone("a1")
    scene.take_over("a2")


def a_peer_that_is_not_admitted_yet_stands(cast: Cast) -> None:
    """a1 serves alone and is stopped; a2 is back, has the whole log, and asks for a1's vote."""
    scene = Pair(cast)
    scene.fence("a1", "a2", for_ms=400)
    scene.until(lambda: scene.is_counted("a2", by="a1") and scene.leads("a1"))
    # a1 does not hear how much of the log a2 has, and lacks the oldest entries: it does not admit a2
    scene.network.drops = lambda sender, _, message: (
        sender == "a2" and isinstance(message, AppendAnswer) and not message.want
    )
    scene.until(lambda: scene.host("a2").process is not None)
    scene.until(lambda: scene.core("a2").replica.log.last_index == scene.core("a1").replica.log.last_index)
    scene.go_on(100)
    assert scene.is_counted("a2", by="a1")
    stopped = scene.host("a1").running
    stopped.paused = True
    scene.go_on(400)
    scene.host("a1").resume(stopped)
    scene.world.run_until(scene.world.now_ns + 200_000_000, lambda: scene.leads("a2"))
    scene.network.drops = lambda sender, _, message: (
        sender == "a2" and isinstance(message, Append) and scene.is_admitted_by("a2", by="a2")
    )
    scene.world.run_until(scene.world.now_ns + 200_000_000, lambda: scene.is_admitted_by("a2", by="a2"))
    scene.go_on(10)
    scene.edit_alone("a1")
    scene.take_over("a2")


def a_word_that_comes_late(cast: Cast) -> None:
    """a1 cuts a2's power, which comes back; both serve; then they do not hear each other, and the switch says: done."""
    scene = Pair(cast)
    newest = scene.newest("a1", "a2")
    scene.cut_off("a2", for_ms=50)
    scene.until(lambda: scene.host("a2").process is None)
    scene.until(lambda: scene.host("a2").process is not None and scene.world.ailing() is None)
    scene.part({"a1"})
    scene.go_on(300)
    scene.confirm("a1", "a2", newest)
    scene.edit_alone("a1")
    scene.take_over("a2")


def a_third_voter_that_the_second_has_not_heard_of(cast: Cast) -> None:
    """b1 has caught up, and a1 and b1 would be a majority of three; a2 knows of two, and cuts a1's power."""
    scene = Pair(cast, spares=1)

    def is_held_back(sender: str, _: str, message: Message) -> bool:
        return isinstance(message, AppendAnswer) and not message.want and sender == "b1"

    scene.network.drops = is_held_back
    scene.host("b1").is_away = False
    scene.host("b1").start()
    scene.until(lambda: all(scene.is_on_roster("b1", by=name) for name in ("a1", "a2", "b1")))
    scene.go_on(100)
    scene.part({"a2"})
    scene.network.drops = lambda sender, receiver, message: False
    scene.go_on(40)
    scene.edit("a1")
    scene.go_on(300)
    scene.take_over("a2")
