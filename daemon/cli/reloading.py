"""`vipcast cluster reload`: this host's daemon reads its vipcast.toml again."""

from __future__ import annotations

from daemon.cli.call import OK, Call


def reload(call: Call) -> int:
    """Raises RefusalError where the file is wrong: then nothing has changed."""
    document = call.client.reload()
    if call.out.json_wanted:
        call.out.document(document)
        return OK
    for changed in document.changed:
        call.out.line(f"{changed.setting}: {changed.before} → {changed.after}")
    for waiting in document.waiting:
        call.out.line(
            f"{waiting.setting}: {waiting.before} → {waiting.after}: takes effect after a restart, which moves nothing"
        )
    if document.waiting:
        call.out.note("See to that: systemctl restart vipcastd")
    elif not document.changed:
        call.out.line(f"{document.file}: correct, and what {document.node} runs by.")
    return OK
