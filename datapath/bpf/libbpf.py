"""The one door to bpf(2): the few functions of libbpf.so.1 that the engine needs, by ctypes.

Debian's package is libbpf1; iproute2 needs it too, so it is there wherever `ip` is.  Descriptors that are returned
belong to the caller.  Errors are DatapathErrors with what libbpf and the kernel's verifier said last.

Sources: libbpf.h, bpf.h (libbpf 1.1), include/uapi/linux/bpf.h, bpf(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from struct import Struct

from datapath.engine import DatapathError

LIBRARY = "libbpf.so.1"
_LINES_KEPT = 12
_LINE_BYTES = 4096
_WARN = 0

_prog_head = Struct("=II")
"""struct bpf_prog_info begins with type and id; map_ids are the last that is asked for"""
_PROG_INFO_BYTES = 64
_NR_MAP_IDS_AT = 52
_MAP_IDS_AT = 56
_map_info = Struct("=IIIIII16s")
"""struct bpf_map_info: type, id, key_size, value_size, max_entries, map_flags, name"""
_MAPS_MAX = 64
_BATCH = 4096
"""entries of a hash map in one call; a bucket must fit"""

_Printer = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


class Libbpf:
    """The library, loaded once a process (`libbpf()`)."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL(LIBRARY, use_errno=True)
        except OSError as problem:
            raise DatapathError(f"there is no {LIBRARY} on this host (Debian: apt install libbpf1)") from problem
        self._declare()
        self._said: deque[str] = deque(maxlen=_LINES_KEPT)
        self._printer = _Printer(self._hear)  # kept: the library holds only its address
        self._library.libbpf_set_print(self._printer)

    def _declare(self) -> None:
        pointer, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
        word, words = ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32)
        for name, result, *arguments in (
            ("libbpf_set_print", pointer, _Printer),
            ("libbpf_num_possible_cpus", number),
            ("bpf_object__open_mem", pointer, text, ctypes.c_size_t, pointer),
            ("bpf_object__load", number, pointer),
            ("bpf_object__close", None, pointer),
            ("bpf_object__find_map_by_name", pointer, pointer, text),
            ("bpf_object__find_program_by_name", pointer, pointer, text),
            ("bpf_map__set_max_entries", number, pointer, word),
            ("bpf_map__reuse_fd", number, pointer, number),
            ("bpf_map__fd", number, pointer),
            ("bpf_program__fd", number, pointer),
            ("bpf_prog_get_fd_by_id", number, word),
            ("bpf_map_get_fd_by_id", number, word),
            ("bpf_obj_get_info_by_fd", number, number, pointer, words),
            ("bpf_map_update_elem", number, number, text, text, ctypes.c_uint64),
            ("bpf_map_delete_elem", number, number, text),
            ("bpf_map_lookup_elem", number, number, text, pointer),
            ("bpf_map_lookup_batch", number, number, pointer, pointer, text, text, words, pointer),
            ("bpf_map_update_batch", number, number, text, text, words, pointer),
            ("bpf_map_delete_batch", number, number, text, words, pointer),
        ):
            function = getattr(self._library, str(name))
            function.restype = result
            function.argtypes = arguments

    def _hear(self, level: int, layout: bytes, arguments: int) -> int:
        """What libbpf wants printed; `arguments` is a va_list, which vsnprintf(3) of the same C library can read."""
        if level == _WARN:
            buffer = ctypes.create_string_buffer(_LINE_BYTES)
            ctypes.CDLL(None).vsnprintf(buffer, ctypes.c_size_t(_LINE_BYTES), layout, ctypes.c_void_p(arguments))
            self._said.extend(line for line in buffer.value.decode(errors="replace").splitlines() if line.strip())
        return 0

    def _refused(self, what: str, code: int) -> DatapathError:
        said = "; ".join(line.strip().removeprefix("libbpf: ") for line in self._said)
        self._said.clear()
        remedy = ""
        if code == errno.EPERM:
            remedy = "; it needs CAP_BPF and CAP_NET_ADMIN: run as root or with the unit's capabilities"
        return DatapathError(f"cannot {what}: {os.strerror(code)}{f' ({said})' if said else ''}{remedy}")

    def _check(self, result: int, what: str) -> int:
        if result < 0:
            raise self._refused(what, -result if result != -1 else ctypes.get_errno())
        return result

    # objects

    def possible_cpus(self) -> int:
        return self._check(self._library.libbpf_num_possible_cpus(), "count this host's processors")

    def open_object(self, path: Path) -> int:
        """A compiled object, opened and not yet loaded; `close_object` ends it with all its descriptors."""
        content = path.read_bytes()
        handle = self._library.bpf_object__open_mem(content, len(content), None)
        if not handle:
            raise self._refused(f"read the BPF object {path}", ctypes.get_errno())
        return int(handle)

    def load_object(self, handle: int) -> None:
        """Make its maps and give its programs to the kernel's verifier."""
        self._check(self._library.bpf_object__load(handle), "load the BPF program into the kernel")

    def close_object(self, handle: int) -> None:
        self._library.bpf_object__close(handle)

    def size_map(self, handle: int, name: str, entries: int) -> None:
        """Before loading: how many entries a map of the object will have."""
        self._check(
            self._library.bpf_map__set_max_entries(self._map(handle, name), entries), f"size the map {name}"
        )

    def reuse_map(self, handle: int, name: str, descriptor: int) -> None:
        """Before loading: take this map, which is there already, instead of a new one."""
        self._check(
            self._library.bpf_map__reuse_fd(self._map(handle, name), descriptor), f"use the map {name} again"
        )

    def map_descriptor(self, handle: int, name: str) -> int:
        """The object's own; do not close it."""
        return self._check(self._library.bpf_map__fd(self._map(handle, name)), f"find the map {name}")

    def program_descriptor(self, handle: int, name: str) -> int:
        """The object's own; do not close it."""
        program = self._library.bpf_object__find_program_by_name(handle, name.encode())
        if not program:
            raise self._refused(f"find the program {name} in the BPF object", errno.ENOENT)
        return self._check(self._library.bpf_program__fd(program), f"find the program {name}")

    def _map(self, handle: int, name: str) -> int:
        found = self._library.bpf_object__find_map_by_name(handle, name.encode())
        if not found:
            raise self._refused(f"find the map {name} in the BPF object", errno.ENOENT)
        return int(found)

    # what is in the kernel

    def program_id(self, descriptor: int) -> int:
        return int(_prog_head.unpack_from(self._info(descriptor, bytearray(_PROG_INFO_BYTES)))[1])

    def maps_of_program(self, program_id: int) -> dict[str, int]:
        """Name → a new descriptor of each map that a loaded program uses.

        Needs CAP_SYS_ADMIN (bpf(2)); who does not have it: `datapath.bpf.inheritance`.
        """
        program = self._check(self._library.bpf_prog_get_fd_by_id(program_id), f"open the BPF program {program_id}")
        found: dict[str, int] = {}
        try:
            ids = (ctypes.c_uint32 * _MAPS_MAX)()
            question = bytearray(_PROG_INFO_BYTES)
            question[_NR_MAP_IDS_AT : _NR_MAP_IDS_AT + 4] = _MAPS_MAX.to_bytes(4, "little")
            question[_MAP_IDS_AT : _MAP_IDS_AT + 8] = ctypes.addressof(ids).to_bytes(8, "little")
            answer = self._info(program, question)
            count = int.from_bytes(answer[_NR_MAP_IDS_AT : _NR_MAP_IDS_AT + 4], "little")
            for number in ids[: min(count, _MAPS_MAX)]:
                descriptor = self._check(self._library.bpf_map_get_fd_by_id(number), f"open the BPF map {number}")
                found[self.map_name(descriptor)] = descriptor
        except DatapathError:
            for descriptor in found.values():
                os.close(descriptor)
            raise
        finally:
            os.close(program)
        return found

    def map_name(self, descriptor: int) -> str:
        """As its maker called it, 15 bytes of that."""
        name: bytes = _map_info.unpack_from(self._info(descriptor, bytearray(_map_info.size)))[6]
        return name.split(b"\0", 1)[0].decode(errors="replace")

    def _info(self, descriptor: int, question: bytearray) -> bytearray:
        buffer = (ctypes.c_char * len(question)).from_buffer(question)
        length = ctypes.c_uint32(len(question))
        result = self._library.bpf_obj_get_info_by_fd(descriptor, ctypes.addressof(buffer), ctypes.byref(length))
        self._check(result, "ask about a BPF object")
        return question

    def update(self, descriptor: int, key: bytes, value: bytes) -> None:
        self._check(self._library.bpf_map_update_elem(descriptor, key, value, 0), "write into a BPF map")

    def delete(self, descriptor: int, key: bytes) -> None:
        """What is not there is no error."""
        result = self._library.bpf_map_delete_elem(descriptor, key)
        if result < 0 and ctypes.get_errno() != errno.ENOENT:
            self._check(result, "delete from a BPF map")

    def items(self, descriptor: int, key_bytes: int, value_bytes: int) -> tuple[bytes, bytes]:
        """All keys of a hash map, one after the other, and all values, in as few calls as possible."""
        found_keys, found_values = b"", b""
        keys = ctypes.create_string_buffer(key_bytes * _BATCH)
        values = ctypes.create_string_buffer(value_bytes * _BATCH)
        place = ctypes.c_uint32()
        before: object = None
        while True:
            count = ctypes.c_uint32(_BATCH)
            result = self._library.bpf_map_lookup_batch(
                descriptor, before, ctypes.byref(place), keys, values, ctypes.byref(count), None
            )
            ended = result < 0 and ctypes.get_errno() == errno.ENOENT
            if result < 0 and not ended:
                raise self._refused("read a BPF map", ctypes.get_errno())
            found_keys += keys.raw[: count.value * key_bytes]
            found_values += values.raw[: count.value * value_bytes]
            if ended:
                return found_keys, found_values
            before = ctypes.byref(place)

    def update_all(self, descriptor: int, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Give each of these keys its value."""
        for at in range(0, len(keys), _BATCH):
            chunk = keys[at : at + _BATCH]
            count = ctypes.c_uint32(len(chunk))
            packed = b"".join(values[at : at + _BATCH])
            result = self._library.bpf_map_update_batch(
                descriptor, b"".join(chunk), packed, ctypes.byref(count), None
            )
            self._check(result, "write into a BPF map")

    def delete_all(self, descriptor: int, keys: Sequence[bytes]) -> None:
        """These keys; what is not there any more is no error."""
        for at in range(0, len(keys), _BATCH):
            chunk = keys[at : at + _BATCH]
            count = ctypes.c_uint32(len(chunk))
            if self._library.bpf_map_delete_batch(descriptor, b"".join(chunk), ctypes.byref(count), None) < 0:
                for key in chunk:
                    self.delete(descriptor, key)

    def lookup(self, descriptor: int, key: bytes, size: int) -> bytes | None:
        value = ctypes.create_string_buffer(size)
        if self._library.bpf_map_lookup_elem(descriptor, key, value) < 0:
            if ctypes.get_errno() != errno.ENOENT:
                raise self._refused("read a BPF map", ctypes.get_errno())
            return None
        return value.raw


@lru_cache(maxsize=1)
def libbpf() -> Libbpf:
    """DatapathError where the library is not installed."""
    return Libbpf()
