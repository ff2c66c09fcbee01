"""Transactions that are larger than a netlink socket's first buffer: the rules of a thousand addresses are."""

from __future__ import annotations

import pytest

from datapath.netlink import NLM_F_ACK, Message, Socket

pytestmark = pytest.mark.root

NETLINK_ROUTE = 0
NLMSG_NOOP = 1
ROOM = bytes(60_000)


def test_a_transaction_of_twelve_mebibytes_is_taken_whole() -> None:
    socket = Socket(NETLINK_ROUTE)
    try:
        nothing = [Message(NLMSG_NOOP, 0, ROOM, "do nothing")] * 210
        socket.transact([*nothing, Message(NLMSG_NOOP, NLM_F_ACK, b"", "do nothing")])
    finally:
        socket.close()
