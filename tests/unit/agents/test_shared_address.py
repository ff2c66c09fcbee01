"""What a shared address is made of its parameters, where that needs no look at the host."""

from __future__ import annotations

import pytest

from agents.ipaddr2 import ParameterError, shared_address
from agents.placement import Surroundings


def test_a_rule_for_ports_that_names_no_slot_concerns_its_own_address_alone() -> None:
    """The engine would refuse all addresses for it."""
    with pytest.raises(ParameterError, match="there is no slot 4, clone-max=4 makes 0 to 3"):
        shared_address("VIP", {"ip": "192.0.2.1", "port_rules": "22:one:4"}, 4, Surroundings((), ()))
