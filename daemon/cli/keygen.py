"""`vipcast keygen [<file>]`: the cluster's secret."""

from __future__ import annotations

from pathlib import Path

from daemon import keys
from daemon.cli.call import OK, Call

DEFAULT_FILE = "/etc/vipcast/authkey"


def keygen(call: Call) -> int:
    """Raises KeyFileError; an existing key is never overwritten."""
    path = Path(call.arguments[0] if call.arguments else DEFAULT_FILE)
    keys.write(path, keys.generate())
    if call.out.json_wanted:
        call.out.document({"file": str(path), "bytes": keys.KEY_BYTES})
        return OK
    call.out.line(f"{path}: new cluster key, {keys.KEY_BYTES} bytes, mode 0600")
    call.out.note(f"Copy it to every node of the cluster, the same file for all: scp -p {path} NODE:{path}")
    return OK
