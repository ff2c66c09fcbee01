"""`vipcast node reset`: begin this node's memory anew, with the daemon stopped."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from daemon import places, settings
from daemon.cli.call import OK, Call, CommandError
from daemon.keys import KeyFileError


def reset(call: Call) -> int:
    """Moves the database aside.  Raises CommandError while a daemon uses it, or where nobody has confirmed it."""
    from daemon.cluster.store.errors import StoreError, StoreInUseError  # noqa: PLC0415 - start-up time
    from daemon.cluster.store.reset import move_aside  # noqa: PLC0415 - start-up time

    folder = _folder(call)
    if not call.has("--yes") and not call.has("--force"):
        _confirm(call, folder)
    try:
        aside = move_aside(folder, time.strftime("%Y%m%d-%H%M%S"))
    except StoreInUseError as error:
        raise CommandError(
            f"{error.path}: {error.reason}. Stop it first (systemctl stop vipcastd), then say it again",
            code="in-use",
        ) from error
    except StoreError as error:
        raise CommandError(str(error), code="state") from error
    if call.out.json_wanted:
        call.out.document({"state": str(folder), "moved_to": str(aside)})
        return OK
    call.out.line(f"The memory of this node is in {aside} now.")
    call.out.note("When vipcastd starts, it joins the cluster as a learner and gets everything from the others")
    call.out.note("(where there are no others, begin anew: vipcast cluster init NAME --force);")
    call.out.note(
        "until then the cluster has a vote less: reset no other node before 'vipcast status' shows this one."
    )
    call.out.note(f"It is not needed any more once that is so:  rm -r {aside}")
    return OK


def _folder(call: Call) -> Path:
    """Where the settings say that the memory is."""
    named = call.value("--settings")
    path = Path(named) if named else places.of_this_user(os.environ).settings
    try:
        return settings.load(path).paths.state
    except (settings.SettingsError, KeyFileError, OSError) as error:
        raise CommandError(
            f"{error}\nNothing was changed: where this node's memory is, its settings say"
        ) from error


def _confirm(call: Call, folder: Path) -> None:
    """As pcs asks: only somebody at a terminal can be asked."""
    call.out.note(f"This node forgets what is in {folder}: the cluster's log, its snapshots and this node's votes.")
    call.out.note(
        "The other nodes must have them: where this is the last one that has, the cluster's state is lost."
    )
    if not sys.stdin.isatty():
        raise CommandError("nothing was changed: say --yes to go on without being asked", code="unconfirmed")
    call.out.note("Move it aside? [y/N]")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was changed", code="unconfirmed")
