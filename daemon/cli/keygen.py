"""`vipcast keygen [<file>]`, `vipcast key rotate` and `vipcast key status`: the cluster's secret."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from daemon import keys
from daemon.cli.call import OK, Call

if TYPE_CHECKING:
    from daemon.control.schema import KeyStatus

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
    """`vipcast key rotate [--revoke]`; the same again goes on with what was begun."""
    from daemon.control.schema import RotateRequest  # noqa: PLC0415 - start-up time

    document = call.client.rotate_key(RotateRequest(call.has("--revoke")))
    if call.out.json_wanted:
        call.out.document(document)
        return OK
    following = next((one for one in document.keys if one.role == "follows"), document.keys[0])
    call.out.line(f"Key {following.mark} is on {document.node}'s disk and goes to every node that runs.")
    call.out.note("It is used as soon as they have it, within some seconds: see 'vipcast key status'.")
    if following.revokes:
        call.out.note(
            "The old key is worth nothing then. A node that is down now stays out until you print a token"
        )
        call.out.note("('vipcast cluster token') and type there: vipcast cluster join --force TOKEN")
    else:
        call.out.note(
            "A node that is down now gets it when it comes back within a day; whoever else has the old key"
        )
        call.out.note("can pose as that node meanwhile: if it has leaked, type 'vipcast key rotate --revoke'.")
    return OK


def status(call: Call) -> int:
    """`vipcast key status`"""
    document = call.client.keys()
    if call.out.json_wanted:
        call.out.document(document)
        return OK
    for one in document.keys:
        call.out.line(f"{one.mark}  {_told(one)}")
    return OK


def _told(key: KeyStatus) -> str:
    match key.role:
        case "active":
            told = "active: seals and opens"
        case "follows":
            told = "to follow: opens, and seals once all have it"
            if key.revokes:
                told += "; the ones before it are worth nothing then"
        case "retired":
            told = f"retired: opens until {key.until}"
        case "way-back":
            told = f"replaced: opens nothing; a node that was away and has it is given the active one until {key.until}"
    if key.role == "way-back":
        return told
    if key.missing:
        told += f"; not known to be on {', '.join(key.missing)}"
    if key.used_by and key.role != "active":
        told += f"; still used by {', '.join(key.used_by)}"
    return told
