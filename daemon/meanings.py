"""What the parameters of shared addresses mean on this host, as the datapath has it.

Where an address belongs follows from the host's own addresses, which are read once for as many as are asked about; what
was found is kept for as long as neither these nor the parameters change.
"""

from __future__ import annotations

from collections.abc import Mapping

from agents.ipaddr2 import ParameterError, forces_duplicate, shared_address, surroundings
from agents.placement import Surroundings
from daemon.state.addresses import SlotDriven
from datapath.engine import Address, DatapathError
from datapath.host.setup import Examination

NEW_MAX = 100
"""each takes some 80 us"""


class Meanings:
    """`place` is the interface that addresses are put on."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._around: Surroundings | None = None
        self._known: dict[str, tuple[SlotDriven, Address, bool]] = {}

    def of(self, driven: Mapping[str, SlotDriven]) -> dict[str, Address | str]:
        """For these, by their ids: the address, or what keeps it from being held here.

        Of those that were not asked about before NEW_MAX are answered at a time: who asks again gets further ones.
        Raises DatapathError where the kernel cannot be asked.
        """
        around = surroundings()
        if around != self._around:
            self._around, self._known = around, {}
        examination = Examination(self._place)
        new = [name for name, one in driven.items() if name not in self._known or self._known[name][0] != one]
        later = frozenset(new[NEW_MAX:])
        return {name: self._of(one, around, examination) for name, one in driven.items() if name not in later}

    def _of(self, driven: SlotDriven, around: Surroundings, examination: Examination) -> Address | str:
        known = self._known.get(driven.address)
        if known is None or known[0] != driven:
            try:
                address = shared_address(driven.address, driven.parameters, driven.slots, around)
                known = driven, address, forces_duplicate(driven.parameters)
            except (ParameterError, DatapathError) as error:
                return str(error)
            self._known[driven.address] = known
        return examination.says(known[1]) or known[1]

    def is_forced(self, name: str) -> bool:
        """Whether what was found is to be held even where somebody else on the segment has it."""
        return name in self._known and self._known[name][2]

    def keep(self, names: Mapping[str, SlotDriven]) -> None:
        """Forget what is none of these."""
        self._known = {name: known for name, known in self._known.items() if name in names}
