"""Runs the bpf engine's loaded program on frames that no network has seen (BPF_PROG_TEST_RUN, bpf(2))."""

from __future__ import annotations

import ctypes
import enum
import os
from collections.abc import Sequence
from types import TracebackType

from datapath.bpf.attach import Hook
from datapath.bpf.libbpf import libbpf
from datapath.bpf.program import Program
from datapath.engine import Wish

FRAME_BYTES_MAX = 2048


class Fate(enum.IntEnum):
    """What the program returned (include/uapi/linux/pkt_cls.h)."""

    NOT_OURS = 0xFFFF_FFFF
    DROPPED = 2
    ACCEPTED = 3


class _Options(ctypes.Structure):
    """struct bpf_test_run_opts of libbpf's bpf.h."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("data_in", ctypes.c_void_p),
        ("data_out", ctypes.c_void_p),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_void_p),
        ("ctx_out", ctypes.c_void_p),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("repeat", ctypes.c_int),
        ("duration", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    )


class TestRun:
    """The program with tables of its own, attached nowhere."""

    __test__ = False

    def __init__(self, wishes: Sequence[Wish], deadline_ns: int) -> None:
        self.program = Program.load(wishes)
        self.program.tables.deadline_ns = deadline_ns
        assert self.program.publish(wishes)
        self._run = libbpf()._library.bpf_prog_test_run_opts
        self._run.restype = ctypes.c_int
        self._run.argtypes = (ctypes.c_int, ctypes.POINTER(_Options))
        self._frame = ctypes.create_string_buffer(FRAME_BYTES_MAX)
        self._options = _Options(sz=ctypes.sizeof(_Options), data_in=ctypes.addressof(self._frame))
        self._pointer = ctypes.byref(self._options)

    def __enter__(self) -> TestRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.program.close()

    def fate(self, frame: bytes) -> Fate:
        self._call(frame, 1)
        return Fate(self._options.retval)

    def nanoseconds(self, frame: bytes, repeat: int) -> int:
        """How long the program takes for this frame, on the average of so many runs."""
        self._call(frame, repeat)
        return int(self._options.duration)

    def _call(self, frame: bytes, repeat: int) -> None:
        assert len(frame) <= FRAME_BYTES_MAX
        ctypes.memmove(self._frame, frame, len(frame))
        self._options.data_size_in = len(frame)
        self._options.data_size_out = 0  # the last answer's length would be taken for a limit
        self._options.repeat = repeat
        result = self._run(self.program.descriptors[Hook.INGRESS], self._pointer)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
