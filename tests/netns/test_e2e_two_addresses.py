"""Two shared addresses at once, with different hashes and numbers of slots."""

from __future__ import annotations

import pytest

from tests.lab import Lab, Traffic
from tests.lab.answers import answered_twice
from tests.lab.clients import client_range
from tests.lab.service import ADDRESS, serve_web, share_address, shared

pytestmark = pytest.mark.root

OTHER = "192.168.110.119"


def test_two_addresses_are_served_side_by_side_each_by_its_own_hash(mixed: Lab) -> None:
    share_address(mixed, "VIP", ADDRESS, slots=4, hash_kind="sourceip")
    share_address(mixed, "VIP2", OTHER, slots=8, hash_kind="sourceip-sourceport")
    serve_web(mixed)
    for resource, ip in (("VIP", ADDRESS), ("VIP2", OTHER)):
        address = shared(mixed, resource)
        clients = list(client_range(300))
        with mixed.capture(f"tcp port 80 and host {ip}") as capture, Traffic(mixed.gw, ip) as traffic:
            attempts = traffic.once(clients)
        assert {attempt.outcome for attempt in attempts} == {"ok"}
        assert [a for a in attempts if a.answer != address.owner_of(a.client)] == []
        assert {a.answer for a in attempts} == set(mixed.names)
        assert answered_twice(capture.segments(), ip) == {}


def test_removing_one_address_leaves_the_other_served(mixed: Lab) -> None:
    share_address(mixed, "VIP", ADDRESS)
    share_address(mixed, "VIP2", OTHER)
    serve_web(mixed)
    mixed["a1"].vipcast("resource delete VIP2-clone").check()
    with Traffic(mixed.gw, ADDRESS) as traffic:
        attempts = traffic.once(list(client_range(100)))
    assert {attempt.outcome for attempt in attempts} == {"ok"}
    with Traffic(mixed.gw, OTHER) as traffic:
        attempts = traffic.once(list(client_range(4)), timeout_ms=500)
    assert not any(attempt.ok for attempt in attempts)
