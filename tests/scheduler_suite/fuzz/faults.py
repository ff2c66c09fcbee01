"""Faults of the peer that we do not share, each as the change that would bring it about here.

A difference that disappears under one of them is explained, and counted apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from daemon.scheduler import clones
from daemon.scheduler.capacity import Capacity
from daemon.scheduler.units import CloneUnit, Colocation, Unit


def _only_itself(unit: Unit) -> None:
    unit.provisional = True


def _interleaved_though_forbidden(colocation: Colocation, primary: CloneUnit) -> bool:
    dependent = colocation.dependent
    if not isinstance(dependent, CloneUnit) or not dependent.interleave or primary.address is not None:
        return False
    return dependent.clone_node_max == primary.clone_node_max


def _last_of_the_roomiest(self: Capacity, hosts: list[str]) -> str | None:
    roomiest: str | None = None
    for host in reversed(hosts):
        if roomiest is None or self.compare(host, roomiest) < 0:
            roomiest = host
    return roomiest


FAULTS: dict[str, tuple[object, str, object]] = {
    "a cloned group that cannot stay where it is remains without a host, although another could run it": (
        clones,
        "_provisional",
        _only_itself,
    ),
    "interleaved clones that must never meet are kept apart instance by instance, and meet": (
        clones,
        "interleaved",
        _interleaved_though_forbidden,
    ),
    "of equally roomy hosts the first in a hash table is taken": (Capacity, "_roomiest", _last_of_the_roomiest),
}


@contextmanager
def with_fault(fault: str) -> Iterator[None]:
    """As the peer has it."""
    where, name, replacement = FAULTS[fault]
    with patch.object(where, name, replacement):
        yield
