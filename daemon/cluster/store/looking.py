"""The store read without a lock and without writing: for who only wants to know what is on the disk."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import quote

from daemon.cluster.core.effects import Saved
from daemon.cluster.store.database import refuse_unknown_format
from daemon.cluster.store.errors import StoreError, translated
from daemon.cluster.store.reading import read
from daemon.cluster.store.store import FILE


def look(folder: Path) -> Saved:
    """What the store in `folder` has, as of one moment; a daemon may go on writing.  Raises StoreError."""
    path = folder / FILE
    if not path.exists():
        raise StoreError(path, "there is no such file", "look on a host that has taken part in the cluster")
    try:
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None, timeout=5)
        try:
            connection.execute("BEGIN")
            refuse_unknown_format(connection, path)
            return read(connection, path)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise translated(path, error) from None
