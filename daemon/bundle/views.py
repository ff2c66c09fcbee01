"""The scheduler's view as a bundle has it: what `vipcast simulate --bundle` plans by.  Secrets are hidden in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from daemon.bundle.hiding import Sieve
from daemon.cluster.records import LogEntry
from daemon.cluster.store.looking import look
from daemon.control.schema import ViewDocument
from daemon.control.viewdoc import document
from daemon.state.state import State


def hidden(view: ViewDocument, sieve: Sieve) -> ViewDocument:
    """The same without secrets: of the configuration first, so that agents' words can be searched for them."""
    configuration = sieve.document(msgspec.json.decode(bytes(view.configuration)))
    results = tuple(
        msgspec.structs.replace(
            result,
            reason=sieve.text(result.reason),
            details={key: sieve.text(value) for key, value in result.details.items()},
        )
        for result in view.results
    )
    return msgspec.structs.replace(
        view, configuration=msgspec.Raw(msgspec.json.encode(configuration)), results=results
    )


def remembered(folder: Path, members: tuple[str, ...]) -> tuple[ViewDocument, int, Sequence[LogEntry]]:
    """The view by what the disk of a node has whose daemon does not answer, the entry that it is as of, and the log.

    Entries at the end of the log may never have been committed.  The store is read without its lock: a daemon that
    hangs still has that.  Raises StoreError, ThawError.
    """
    saved = look(folder)
    state = State.thaw(saved.snapshots[-1].body, members) if saved.snapshots else State(members)
    for entry in saved.entries:
        if entry.index > state.index:
            state.apply(entry)
    return document(state.view()), state.index, saved.entries
