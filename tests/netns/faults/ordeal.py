"""What a fault is judged by: clients at every slot, an administrator who edits, and a capture on all hosts."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from tests.lab import Lab, Stream, Traffic, wait_until
from tests.lab.answers import answered_twice, last_accepted_ns
from tests.lab.service import ADDRESS, await_status, served, shared
from tests.netns.faults.administrator import Administrator, lost_edits

INTERVAL_MS = 25
CLIENTS = 500
WHOLE_S = 40.0
POLL_S = 0.2


def leader_of(lab: Lab) -> str:
    leader = await_status(lab, lambda status: status.leader is not None, "a leader").leader
    assert leader is not None
    return leader


class Ordeal:
    """A context manager around a fault.  Call `healed()` inside it once everything is repaired.

    At its end: no packet was answered by two hosts, no acknowledged edit is lost on any host, every slot is served.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.administrator = Administrator(lab)
        self._address = shared(lab)
        self._traffic = Traffic(lab.gw, ADDRESS)
        self._capture = lab.capture(f"tcp port 80 and host {ADDRESS}")
        self._end = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="capture", daemon=True)

    def __enter__(self) -> Self:
        self._capture.__enter__()
        self._poller.start()
        self._traffic.__enter__()
        slots = self._address.clients_by_slot(CLIENTS)
        self._traffic.start(*(Stream(str(slot), clients, INTERVAL_MS) for slot, clients in slots.items()))
        self.await_traffic(0)
        self.administrator.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.administrator.__exit__(kind, error, trace)
            if error is None:
                self._traffic.halt()
        finally:
            self._traffic.__exit__(kind, error, trace)
            self._end.set()
            self._poller.join(5)
            self._capture.__exit__(kind, error, trace)
        if error is None:
            self._judge()

    def _poll(self) -> None:
        while not self._end.wait(POLL_S):
            self._capture.poll()

    def _judge(self) -> None:
        segments = self._capture.segments()
        assert len(segments) > 1000, "hardly a packet was captured: this judged nothing"
        assert answered_twice(segments, ADDRESS) == {}
        assert self.administrator.acknowledged, "no edit was acknowledged: this judged nothing"
        assert lost_edits(self.lab, self.administrator.acknowledged) == {}

    # -- in between

    def watch(self, host: str) -> None:
        """Capture on a host that has booted again: its interface is another one."""
        self._capture.add(self.lab[host])

    def await_traffic(self, since_ns: int, bound_s: float = WHOLE_S) -> None:
        """Wait until the newest ten attempts at every slot succeeded, all started after a moment."""

        def well() -> bool:
            attempts = [attempt for attempt in self._traffic.attempts if attempt.started_ns > since_ns]
            for slot in range(self._address.slots):
                newest = [attempt for attempt in attempts if attempt.stream == str(slot)][-10:]
                if len(newest) < 10 or not all(attempt.ok for attempt in newest):
                    return False
            return True

        try:
            wait_until(well, bound_s, "every slot answering its clients")
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.lab.tail(40)}") from None

    def others_serve(self) -> None:
        """The fault is there: wait until clients of every slot are answered all the same."""
        self.await_traffic(time.time_ns())

    def healed(self) -> None:
        """Everything is repaired: wait until every host takes part, has all edits, and every slot is served."""
        everyone = set(self.lab.names)
        for name in self.lab.names:
            await_status(
                self.lab,
                lambda status: status.quorate and status.online == everyone and served(status),
                f"everybody back, as {name} sees it",
                on=name,
                bound_s=WHOLE_S,
            )
        self.await_traffic(time.time_ns())

    def last_accepted_ns(self, host: str, before_ns: int) -> int:
        """When the newest packet that a host has answered up to a moment had arrived there (0: it answered none).

        Its answers may come later: a kernel repeats a SYN-ACK whose acknowledgement its rules have dropped.
        """
        return last_accepted_ns(self._capture.segments(), ADDRESS, host, before_ns) or 0
