"""`vipcast quorum …`"""

from __future__ import annotations

from daemon.cli.call import OK, Call


def status(call: Call) -> int:
    """`vipcast quorum [status]`: votes, and what would follow if each node were lost next."""
    document = call.client.quorum()
    if call.out.json_wanted:
        call.out.document(document)
        return OK
    from daemon.cli.layout.quorum import quorum  # noqa: PLC0415 - start-up time

    call.out.lines(quorum(document, call.out.painted))
    return OK
