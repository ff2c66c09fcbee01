"""`systemctl reload vipcastd`: vipcast.toml is read again while the daemon runs.

A file with an error is refused as a whole, with every finding, and the daemon goes on by what it has.  Of a right one
what is in `LIVE` takes effect at once.  Everything else was built into links, leases, store and engine when the process
started: it waits for `systemctl restart vipcastd`, which moves nothing and breaks no connection, and is named.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from daemon import keys, settings
from daemon.settings import Settings

log = logging.getLogger("vipcast")

LIVE = frozenset({("node", "suicide")})
OF_THE_RUNNER = frozenset({("paths", "agents")})
"""vipcast-runner reads these itself, when it is told to reload (PropagatesReloadTo= of the unit)"""
RESTART = "systemctl restart vipcastd"


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting that the file has and this process does not run by."""

    key: tuple[str, ...]
    before: str
    after: str

    @property
    def is_live(self) -> bool:
        return self.key in LIVE | OF_THE_RUNNER

    def __str__(self) -> str:
        return f"{'.'.join(self.key)}: {self.before} → {self.after}"


def differences(running: Settings, found: Settings) -> list[Difference]:
    """What the file says otherwise, table by table; links are one setting, whatever has changed of them."""
    before, after = dict(_flat(running)), dict(_flat(found))
    return [Difference(key, before[key], after[key]) for key in before if before[key] != after[key]]


def _flat(of: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    for table in ("cluster", "node", "datapath", "paths", "realtime"):
        for name, value in getattr(of, table):
            yield (table, name), _shown(value)
    yield ("link",), "; ".join(_link(link) for link in of.links)
    for name, value in dataclasses.asdict(of.timers).items():
        yield ("timers", name), _shown(value)


def _link(link: settings.Link) -> str:
    given = {name: getattr(link, name) for name in sorted(link.model_fields_set)}
    return ", ".join(f"{name} {_shown(value)}" for name, value in given.items())


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


class SettingsFile:
    """The settings that this process runs by, and the file that they come from."""

    def __init__(self, configured: Settings, *, witness: bool) -> None:
        self.in_force = configured
        self._witness = witness

    async def reload(self) -> list[Difference]:
        """Read the file, take what may be taken; every difference.  Raises SettingsError, KeyFileError: no change."""
        found = await asyncio.to_thread(self._read)
        differing = differences(self.in_force, found)
        self.in_force = dataclasses.replace(
            self.in_force,
            node=self.in_force.node.model_copy(update={"suicide": found.node.suicide}),
            paths=self.in_force.paths.model_copy(update={"agents": found.paths.agents}),
        )
        for difference in differing:
            if difference.is_live:
                log.info("settings: %s", difference)
            else:
                log.warning("settings: %s takes effect after a restart: %s", difference, RESTART)
        if not differing:
            log.info("settings: %s says what this daemon runs by", found.file)
        return differing

    def _read(self) -> Settings:
        found = settings.load(self.in_force.file, witness=self._witness)
        found.key()
        return found

    async def reload_by_signal(self) -> None:
        """The same for SIGHUP: nobody waits for an answer, the log has it."""
        try:
            await self.reload()
        except (settings.SettingsError, keys.KeyFileError) as error:
            log.error("%s", refusal(error))


def refusal(error: settings.SettingsError | keys.KeyFileError) -> str:
    """What is wrong, all of it, and that it has no effect."""
    return f"{error}\nNothing has changed: the daemon goes on with the settings that it has."
