"""The scheduler's view survives the way over the socket: a client plans what the daemon plans."""

from __future__ import annotations

import msgspec
import pytest

from daemon.control.schema import ViewDocument
from daemon.control.viewdoc import ViewError, document, view_of
from daemon.scheduler import plan
from daemon.scheduler.view import NodeView, OperationView, SlotsView, View
from tests.unit.control.living import living
from tests.unit.scheduler.worlds import World, clone, location, primitive


def sent(view: View) -> View:
    return view_of(msgspec.json.decode(msgspec.json.encode(document(view)), type=ViewDocument))


def test_everything_that_the_scheduler_goes_by_arrives() -> None:
    world = World((primitive("web"), clone("ping-clone", primitive("ping"))), (location("web", "a2", "50"),))
    view = View(
        configuration=world.configuration,
        nodes={"a1": NodeView("a1", True, True, True, True, {"standby": "on"}, 3), "a2": NodeView("a2", False)},
        operations=(
            OperationView("a1", "web", "start", 0, 1, "error", 0, 7, 5_000, "digest", "why", {"on_node": "a1"}),
        ),
        failures={("web", "a1"): 2, ("ping", "a2"): 1},
        last_failure_ms={("web", "a1"): 4_000, ("web", "a2"): 3_000},
        slots={"VIP": SlotsView("VIP", {0: "a1", 11: "a2"}, {0: "a2"})},
        ready={"VIP": frozenset({"a1", "a2"})},
        quorate=False,
        now_ms=9_000,
        defaults={"stonith-enabled": "false"},
        policy="freeze",
        notes=("a note",),
    )
    assert sent(view) == view


def test_a_client_of_the_socket_plans_what_the_daemon_plans() -> None:
    with living() as cluster:
        told = view_of(cluster.client.view())
        assert told == cluster.backend.state.view()
        assert plan(told) == cluster.backend.state.plan


def test_a_configuration_of_another_kind_is_an_error_of_its_own() -> None:
    shown = msgspec.structs.replace(document(World(()).view()), configuration=msgspec.Raw(b'{"novelty": 1}'))
    with pytest.raises(ViewError, match="validation error"):
        view_of(shown)
