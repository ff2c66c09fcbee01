"""`vipcast keygen [<file>]`, `vipcast key rotate` and `vipcast key status`: the cluster's secret."""

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


def rotate(call: Call) -> int:
    """`vipcast key rotate`; the same again goes on with what was begun."""
    document = call.client.rotate_key()
    if call.out.json_wanted:
        call.out.document(document)
        return OK
    following = next((one for one in document.keys if one.role == "follows"), document.keys[0])
    call.out.line(f"Key {following.mark} is on {document.node}'s disk and goes to every node that runs.")
    call.out.note("It is used as soon as they have it, within some seconds: see 'vipcast key status'.")
    call.out.note("A node that is down now gets it when it comes back within seven days.")
    return OK


def status(call: Call) -> int:
    """`vipcast key status`"""
    document = call.client.keys()
    if call.out.json_wanted:
        call.out.document(document)
        return OK
    for one in document.keys:
        what = {"active": "active: seals and opens", "follows": "to follow: opens, and seals once all have it"}
        told = what.get(one.role, f"retired: opens until {one.until}")
        if one.missing:
            told += f"; not known to be on {', '.join(one.missing)}"
        if one.used_by and one.role != "active":
            told += f"; still used by {', '.join(one.used_by)}"
        call.out.line(f"{one.mark}  {told}")
    return OK
