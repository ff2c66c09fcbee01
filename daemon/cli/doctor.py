"""`vipcast doctor`: what is wrong with this host, with a daemon or without."""

from __future__ import annotations

from pathlib import Path

from daemon.cli.call import FAILED, OK, Call
from daemon.control.client import ControlError
from daemon.control.schema import StatusDocument
from daemon.doctor import Complaint, examine
from daemon.settings import DEFAULT_FILE

_COLOURS = {"error": "bad", "warning": "moving", "unchecked": "quiet"}


def doctor(call: Call) -> int:
    """`doctor [--settings FILE]`: 0 where nothing is wrong, 1 where something is."""
    complaints = examine(Path(call.value("--settings") or DEFAULT_FILE), _status(call))
    if call.out.json_wanted:
        call.out.document(complaints)
    else:
        for complaint in complaints:
            _tell(call, complaint)
        if not complaints:
            call.out.line("Nothing is wrong that could be seen from here")
    return FAILED if any(complaint.severity != "unchecked" for complaint in complaints) else OK


def _status(call: Call) -> StatusDocument | None:
    try:
        return call.client.status()
    except ControlError:
        return None


def _tell(call: Call, complaint: Complaint) -> None:
    head = f"{complaint.severity.upper():<9} {complaint.check}: {complaint.wrong}"
    call.out.line(call.out.painted(head, _COLOURS[complaint.severity]))
    if complaint.causes:
        call.out.line(f"          causes: {complaint.causes}")
    if complaint.mend:
        call.out.line(f"          mend:   {complaint.mend}")
