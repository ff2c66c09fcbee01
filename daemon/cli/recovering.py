"""`vipcast cluster recover`: one survivor goes on alone, where the others are gone for good; its daemon stopped."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from daemon import places, settings
from daemon.cli.author import author
from daemon.cli.call import OK, Call, CommandError
from daemon.settings import Settings


def recover(call: Call) -> int:
    """`cluster recover [--settings FILE] [--yes]`"""
    from daemon.cluster.store import recovery  # noqa: PLC0415 - start-up time
    from daemon.cluster.store.errors import StoreError, StoreInUseError  # noqa: PLC0415 - start-up time

    configured = _settings(call)
    folder, node, founders = configured.paths.state, configured.node.name, configured.founders
    try:
        lost = recovery.others(folder, node, founders)
        if not call.has("--yes") and not call.has("--force"):
            _confirm(call, node, lost)
        done = recovery.recover(folder, node, founders, author(call.environment))
    except StoreInUseError as error:
        raise CommandError(
            f"{error.path}: {error.reason}. Stop it first (systemctl stop vipcastd), then say it again",
            code="in-use",
        ) from error
    except StoreError as error:
        raise CommandError(str(error), code="state") from error
    if call.out.json_wanted:
        call.out.document({"index": done.index, "lost": done.lost, "cluster_id": done.cluster_id})
        return OK
    call.out.line(f"{node} is the cluster now; entry {done.index} of the log says so.")
    call.out.note(
        "Start it: systemctl start vipcastd.  It serves everything once no lease of the others can be left."
    )
    for name in done.lost:
        call.out.note(f"Should {name} come back, it is not heard: vipcast cluster join --force TOKEN on it.")
    return OK


def _settings(call: Call) -> Settings:
    named = call.value("--settings")
    path = Path(named) if named else places.of_this_user(os.environ).settings
    try:
        return settings.load(path)
    except (settings.SettingsError, OSError) as error:
        raise CommandError(f"{error}\nNothing was changed: who this node is, its settings say") from error


def _confirm(call: Call, node: str, lost: tuple[str, ...]) -> None:
    names = ", ".join(lost) or "nobody else"
    call.out.note(f"{node} goes on alone. Not members any more: {names}. What only they had in their logs is lost.")
    call.out.note("While a majority of them still runs somewhere, both would answer for the same addresses:")
    call.out.note("be sure that they are off, and will not be switched on with their old memory where clients are.")
    if not sys.stdin.isatty():
        raise CommandError("nothing was changed: say --yes to go on without being asked", code="unconfirmed")
    call.out.note("Go on alone? [y/N]")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was changed", code="unconfirmed")
