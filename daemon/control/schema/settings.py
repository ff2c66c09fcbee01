"""What this host's daemon runs by: its vipcast.toml, read again."""

from __future__ import annotations

import msgspec

from daemon.control.schema.words import SCHEMA


class SettingChange(msgspec.Struct, frozen=True):
    """One setting that the file has and the daemon did not run by."""

    setting: str
    """with its table: `timers.lease_ms`; `link`: all of the links"""
    before: str
    after: str


class ReloadDocument(msgspec.Struct, frozen=True):
    """Answer of POST /v1/reload."""

    node: str
    file: str
    changed: tuple[SettingChange, ...]
    """in effect now"""
    waiting: tuple[SettingChange, ...]
    """in effect after `systemctl restart vipcastd`"""
    schema: int = SCHEMA
