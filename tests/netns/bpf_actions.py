"""Actions inside a namespace that only the bpf engine's tests need."""

from __future__ import annotations

import asyncio
import ctypes
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

from agents.privileges import Privileges
from datapath.bpf import program
from datapath.bpf.attach import Attachments, Hook
from datapath.bpf.engine import BpfEngine
from datapath.bpf.program import Program
from datapath.engine import Wish
from datapath.host import privileged
from datapath.host.links import index_of
from datapath.host.privileged import OpenMaps
from tests.netns import actions

_CAP_SYS_ADMIN = 21
_OBJECT = program.OBJECT


def _engine() -> BpfEngine:
    engine = actions._engines[-1]
    assert isinstance(engine, BpfEngine)
    return engine


def _program() -> Program:
    found = _engine()._program
    assert found is not None
    return found


def miss_object() -> None:
    """This process finds no compiled program."""
    program.OBJECT = Path("/nonexistent/slots.bpf.o")


def find_object() -> None:
    program.OBJECT = _OBJECT


def await_spare() -> None:
    """Until the program that the engine loads before it needs one is there."""
    loading = _engine()._spare._loading
    assert loading is not None
    loading.join()


def attach_foreign(preference: int) -> int:
    """Another program's filter: the same code with nothing in it, which lets everything pass; its id."""
    foreign = Program.load()
    tc = Attachments()
    try:
        tc._request(*_foreign_filter(preference, foreign.descriptors[Hook.INGRESS]))
    finally:
        tc.close()
    return foreign.ids[Hook.INGRESS]


def _foreign_filter(preference: int, descriptor: int) -> tuple[int, int, bytes, str]:
    from datapath.bpf import attach as door  # noqa: PLC0415

    info = preference << 16 | socket.htons(3)
    head = door._tcmsg.pack(socket.AF_UNSPEC, index_of("eth0"), 1, Hook.INGRESS, info)
    options = {"fd": descriptor, "name": "somebody", "flags": 1}
    return door._RTM_NEWTFILTER, 0x600, head + door._FILTER.pack({"kind": "bpf", "options": options}), "attach"


def capacity() -> tuple[int, int]:
    """(addresses, slots) that the tables have room for."""
    has = _program().tables.capacity
    return has.addresses, has.slots


def apply_in_turn(wishes: Sequence[Wish], times: int) -> None:
    """Each wish, one after the other, again and again."""
    for _ in range(times):
        for wish in wishes:
            _engine().apply([wish])


def noted_deadline() -> int:
    """The lease as the kernel has it."""
    return _program().tables.deadline_ns


def give_up_administration() -> None:
    """This process keeps all rights but CAP_SYS_ADMIN (capset(2), version 3)."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x2008_0522, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable of capabilities 0 to 31, then of the rest
    if libc.capget(header, sets) < 0:
        raise OSError(ctypes.get_errno(), "capget")
    for at in range(3):
        sets[at] &= ~(1 << _CAP_SYS_ADMIN) & 0xFFFF_FFFF
    if libc.capset(header, sets) < 0:
        raise OSError(ctypes.get_errno(), "capset")


def help_the_core(path: str) -> None:
    """What vipcast-runner does for a core that is not root, for the rest of this process."""
    loop = asyncio.new_event_loop()
    privileges = Privileges(Path(path))

    def serve() -> None:
        asyncio.set_event_loop(loop)
        loop.call_soon(privileges.start)
        loop.run_forever()

    threading.Thread(target=serve, daemon=True).start()


def ask_at(path: str) -> None:
    """Have this process ask there for what needs root."""
    privileged.ask_at(Path(path))


def borrow(program_id: int) -> str:
    """Why the runner does not lend the maps of this program."""
    try:
        privileged.ask(OpenMaps(program_id))
    except OSError as error:
        return str(error.strerror)
    return ""


def tamper_with_states() -> None:
    """Somebody with root's rights writes into our maps: every slot is closed."""
    tables = _program().tables
    tables._slots[:] = memoryview(bytes(8 * len(tables._slots))).cast("Q")
