"""Who has changed the configuration: kept in the state, so that it is known for longer than the log goes back."""

from __future__ import annotations

import msgspec

EDITS_KEPT_MAX = 128
COMMENT_KEPT_CHARACTERS_MAX = 200


class EditRecord(msgspec.Struct, array_like=True, frozen=True):
    """An edit that was accepted, without the configuration that it brought."""

    epoch: int
    stamp_ms: int
    author: str
    node: str
    """where it was typed"""
    comment: str
    """the beginning of the command as typed"""
