"""`vipcast simulate`: the plan for a CIB file, offline."""

from __future__ import annotations

import time

from daemon.cli.call import OK, Call, CommandError
from daemon.cli.layout.resources import natural
from daemon.cli.sources import read_file
from daemon.model.findings import Refused
from daemon.scheduler.cibstatus import read_view
from daemon.scheduler.simulate import simulate as planned

NS_PER_MS = 1_000_000


def simulate(call: Call) -> int:
    """`simulate --cib FILE [--json]`: where everything is after the one transition that would begin now."""
    path = call.value("--cib") or call.value("--file")
    if path is None:
        raise call.misuse("name the file: --cib FILE, or -f FILE")
    try:
        view = read_view(read_file(path), time.time_ns() // NS_PER_MS)
    except Refused as error:
        raise CommandError(f"{path} is not a CIB that can be used", error.findings, "bad-cib") from error
    result = planned(view)
    if call.out.json_wanted:
        call.out.document(result)
        return OK
    for name in sorted(result["placement"], key=natural):
        nodes = sorted(result["placement"][name], key=natural)
        promoted = result["promoted"].get(name, [])
        marked = [f"{node} (promoted)" if node in promoted else node for node in nodes]
        call.out.line(f"{name}: {', '.join(marked) or 'stopped'}")
    return OK
