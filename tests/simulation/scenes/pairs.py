"""Two nodes and a witness."""

from __future__ import annotations

from daemon.cluster.messages import Append, Message
from tests.simulation.cast import Cast
from tests.simulation.invariants import ViolationError
from tests.simulation.network import NS_PER_MS
from tests.simulation.scenes.overlays import SLOTS
from tests.simulation.scenes.stage import Scene

PATIENCE_MS = 1500


class Witnessed(Scene):
    """a1 and a2, of which a1 leads, and the witness w1."""

    def __init__(self, cast: Cast) -> None:
        super().__init__(cast, nodes=2, witnesses=1)

    def serves_all(self, name: str) -> bool:
        host = self.host(name)
        return all(len(host.accepts(slot, self.world.now_ns)) == 2 for slot in SLOTS)


def a_witness_that_alone_knows_the_newest_entry(cast: Cast) -> None:
    """a1 has an edit acknowledged with the witness' help and is gone for good; a2 has never heard of it."""
    scene = Witnessed(cast)

    def drops(sender: str, receiver: str, message: Message) -> bool:
        return isinstance(message, Append) and receiver == "a2" and bool(message.entries)

    scene.network.drops = drops
    scene.edit("a1")
    scene.until(lambda: scene.edit_is_acknowledged)
    scene.host("a1").reboot()
    assert scene.core("a2").replica.log.last_index < scene.core("w1").replica.log.last_index
    scene.network.drops = lambda sender, receiver, message: False
    led: list[bool] = []

    def is_whole() -> bool:
        led.append(scene.leads("w1"))
        return scene.leads("a2") and scene.serves_all("a2")

    if not scene.world.run_until(scene.world.now_ns + PATIENCE_MS * NS_PER_MS, is_whole):
        raise ViolationError(f"the witness alone knows the newest entry, and {PATIENCE_MS} ms later nobody serves")
    assert any(led)
    assert not scene.host("w1").kernel.states
    assert scene.core("a2").replica.commit >= scene.world.invariants.consensus.acknowledged[b"an edit"]
