"""What systemd is told of a unit for as long as the cluster runs it: a drop-in that lives until the next boot.

At a shutdown systemd stops at once whatever nothing orders, and the cluster would see a web server vanish below an
address that still is served.  Ordered before vipcastd.service, the unit is stopped after it (systemd.unit(5), Before=):
the core gives its slots away, has the unit stopped in the order of the constraints, and ends.  Nor does systemd start
again by itself what the cluster watches: a failure that nobody sees is none that the others could help with.

The drop-in goes before the unit is stopped: systemd keeps that stop waiting for that of vipcastd, which waits for it.
"""

from __future__ import annotations

from pathlib import Path

DROP_INS = Path("/run/systemd/system")
NAME = "50-vipcast.conf"
CORE = "vipcastd.service"

_ORDERED = f"""\
# vipcast runs this unit; made by its runner, gone when it is stopped
[Unit]
# at a shutdown the cluster stops it, in its turn
Before={CORE}
"""
_NOT_BY_ITSELF = """\
[Service]
# the cluster sees that it has failed, and decides
Restart=no
"""


def drop_in(unit: str) -> Path:
    return DROP_INS / f"{unit}.d" / NAME


def claim(unit: str) -> bool:
    """The cluster runs it from now on; True where systemd has to read its units again.  Raises OSError."""
    file = drop_in(unit)
    text = _ORDERED + (_NOT_BY_ITSELF if unit.endswith(".service") else "")
    if file.exists() and file.read_text(encoding="utf-8") == text:
        return False
    file.parent.mkdir(mode=0o755, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return True


def release(unit: str) -> bool:
    """It is systemd's again; True where systemd has to read its units again.  Raises OSError."""
    file = drop_in(unit)
    if not file.exists():
        return False
    file.unlink()
    if not any(file.parent.iterdir()):
        file.parent.rmdir()
    return True
