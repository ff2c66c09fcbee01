"""Partitions without quorum under no-quorum-policy=ignore."""

from __future__ import annotations

import msgspec

from daemon.state.commands import Edit
from tests.simulation.cast import Cast
from tests.simulation.kernel import Slot
from tests.simulation.scenes.stage import Scene
from tests.simulation.workloads.daemon import shared_address

SLOTS: list[Slot] = [("VIP", number) for number in range(4)]


class Serving(Scene):
    """A calm cluster that serves four slots, under a policy."""

    def __init__(self, cast: Cast, nodes: int, **properties: str) -> None:
        super().__init__(cast, nodes)
        named = {name.replace("_", "-"): value for name, value in properties.items()}
        configuration = shared_address(4, [], "1", named)
        edit = Edit(None, configuration.model_dump_json().encode(), "administrator", "the address")
        self.host("a1").edit(msgspec.msgpack.encode(edit))
        self.until(lambda: self.world.ailing() is None and self.served() == set(SLOTS))

    def served(self, *names: str) -> set[Slot]:
        """Slots that these hosts accept wholly, or any host where none is named."""
        now_ns, hosts = self.world.now_ns, [self.host(name) for name in names or self.world.names]
        return {slot for slot in SLOTS for host in hosts if len(host.accepts(slot, now_ns)) == 2}


def a_partition_of_two_nodes_heals(cast: Cast) -> None:
    """Both have served everything; nobody was declared lost, so a grant names an epoch that both have enforced.

    Their kernels take longer to be told than an election does.
    """
    scene = Serving(cast, 2, no_quorum_policy="ignore")
    scene.part({"a1"})
    scene.until(lambda: scene.served("a1") == scene.served("a2") == set(SLOTS))
    for host in scene.world.hosts.values():
        host.kernel_takes_ms = 300
    scene.network.cut = set()
    scene.until(lambda: scene.world.ailing() is None)
