"""no-quorum-policy with real daemons: what each half of a cut cluster serves and runs, and what follows the healing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from tests.lab import Lab, Traffic, wait_until
from tests.lab.answers import answerers
from tests.lab.control import Status
from tests.lab.service import ADDRESS, await_status, serve_web, served, share_address, shared

pytestmark = pytest.mark.root

EXIT_SUICIDE = 79
ALARM = 3
SOLO = 8080


@pytest.fixture
def two() -> Iterator[Lab]:
    """Two hosts that serve an address with a web server each, and run one more resource somewhere."""
    with Lab(hosts=2, engine="nft") as lab:
        lab.start_daemons()
        lab.await_cluster()
        share_address(lab, slots=2)
        serve_web(lab)
        lab["a1"].vipcast(f"resource create solo ocf:vipcast:webserver port={SOLO}").check()
        await_status(lab, lambda status: len(status.started("solo")) == 1, "solo runs")
        yield lab


def solo_on(lab: Lab) -> set[str]:
    """Hosts on which its process lives, whatever anybody says about it."""
    return {host.name for host in lab if host.run("ss", "-Hltn", f"sport = :{SOLO}").stdout.strip()}


def put_policy(lab: Lab, policy: str) -> None:
    lab["a1"].vipcast(f"property set no-quorum-policy={policy}").check()


def heal(lab: Lab) -> None:
    lab.heal()
    for name in lab.names:
        await_status(lab, lambda status: served(status) and len(status.online) == len(lab.names), "healed", on=name)


def answering(lab: Lab, per_slot: int = 6) -> list[set[str]]:
    """For each packet to the address that anybody answered: who did."""
    clients = [client for one in shared(lab).clients_by_slot(per_slot).values() for client in one]
    up = [host.name for host in lab if host.up]
    with lab.capture(f"tcp port 80 and host {ADDRESS}", up) as capture, Traffic(lab.gw, ADDRESS) as traffic:
        traffic.once(clients, timeout_ms=500)
    return list(answerers(capture.segments(), ADDRESS).values())


def served_alone(lab: Lab, name: str) -> bool:
    clients = [client for one in shared(lab, on=name).clients_by_slot(3).values() for client in one]
    with Traffic(lab.gw, ADDRESS) as traffic:
        attempts = traffic.once(clients, timeout_ms=500)
    return {(attempt.outcome, attempt.answer) for attempt in attempts} == {("ok", name)}


def alarms_of(lab: Lab, name: str) -> list[str]:
    status = Status.of(lab[name])
    return status.document["alarms"] if status is not None else []


def alarmed(lab: Lab, names: Iterable[str]) -> bool:
    return all(alarms_of(lab, name) for name in names)


def test_two_hosts_under_stop_freeze_and_ignore(two: Lab) -> None:
    (home,) = solo_on(two)
    # stop: nothing is served, and what ran is stopped
    two.partition(["a1"], ["a2"])
    wait_until(lambda: not solo_on(two), 10, "solo stopped on the host without quorum")
    assert answering(two) == []
    assert two["a1"].vipcast("property set maintenance-mode=true").returncode != 0
    heal(two)
    wait_until(lambda: len(solo_on(two)) == 1, 15, "solo started again")

    # freeze: nothing is served, and what ran goes on
    put_policy(two, "freeze")
    frozen = solo_on(two)
    before = two[home].run("pgrep", "-f", "vipcast/webserver").stdout
    two.partition(["a1"], ["a2"])
    await_status(two, lambda status: not status.quorate, "no quorum", on="a1")
    wait_until(lambda: answering(two) == [], 10, "silence")
    assert solo_on(two) == frozen
    assert two[home].run("pgrep", "-f", "vipcast/webserver").stdout == before
    heal(two)
    assert solo_on(two) == frozen

    # ignore: both serve everything, say so, and go back to one answer for each packet
    put_policy(two, "ignore")
    two.partition(["a1"], ["a2"])
    wait_until(lambda: alarmed(two, two.names), 10, "both serve without quorum")
    wait_until(lambda: solo_on(two) == {"a1", "a2"}, 15, "solo on both sides")
    doubled = answering(two)
    assert {"a1", "a2"} in doubled
    told = two["a1"].vipcast("status")
    assert told.returncode == ALARM
    assert "SERVING WITHOUT QUORUM" in told.stdout
    assert two["a1"].vipcast("property set maintenance-mode=true").returncode != 0
    heal(two)
    wait_until(lambda: len(solo_on(two)) == 1, 15, "solo on one host")
    assert solo_on(two) == frozen
    single = answering(two)
    assert single
    assert all(len(hosts) == 1 for hosts in single)
    assert two["a1"].vipcast("status").returncode == 0


def test_of_two_hosts_under_ignore_the_survivor_serves_alone_and_a_host_that_boots_alone_does_not(two: Lab) -> None:
    put_policy(two, "ignore")
    two.kill("a1")
    wait_until(lambda: alarmed(two, ["a2"]), 10, "a2 serves without quorum")
    wait_until(lambda: served_alone(two, "a2"), 10, "a2 answers clients of every slot")
    clients = [client for one in shared(two, on="a2").clients_by_slot(3).values() for client in one]
    two.kill("a2")
    two.boot("a2")
    two.run_daemon("a2")
    wait_until(lambda: Status.of(two["a2"]) is not None, 15, "the daemon of a2")
    with Traffic(two.gw, ADDRESS) as traffic:
        attempts = traffic.once(clients, timeout_ms=2000)
    assert not any(attempt.ok for attempt in attempts)


def test_suicide_ends_the_daemon_and_leaves_nothing_running(two: Lab) -> None:
    put_policy(two, "suicide")
    two.partition(["a1"], ["a2"])
    programs = {name: two.daemons[name]["vipcastd"] for name in two.names}
    for name, program in programs.items():
        wait_until(lambda program=program: not program.running, 20, f"the end of vipcastd on {name}")
        assert program.returncode == EXIT_SUICIDE
    assert solo_on(two) == set()
    two.heal()
    for name in two.names:
        two.daemons[name]["vipcast-runner"].end()
        two.run_daemon(name)
    two.await_cluster()
    await_status(two, served, "every slot open", on="a1")
    wait_until(lambda: len(solo_on(two)) == 1, 15, "solo runs again")


def test_halves_of_four_hosts_under_ignore_serve_all_and_no_half_answers_twice() -> None:
    with Lab(hosts=4, engine="nft") as lab:
        lab.start_daemons()
        lab.await_cluster()
        share_address(lab)
        serve_web(lab)
        put_policy(lab, "ignore")
        halves = ({"a1", "a2"}, {"a3", "a4"})
        lab.partition(*halves)
        wait_until(lambda: alarmed(lab, lab.names), 10, "all serve without quorum")
        seen = answering(lab)
        assert all(len(hosts & half) <= 1 for hosts in seen for half in halves)
        assert all(any(hosts & half for hosts in seen) for half in halves)
        heal(lab)
        single = answering(lab)
        assert single
        assert all(len(hosts) == 1 for hosts in single)


def test_of_two_hosts_the_side_of_the_tie_breaker_goes_on_and_takes_edits(two: Lab) -> None:
    refused = two["a1"].vipcast("property set tie-breaker=a9")
    assert refused.returncode == 1
    assert "there is no node 'a9'" in refused.stderr
    two["a2"].vipcast("property set tie-breaker=a1").check()
    wait_until(lambda: "Tie-breaker:      a1\n" in two["a2"].vipcast("quorum status").stdout, 10, "the extra vote")
    told = two["a1"].vipcast("quorum status").check().stdout
    assert "Expected votes:   3" in told
    assert "a2  still quorate, a1 leads" in told
    assert "a1  NO QUORUM" in told
    two.partition(["a1"], ["a2"])
    wait_until(lambda: served_alone(two, "a1"), 10, "a1 answers clients of every slot")
    assert all(hosts == {"a1"} for hosts in answering(two))
    two["a1"].vipcast("property set batch-limit=7").check()
    assert two["a2"].vipcast("property set batch-limit=8").returncode != 0
    heal(two)
    wait_until(
        lambda: "batch-limit: 7" in two["a2"].vipcast("property").stdout.replace("=", ": "),
        10,
        "the edit at a2, too",
    )
