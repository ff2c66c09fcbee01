"""`vipcast drain node|address|slot|status`, `vipcast undrain …`."""

from __future__ import annotations

import time

from daemon.cli.author import author
from daemon.cli.call import OK, Call, CommandError
from daemon.cli.editing import POLL_S, finish
from daemon.cli.layout import drains as layout
from daemon.control.client import RefusalError
from daemon.control.schema import Accepted, DrainRequest, DrainStatus, StatusDocument

TOLD_EVERY_S = 1.0


def show(call: Call) -> int:
    """`vipcast drain status`"""
    document = call.client.status()
    if call.out.json_wanted:
        moving = [
            {"address": address.id, **{name: getattr(slot, name) for name in slot.__struct_fields__}}
            for address in document.addresses
            for slot in address.slots
            if slot.phase in {"draining", "opening"}
        ]
        call.out.document({"drains": document.drains, "moving": moving})
        return OK
    call.out.lines(layout.drains_in_full(document, call.out.painted))
    return OK


def drain_node(call: Call) -> int:
    return _drain(call, DrainRequest(_node(call), author=author(call.environment)))


def drain_address(call: Call) -> int:
    return _drain(call, _of_address(call, on=True))


def drain_slot(call: Call) -> int:
    return _drain(call, _of_slot(call, on=True))


def undrain_node(call: Call) -> int:
    return _undrain(call, DrainRequest(_node(call), on=False, author=author(call.environment)))


def undrain_address(call: Call) -> int:
    return _undrain(call, _of_address(call, on=False))


def undrain_slot(call: Call) -> int:
    return _undrain(call, _of_slot(call, on=False))


# ---- what is meant


def _node(call: Call) -> str:
    return call.arguments[0] if call.arguments else call.client.status().node


def _of_address(call: Call, *, on: bool) -> DrainRequest:
    address, *node = call.arguments
    return DrainRequest(node[0] if node else None, address, on=on, author=author(call.environment))


def _of_slot(call: Call, *, on: bool) -> DrainRequest:
    """`VIP:17`, `192.168.110.120:17`, `[fd00::1]:17`.  Raises UsageError."""
    text, *node = call.arguments
    address, colon, number = text.rpartition(":")
    if not (colon and address and number.isascii() and number.isdecimal() and len(number) < 10):
        raise call.misuse(f"'{text}' names no slot: write the address, a colon and the slot's number, as in VIP:17")
    return DrainRequest(
        node[0] if node else None,
        address.removeprefix("[").removesuffix("]"),
        int(number),
        on,
        author(call.environment),
    )


# ---- what is done


def _ask(call: Call, request: DrainRequest) -> Accepted:
    """Raises CommandError and what the control client raises."""
    try:
        return call.client.drain(request)
    except RefusalError as refusal:
        raise CommandError(refusal.problem.error, code=refusal.problem.code) from refusal


def _drain(call: Call, request: DrainRequest) -> int:
    wait_s = call.wait_s  # a wrong number is found before anything is changed
    before = set(map(_key, call.client.status().drains))
    _ask(call, request)
    status = call.client.status()
    fresh = [d for d in status.drains if _key(d) not in before and d.slot == request.slot]
    drain = fresh[0] if fresh else None
    if wait_s is not None and drain is not None:
        drain = _wait(call, drain, wait_s)
    if call.out.json_wanted:
        call.out.document({"drain": drain})
    elif drain is None:
        call.out.line("It is drained no more: somebody has taken it back")
    elif drain.slots_left:
        call.out.line(f"{layout.told(drain)}; 'vipcast drain status' shows how far it is")
    else:
        call.out.line(f"{layout.told(drain)}; 'vipcast undrain {layout.words(drain)}' takes that back")
    return OK


def _undrain(call: Call, request: DrainRequest) -> int:
    wait_s = call.wait_s
    accepted = _ask(call, request)
    return finish(call, accepted, ("It is drained no more, and gets its share again",), wait_s=wait_s)


def _wait(call: Call, drain: DrainStatus, wait_s: float) -> DrainStatus | None:
    """Until all has left, telling how far it is; None: somebody took the drain back.  Raises CommandError."""
    deadline = time.monotonic() + wait_s
    said, say_again = "", 0.0
    while True:
        now = time.monotonic()
        found = _find(call.client.status(), drain)
        if found is None or not found.slots_left:
            return found
        line = layout.told(found)
        if line != said and now >= say_again:
            said, say_again = line, now + TOLD_EVERY_S
            call.out.note(line)
        if now >= deadline:
            raise CommandError(
                f"after {wait_s:g} s {line}. It goes on; 'vipcast drain status' shows how far it is", code="timeout"
            )
        time.sleep(POLL_S)


def _find(status: StatusDocument, drain: DrainStatus) -> DrainStatus | None:
    return next((found for found in status.drains if _key(found) == _key(drain)), None)


def _key(drain: DrainStatus) -> tuple[str | None, str | None, int | None]:
    return drain.node, drain.address, drain.slot
