"""`vipcast panic`: silence this host at once, with or without a daemon, until `vipcast panic off`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from daemon import places
from daemon.cli.call import OK, Call, CommandError
from daemon.panic import PanicFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daemon.settings import Paths
    from datapath.engine import Change


def on(call: Call) -> int:
    """The file first: a daemon that runs must not put back what is taken away next."""
    from daemon.cli.author import author  # noqa: PLC0415 - start-up time
    from daemon.panic import Panic  # noqa: PLC0415 - start-up time

    paths = _paths(call)
    file = PanicFile(paths.state)
    try:
        file.write(Panic(author(call.environment), int(time.time())))
        noted = ""
    except OSError as error:
        # no room, a read-only disk: what can be done without the file is done all the same
        noted = f"{file.path} cannot be written: {error.strerror or error}"
    changes = _withdraw(paths.run)
    if noted:
        raise CommandError(
            f"{noted}. The shared addresses were taken off this host, and a daemon that runs puts them back: "
            "stop it (systemctl kill -s KILL vipcastd), or make room and say it again",
            code="state",
        )
    if call.out.json_wanted:
        call.out.document({"silenced": True, "withdrawn": [change.address for change in changes]})
        return OK
    for change in changes:
        call.out.line(f"taken off: {change.detail}")
    call.out.line("This host is silenced: it answers for no shared address, whatever runs or starts on it.")
    call.out.note("Its daemon, where one runs, stays a voter, and what ran here goes to other hosts.")
    call.out.note(
        "Where no daemon runs, or it hangs, plain addresses and services stay as they are: stop them by hand."
    )
    call.out.note("Undo it with:  vipcast panic off")
    return OK


def off(call: Call) -> int:
    file = PanicFile(_paths(call).state)
    try:
        was_there = file.remove()
    except OSError as error:
        raise CommandError(f"{file.path} cannot be removed: {error.strerror or error}", code="state") from error
    if call.out.json_wanted:
        call.out.document({"silenced": False, "was_silenced": was_there})
    elif was_there:
        call.out.line("This host is no longer silenced; its daemon takes its share again within a second.")
    else:
        call.out.line("This host was not silenced.")
    return OK


def status(call: Call) -> int:
    panic = PanicFile(_paths(call).state).read()
    if call.out.json_wanted:
        by = {} if panic is None else {"author": panic.author, "since": panic.wall_s}
        call.out.document({"silenced": panic is not None, **by})
    elif panic is None:
        call.out.line("This host is not silenced.")
    else:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(panic.wall_s))
        call.out.line(f"This host is SILENCED since {since} by {panic.author}; undo it with: vipcast panic off")
    return OK


def _paths(call: Call) -> Paths:
    """As the settings say; in an emergency they may be what is wrong, and then the usual folders are it."""
    from daemon import settings  # noqa: PLC0415 - start-up time
    from daemon.keys import KeyFileError  # noqa: PLC0415 - start-up time

    own = places.of_this_user(os.environ)
    named = call.value("--settings")
    try:
        return settings.load(Path(named) if named else own.settings).paths
    except (settings.SettingsError, KeyFileError, OSError) as error:
        if named:
            raise CommandError(str(error), code="settings") from error
        call.out.note(f"{own.settings} cannot be used, so the folders are taken to be {own.state} and {own.run}.")
        return settings.Paths(state=own.state, run=own.run)


def _withdraw(run: Path) -> Sequence[Change]:
    """Take the shared addresses off; whatever rules stand, a host without the address answers nobody.

    Rules and settings stay: they are what drops the packets that still come.
    """
    from datapath.engine import DatapathError  # noqa: PLC0415 - start-up time
    from datapath.host.setup import Host  # noqa: PLC0415 - start-up time

    host = Host(run)
    try:
        host.start()
        return host.withdraw([])
    except DatapathError as error:
        raise CommandError(
            f"the shared addresses could not be taken off this host: {error}. A daemon that runs does it within a"
            " second; without one, as root:  ip address flush label '*:vipcast'",
            code="datapath",
        ) from error
    finally:
        host.close()
