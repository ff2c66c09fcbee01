"""`vipcast doctor`: looks at this host from inside and says what is wrong, what it will cause, and what mends it.

Each check is a function that looks and yields `Complaint`s; it changes nothing, and works without a daemon as far as
it can.  What it would need and lacks (root, a daemon) it says as well: silence means health and nothing else.
"""

from __future__ import annotations

from daemon.doctor.complaint import Complaint
from daemon.doctor.examination import examine

__all__ = ["Complaint", "examine"]
