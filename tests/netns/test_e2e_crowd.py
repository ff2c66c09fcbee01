"""Hosts with thousands of connections: their slots move, and everybody stays punctual."""

from __future__ import annotations

import pytest

from tests.lab import Lab
from tests.lab.control import Status
from tests.lab.crowd import crowd
from tests.lab.service import ADDRESS, await_status, share_address

pytestmark = pytest.mark.root

CONNECTIONS = 3_000
SLOTS = 64


@pytest.mark.parametrize("engine", ["nft", "bpf", "raw"])
def test_a_host_with_thousands_of_connections_gives_its_slots_away_stays_a_member_and_breaks_none(
    engine: str,
) -> None:
    with Lab(hosts=3, engine=engine) as lab:
        lab.start_daemons()
        lab.await_cluster()
        share_address(lab, slots=SLOTS, hash_kind="sourceip-sourceport")
        # thousands are asked one after the other: on a busy machine that takes longer than the default of a minute
        lab["a2"].vipcast("resource update VIP drain_timeout=1h").check()
        with crowd(lab, ADDRESS, CONNECTIONS) as clients:
            assert clients.size == CONNECTIONS
            lab["a2"].vipcast("node standby a1").check()
            left = await_status(lab, takes_nothing_new, "slots that drain", on="a2")
            assert sum(slot.get("flows_left") or 0 for slot in slots_of(left)) > CONNECTIONS // 6
            assert clients.silent() == 0, log_of(lab)
            lab["a2"].vipcast("node unstandby a1").check()
            await_status(lab, takes_something_new, "slots that come back", on="a2")
            assert clients.silent() == 0, log_of(lab)
        await_status(lab, lambda s: all(slot["phase"] == "open" for slot in slots_of(s)), "no drain left", on="a2")
        assert "is lost" not in log_of(lab)
        assert "reset" not in log_of(lab)


def log_of(lab: Lab) -> str:
    return lab["a2"].vipcast("cluster log").check().stdout


def slots_of(status: Status) -> list[dict[str, object]]:
    (address,) = status.document["addresses"]
    slots: list[dict[str, object]] = address["slots"]
    return slots


def takes_nothing_new(status: Status) -> bool:
    """Whether each slot of a1 drains, its connections counted."""
    own = [slot for slot in slots_of(status) if slot["holder"] == "a1"]
    return bool(own) and all(slot["phase"] == "opening" and slot.get("flows_left") is not None for slot in own)


def takes_something_new(status: Status) -> bool:
    return any(slot["successor"] == "a1" and slot["phase"] == "opening" for slot in slots_of(status))
