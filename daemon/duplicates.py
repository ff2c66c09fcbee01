"""May this host take a shared address?  Not while somebody else on the segment answers for it.

Before an address comes to this host the segment is asked (datapath/probe.py), which takes 0.2 s; meanwhile the address
waits, and everything else goes on.  What is here already is not asked about again: it is watched (SharedAddresses).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from datapath.dialects import IPAddress
from datapath.engine import Address, DatapathError
from datapath.probe import who_else
from datapath.strangers import ForeignClaim

log = logging.getLogger("vipcast.datapath")

Question = tuple[str, IPAddress, str]
"""interface, address, the MAC that it may have"""


@dataclass(frozen=True, slots=True)
class Answer:
    claim: ForeignClaim | None
    """None: nobody has it"""


class DuplicateCheck:
    """Asks, and remembers that an address is free until it is served or not wanted any more."""

    def __init__(self, answered: Callable[[], None]) -> None:
        """`answered` is called on the event loop when something that was asked is known."""
        self._answered = answered
        self._answers: dict[Question, Answer] = {}
        self._asking: dict[Question, asyncio.Task[None]] = {}

    def look(self, addresses: Sequence[Address]) -> dict[str, Answer | None]:
        """For each of these addresses, by its resource, what the segment has said; None: it is being asked.

        That somebody has it is said once: who looks again has the segment asked again.
        """
        questions = {address.resource: _question(address) for address in addresses}
        wanted = set(questions.values())
        self._answers = {question: answer for question, answer in self._answers.items() if question in wanted}
        self._asking = {question: task for question, task in self._asking.items() if question in wanted}
        self._ask([question for question in questions.values() if not self._is_known(question)])
        found = {resource: self._answers.get(question) for resource, question in questions.items()}
        self._answers = {question: answer for question, answer in self._answers.items() if answer.claim is None}
        return found

    def close(self) -> None:
        self._answers.clear()
        self._asking.clear()

    def _is_known(self, question: Question) -> bool:
        return question in self._asking or question in self._answers

    def _ask(self, questions: Sequence[Question]) -> None:
        """All of an interface and family together."""
        together: dict[tuple[str, int], list[Question]] = {}
        for question in questions:
            together.setdefault((question[0], question[1].version), []).append(question)
        for (interface, _), asked in together.items():
            task = asyncio.get_running_loop().create_task(
                self._learn(interface, asked), name=f"who has {interface}"
            )
            self._asking.update(dict.fromkeys(asked, task))

    async def _learn(self, interface: str, asked: list[Question]) -> None:
        claims: list[ForeignClaim] = []
        try:
            claims = await who_else(interface, {ip: mac for _, ip, mac in asked})
        except DatapathError as error:
            # nobody can be heard there, so nobody can be asked; who comes with the network raises an alarm later
            log.warning("%s: whether somebody else has a shared address is not known yet", error)
        by_ip = {claim.ip: claim for claim in claims}
        for question in asked:
            if self._asking.get(question) is asyncio.current_task():
                del self._asking[question]
                self._answers[question] = Answer(by_ip.get(question[1]))
        self._answered()


def _question(address: Address) -> Question:
    return address.interface, address.ip, address.mac
