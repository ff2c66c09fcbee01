"""Two hosts and a witness: a process of an ordinary user, without multicast, that lets one host go on alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Lab, Stream, Traffic, wait_until
from tests.lab.joining import await_online, found, join, token
from tests.lab.process import HostProcess
from tests.lab.service import ADDRESS, await_status, serve_web, served, share_address, shared

pytestmark = pytest.mark.root

WITNESS = "a3"
NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "env", "HOME=/tmp/nobody")
NO_MULTICAST = "add table inet eat; add chain inet eat in { type filter hook prerouting priority -300; };"


@pytest.fixture
def lab() -> Iterator[Lab]:
    """a1 and a2 are nodes; a3 hears no multicast, and nothing of vipcast is on it."""
    with Lab(hosts=3) as made:
        made.names.remove(WITNESS)
        made[WITNESS].run("nft", f"{NO_MULTICAST} add rule inet eat in ip daddr 239.0.0.0/8 drop").check()
        found(made)
        join(made, "a2")
        await_online(made, {"a1", "a2"})
        yield made


def start_witness(lab: Lab) -> HostProcess:
    """As a user who owns nothing: token, join, daemon."""
    host = lab[WITNESS]
    host.run(*NOBODY, "mkdir", "/tmp/nobody").check()
    joined = host.run(*NOBODY, "vipcast", "cluster", "join", token(lab, "a1"), "--witness").check()
    assert "a3 talks by unicast to 192.168.110.121, 192.168.110.122" in joined.stderr
    assert "vipcastd --witness" in joined.stderr
    with host.log("vipcastd").open("ab") as log:
        return host.popen(*NOBODY, "vipcastd", "--witness", stdout=log, stderr=log)


def votes_as_witness(lab: Lab) -> bool:
    status = await_status(lab, lambda status: status.quorate, "a quorum", on="a1")
    return [node["role"] for node in status.document["nodes"] if node["name"] == WITNESS] == ["witness"]


def test_with_an_unprivileged_witness_one_of_two_hosts_goes_on_when_the_other_dies(lab: Lab) -> None:
    witness = start_witness(lab)
    wait_until(lambda: votes_as_witness(lab), 20, "the witness's vote", interval_s=0.1)
    share_address(lab, slots=4, on="a1")
    serve_web(lab, on="a1")
    with Traffic(lab.gw, ADDRESS) as traffic:
        slots = shared(lab, on="a1").clients_by_slot(100)
        traffic.start(*(Stream(str(slot), clients, 25) for slot, clients in slots.items()))
        lab.kill("a2")
        survivor = await_status(
            lab,
            lambda status: status.quorate and status.online <= {"a1", WITNESS} and served(status),
            "a1",
            on="a1",
        )
        wait_until(lambda: _answered(traffic, len(slots)), 20, "every slot answered")
        attempts = traffic.halt()
    address = survivor.address("VIP")
    assert address is not None
    assert set(address.holders.values()) == {"a1"}
    assert {attempt.answer.strip() for attempt in attempts if attempt.ok} <= {"a1", "a2"}
    assert witness.running


def _answered(traffic: Traffic, slots: int) -> bool:
    """The newest attempts at every slot succeeded."""
    newest = {str(slot): [a for a in traffic.attempts if a.stream == str(slot)][-5:] for slot in range(slots)}
    return all(len(attempts) == 5 and all(attempt.ok for attempt in attempts) for attempts in newest.values())
