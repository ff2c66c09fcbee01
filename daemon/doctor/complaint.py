"""What a check has found."""

from __future__ import annotations

from typing import Literal

import msgspec

Severity = Literal["error", "warning", "unchecked"]


class Complaint(msgspec.Struct, frozen=True):
    check: str
    """`disk`, `multicast`, `firewall` …"""
    severity: Severity
    """`unchecked`: nothing is known, and `wrong` says why"""
    wrong: str
    causes: str = ""
    """what will come of it"""
    mend: str = ""
    """the command, or the step, that mends it"""
