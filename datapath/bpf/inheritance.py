"""The maps of a program that a former process has attached, from whoever may open them.

A program on tc outlives the process that attached it, and goes on judging by its maps.  To open those by their ids
takes CAP_SYS_ADMIN (bpf(2)), which the core does not have as a service: then vipcast-runner opens them for it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from datapath.bpf.attach import Attachments
from datapath.bpf.libbpf import libbpf
from datapath.engine import DatapathError
from datapath.host import privileged
from datapath.host.privileged import OpenMaps

PATIENCE_S = 1.0
"""for a runner that starts in this moment, too: without the maps the host is silent for longer"""


def open_maps(program_id: int) -> dict[str, int]:
    """Name → a new descriptor of each map of an attached program.  Raises DatapathError."""
    try:
        return libbpf().maps_of_program(program_id)
    except DatapathError as refusal:
        try:
            descriptors = privileged.insist(OpenMaps(program_id), PATIENCE_S)
        except OSError as error:
            raise DatapathError(f"{refusal}; vipcast-runner: {error.strerror}") from error
    return _named(descriptors)


def _named(descriptors: Sequence[int]) -> dict[str, int]:
    found: dict[str, int] = {}
    try:
        for descriptor in descriptors:
            found[libbpf().map_name(descriptor)] = descriptor
    except DatapathError:
        for descriptor in descriptors:
            os.close(descriptor)
        raise
    return found


def lend_maps(program_id: int) -> list[int]:
    """What the runner answers: descriptors of the maps of a program that is attached here as ours, of no other.

    Raises OSError.
    """
    try:
        attachments = Attachments()
        try:
            if program_id not in {found.program_id for found in attachments.found()}:
                raise OSError(errno.ENOENT, f"the BPF program {program_id} is none that vipcast has attached here")
        finally:
            attachments.close()
        return list(libbpf().maps_of_program(program_id).values())
    except DatapathError as refusal:
        raise OSError(errno.EPERM, str(refusal)) from refusal
