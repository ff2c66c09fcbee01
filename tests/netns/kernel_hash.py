"""Asks this machine's kernel what it hashes keys to: the source of tests/vectors/jhash.json.

Each case becomes a rule that loads the key into registers, hashes it, and puts the result into a set; one packet on
the loopback runs them all.
"""

from __future__ import annotations

import json
import random
import socket
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datapath.netlink import Message, Socket
from datapath.nft.expressions import jenkins, load_value, register
from datapath.nft.protocol import (
    CHAIN,
    NETLINK_NETFILTER,
    RULE,
    SET,
    TABLE,
    Family,
    Msg,
    SetFlag,
    batch,
    create,
    message,
)
from datapath.nft.readback import Reader

VECTORS = Path(__file__).parents[1] / "vectors" / "jhash.json"
_RESULT = 8


@dataclass(frozen=True)
class Case:
    """A key in hexadecimal; `slot` is the kernel's answer, None before it was asked."""

    key: str
    seed: int
    slots: int
    slot: int | None = None


def kernel_slots(cases: Sequence[Case]) -> list[Case]:
    """The cases with the kernel's answers; to be called inside a namespace of the test's own."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    netlink = Socket(NETLINK_NETFILTER)
    # the readers look into the table `vipcast`; nobody else's is in a fresh namespace
    family, table, chain, results = Family.NETDEV, "vipcast", "hash", "results"
    hook = {"hooknum": 0, "priority": 0, "dev": "lo"}
    results_set = {"table": table, "name": results, "flags": SetFlag.EVAL, "key_type": 19, "key_len": 8, "id": 1}
    messages: list[Message] = [
        create(Msg.NEWTABLE, family, TABLE.pack({"name": table}), "make a table"),
        create(Msg.NEWSET, family, SET.pack(results_set), "make a set"),
        create(
            Msg.NEWCHAIN,
            family,
            CHAIN.pack({"table": table, "name": chain, "hook": hook, "policy": 1, "type": "filter"}),
            "make a chain",
        ),
    ]
    for number, case in enumerate(cases):
        key = bytes.fromhex(case.key)
        loads = [load_value(key[at : at + 16], at // 4) for at in range(0, len(key), 16)]
        expressions = [
            *loads,
            jenkins(0, len(key), case.slots, case.seed, _RESULT + 1),
            load_value(struct.pack("=I", number), _RESULT),
            ("dynset", {"set": results, "op": 0, "sreg_key": register(_RESULT)}),
        ]
        body = RULE.pack({"table": table, "chain": chain, "expressions": expressions})
        messages.append(message(Msg.NEWRULE, family, body, f"hash {case.key}", 0xC00))
    netlink.transact(batch(messages))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", ("127.0.0.1", 9))
    answers = dict(struct.unpack("=II", element["key"]["value"]) for element in Reader(netlink).elements(results))
    netlink.transact(batch([message(Msg.DELTABLE, family, TABLE.pack({"name": table}), "remove the table")]))
    return [Case(case.key, case.seed, case.slots, answers[number]) for number, case in enumerate(cases)]


def cases(seed: int) -> list[Case]:
    """Keys as clients have them, of every kind and both families, and some that are only bytes."""
    dice = random.Random(seed)
    made = []
    for _ in range(20):
        for address in (4, 16):
            source = dice.randbytes(address)
            ports = [dice.randbytes(2) + b"\0\0" for _ in range(2)]
            for key in (source, source + ports[0], source + ports[0] + ports[1], dice.randbytes(address + 8)):
                # 2³²-1 slots show nearly all bits of the hash itself
                slots = dice.choice((2, 3, 4, 64, 1000, 65_536, 0xFFFFFFFF))
                made.append(Case(key.hex(), dice.choice((0, 1, 0x1234ABCD, dice.getrandbits(32))), slots))
    return made


def read_vectors() -> list[Case]:
    return [Case(**vector) for vector in json.loads(VECTORS.read_text())]
