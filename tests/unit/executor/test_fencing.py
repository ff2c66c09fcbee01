"""When a device is asked to cut the peer's power, which one, and with what (`daemon.executor.fencing`)."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from daemon.cluster.core.presence import Presence
from daemon.cluster.timers import NS_PER_MS, Timers
from daemon.executor.fencing import PAUSE_FIRST_NS, Fencing, Order, devices, devices_against
from daemon.model.configuration import AttributeSet, Configuration, FencingLevel, Primitive
from daemon.state.nodes import NodeState
from daemon.state.state import State

TIMERS = Timers()
PATIENCE_NS = TIMERS.loss_after_ns


def device(name: str, meta: dict[str, str] | None = None, **parameters: str) -> Primitive:
    return Primitive(
        id=name,
        standard="stonith",
        type="fence_lab",
        instance=(AttributeSet(id=f"{name}-instance_attributes", values=parameters),),
        meta=(AttributeSet(id=f"{name}-meta_attributes", values=meta or {}),),
    )


def configured(*resources: Primitive, **properties: str) -> Configuration:
    values = {"stonith-enabled": "true", **{name.replace("_", "-"): value for name, value in properties.items()}}
    return Configuration(resources=resources, properties=(AttributeSet(id="options", values=values),))


@dataclass
class Survivor:
    """a1, which does not hear a2 from the beginning."""

    configuration: Configuration
    now_ns: int = 10**12
    state: State = field(default_factory=lambda: State(["a1", "a2"]))

    def __post_init__(self) -> None:
        self.state.configuration = self.configuration
        self.fencing = Fencing(TIMERS)
        self.look()

    def look(self, after_ns: int = 0, quorate: bool = False, newest: int = 7) -> Order | None:
        self.now_ns += after_ns
        presence = Presence(quorate, lambda: (), lambda: ("a2",), "" if quorate else "a2")
        return self.fencing.look(self.state, presence, newest, self.now_ns)

    def fence(self, after_ns: int = PATIENCE_NS) -> Order:
        order = self.look(after_ns)
        assert order is not None
        return order


def test_the_device_of_the_peer_is_asked_once_no_lease_can_be_running() -> None:
    host = Survivor(configured(device("own", pcmk_host_list="a1"), device("other", pcmk_host_list="a2, a3")))
    assert host.look(PATIENCE_NS - 1) is None
    order = host.fence(1)
    assert (order.target, order.incarnation, order.device.resource, order.action) == ("a2", 7, "other", "reboot")
    assert host.look(PATIENCE_NS) is None, "one at a time"


def test_the_word_waits_until_the_core_takes_it() -> None:
    host = Survivor(configured(device("f", pcmk_host_list="a2")))
    order = host.fence()
    host.fencing.ended(order, True, "", host.now_ns)
    assert host.look(1) is None
    word = host.fencing.word
    assert word is not None
    assert (word.target, word.incarnation, word.by) == ("a2", 7, "f (stonith:fence_lab)")
    host.look(1, quorate=True)
    assert host.fencing.word is None


def test_a_word_that_has_become_old_is_dropped_and_the_peer_is_shot_again() -> None:
    host = Survivor(configured(device("f", pcmk_host_list="a2")))
    host.fencing.ended(host.fence(), True, "", host.now_ns)
    assert host.fencing.word is not None
    again = host.look(1, newest=8)
    assert again is not None
    assert again.incarnation == 8
    assert host.fencing.word is None


def test_the_end_of_a_shot_at_a_peer_that_is_back_changes_nothing() -> None:
    host = Survivor(configured(device("f", pcmk_host_list="a2")))
    order = host.fence()
    host.look(1, quorate=True)
    host.fencing.ended(order, True, "", host.now_ns)
    assert host.fencing.word is None


def test_a_device_that_fails_makes_room_for_the_next_one_and_each_pause_is_longer() -> None:
    first = device("first", {"priority": "5"}, pcmk_host_list="a2")
    host = Survivor(configured(device("a-second", pcmk_host_list="a2"), first))
    asked = []
    pause_ns = PATIENCE_NS
    for attempt in range(3):
        order = host.fence(pause_ns)
        asked.append(order.device.resource)
        host.fencing.ended(order, False, "no answer", host.now_ns)
        pause_ns = PAUSE_FIRST_NS << attempt
        assert f"attempt {attempt + 1}): no answer" in host.fencing.trouble
        assert host.look(pause_ns - 1) is None
        pause_ns = 1
    assert asked == ["first", "a-second", "first"]


def test_a_static_delay_holds_the_shot_at_the_preferred_host_back() -> None:
    host = Survivor(configured(device("f", pcmk_host_list="a1 a2", pcmk_delay_base="a1:1s;a2:5s")))
    assert host.look(PATIENCE_NS + 5000 * NS_PER_MS - 1) is None
    assert host.look(1) is not None


def test_a_peer_that_was_stopped_by_intention_is_not_shot() -> None:
    host = Survivor(configured(device("f", pcmk_host_list="a2")))
    host.state.nodes["a2"] = NodeState("a2", leaving=True)
    assert host.look(10 * PATIENCE_NS) is None
    assert "stopped by intention" in host.fencing.trouble


def test_a_peer_whose_daemon_starts_again_has_the_time_that_its_restart_lease_lasts() -> None:
    host = Survivor(configured(device("f", pcmk_host_list="a2")))
    host.state.nodes["a2"] = NodeState("a2", restarting=True)
    over_ns = TIMERS.restart_over_after_ns(TIMERS.restart_ms)
    assert host.look(over_ns - 1) is None
    assert host.look(1) is not None


def test_without_a_device_somebody_is_told_what_to_do() -> None:
    host = Survivor(configured(device("nameless"), device("off", {"target-role": "Stopped"}, pcmk_host_list="a2")))
    assert host.look(PATIENCE_NS) is None
    assert "vipcast stonith confirm a2" in host.fencing.trouble


def test_where_a_level_names_two_devices_one_of_them_proves_nothing() -> None:
    configuration = configured(device("left", pcmk_host_list="a2"), device("right", pcmk_host_list="a2"))
    level = FencingLevel(id="l", index="1", devices="left,right", target={"target": "a2"})
    host = Survivor(configuration.model_copy(update={"fencing": (level,)}))
    assert host.look(PATIENCE_NS) is None
    assert "levels are not carried out" in host.fencing.trouble


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"pcmk_host_list": "a2"}, {"plug": "a2", "port": "a2"}),
        ({"pcmk_host_map": "a1:1;a2:outlet-2"}, {"plug": "outlet-2", "port": "outlet-2"}),
        ({"pcmk_host_list": "a2", "pcmk_host_argument": "uuid"}, {"uuid": "a2"}),
        ({"pcmk_host_list": "a2", "pcmk_host_argument": "none"}, {}),
        ({"pcmk_host_list": "a2", "plug": "9"}, {"plug": "9", "port": "a2"}),
    ],
)
def test_the_agent_is_told_the_host_as_the_device_knows_it(
    parameters: dict[str, str], told: dict[str, str]
) -> None:
    (found,) = devices(configured(device("f", **parameters)))
    words = {name: value for name, value in found.told("a2").items() if not name.startswith("pcmk_")}
    assert words == {**told, "nodename": "a2"}


def test_action_and_timeout_are_those_of_the_device_or_the_cluster() -> None:
    cluster = {"stonith_action": "off", "stonith_timeout": "90s"}
    assert Survivor(configured(device("f", pcmk_host_list="a2"), **cluster)).fence().timeout_ms == 90_000
    order = Survivor(configured(device("f", pcmk_host_list="a2", pcmk_off_timeout="7s"), **cluster)).fence()
    assert (order.action, order.timeout_ms) == ("off", 7_000)


def test_a_device_that_names_no_host_is_used_against_nobody() -> None:
    assert devices_against("a2", configured(device("f"), device("g", pcmk_host_list="a1"))) == []
