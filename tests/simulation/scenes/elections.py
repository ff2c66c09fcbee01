"""Elections: promises and clocks."""

from __future__ import annotations

from tests.simulation.cast import Cast
from tests.simulation.clock import MILLION
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
