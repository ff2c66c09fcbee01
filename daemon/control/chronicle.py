"""What became of the newest entries of the log, as this node has applied them: the log's own entries do not say."""

from __future__ import annotations

import msgspec

from daemon.cluster.records import LogEntry
from daemon.control.narrate import narrate, tell_slots
from daemon.control.schema import LogLine
from daemon.state.outcome import Outcome

LINES_MAX = 8_192
"""about as many as the log keeps behind its snapshots; 3 MB"""


class Chronicle:
    """Lines by index; the oldest go first."""

    def __init__(self, lines_max: int = LINES_MAX) -> None:
        self._lines_max = lines_max
        self._lines: dict[int, LogLine] = {}

    def add(self, entry: LogEntry, outcome: Outcome, epoch: int) -> LogLine:
        """Keep what an entry did when it was applied."""
        line = msgspec.structs.replace(
            narrate(entry),
            accepted=outcome.accepted,
            reason="" if outcome.accepted else outcome.sentence,
            slots=tuple(tell_slots(outcome.slots_changed)),
            epoch=epoch,
        )
        self._lines[entry.index] = line
        if len(self._lines) > self._lines_max:
            del self._lines[next(iter(self._lines))]
        return line

    def line(self, entry: LogEntry) -> LogLine:
        """What is known of an entry; of one that was not applied here only what it asks for."""
        known = self._lines.get(entry.index)
        return known if known is not None and known.term == entry.term else narrate(entry)
