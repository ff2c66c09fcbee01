"""Whole daemons under a storm of SYNs: slots move, and hosts die in the middle of that."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator

import pytest

from tests.lab import Lab, wait_until
from tests.lab.service import await_status, serve_web, served, share_address, shared
from tests.netns.moves.labstorm import LabStorm

pytestmark = pytest.mark.root

ENGINES = {"a1": "bpf", "a2": "nft", "a3": "bpf"}
RATE = 500
CALM_S = 0.3


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(hosts=3, engine=ENGINES) as lab:
        lab.start_daemons()
        lab.await_cluster()
        share_address(lab, slots=6, hash_kind="sourceip-sourceport")
        serve_web(lab)
        yield lab


def await_holders(lab: Lab, names: Collection[str], on: str) -> None:
    """Every slot is open, on these hosts and on each of them."""
    await_status(
        lab,
        lambda status: served(status) and set(shared(lab, on=on).holders.values()) == set(names),
        f"slots on {', '.join(sorted(names))}",
        on=on,
    )


def await_noting(lab: Lab, names: Collection[str], since: int) -> None:
    """One of these hosts has begun to note SYNs: a move is in its middle."""
    wait_until(lambda: notings(lab, names) > since, 10, "slots that note SYNs", interval_s=0.002)


def notings(lab: Lab, names: Collection[str]) -> int:
    return sum(lab[name].log("vipcastd").read_text().count("noting slots") for name in names)


def test_slots_move_to_and_fro_and_hosts_die_in_the_middle_of_it(lab: Lab) -> None:
    with LabStorm(lab, RATE) as storm:
        time.sleep(CALM_S)
        lab["a3"].vipcast("node standby a1").check()
        await_holders(lab, {"a2", "a3"}, on="a3")
        lab["a3"].vipcast("node unstandby a1").check()
        await_holders(lab, set(ENGINES), on="a3")
        time.sleep(CALM_S)
    assert storm.verdict["sent"] > RATE * CALM_S
    assert storm.verdict["unanswered"] == []
    assert storm.verdict["twice"] == []

    # the old owner dies: when its lease has ended, its slots are the new one's
    since = notings(lab, ["a1"])
    with LabStorm(lab, RATE) as storm:
        time.sleep(CALM_S)
        lab["a3"].vipcast("node standby a1").check()
        await_noting(lab, ["a1"], since)
        lab.kill("a1")
        await_holders(lab, {"a2", "a3"}, on="a3")
        time.sleep(CALM_S)
    assert storm.verdict["twice"] == []
    all_is_well(lab)
    lab["a3"].vipcast("node unstandby a1").check()
    lab.boot("a1")
    givers = {"a2", "a3"}
    since = notings(lab, givers)
    lab.start_daemon("a1")
    # and the new one, before it has got anything: they stay where they were
    await_noting(lab, givers, since)
    lab.kill("a1")
    await_holders(lab, givers, on="a3")
    all_is_well(lab)


def all_is_well(lab: Lab) -> None:
    with LabStorm(lab, RATE) as after:
        time.sleep(CALM_S)
    assert after.verdict["sent"]
    assert after.verdict["unanswered"] == after.verdict["twice"] == []
