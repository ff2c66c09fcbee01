"""`vipcast stonith …`: refused with the reason, so that an old runbook learns why it is not needed."""

from __future__ import annotations

from daemon.cli.call import Call, CommandError


def refuse(call: Call) -> int:
    raise CommandError(
        "vipcast has no fencing devices yet, and addresses need none: a host serves only under a lease that its "
        "own kernel ends, so a lost host is silent before its slots move. Leave the runbook's stonith lines out; "
        "'vipcast property set stonith-enabled=false' is accepted and changes nothing.",
        code="not-supported",
    )
