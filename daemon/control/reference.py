"""docs/reference/control-api.md, made from routes and schema: `python -m daemon.control.reference > docs/…`."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Iterator

import msgspec

from daemon.control import schema
from daemon.control.access import READERS, WRITERS, Right
from daemon.control.routes import BODY_BYTES_MAX, LOG_ENTRIES_MAX, ROUTES, Route
from daemon.control.schema import agents, edits, evidence, keys, quorum, status, view
from daemon.fieldtexts import field_texts
from daemon.model import findings

_HEAD = f"""\
# The control API

Generated from `daemon/control/routes.py` and `daemon/control/schema/` by `python -m daemon.control.reference`; a
test compares them. `GET /v1/openapi.json` answers with the same as OpenAPI 3.1.

HTTP/1.1 with JSON on the unix socket `/run/vipcast/control.sock`, as in

    curl --unix-socket /run/vipcast/control.sock http://localhost/v1/status

root and the members of the group `{WRITERS}` may write, the members of `{READERS}` may read; the kernel's word
about the peer decides (SO_PEERCRED), and whoever is neither gets 403. A body may have {BODY_BYTES_MAX} bytes, an
answer of `/v1/log` {LOG_ENTRIES_MAX} entries. Every document carries `schema`, {schema.SCHEMA} now: it rises when a
field changes its meaning or goes away. New fields come without notice; ignore what you do not know.

An answer that is not 200 has a `Problem` as its body.

| code | when |
|---|---|
| 400 | the request is malformed |
| 403 | the peer may not do this |
| 404, 405 | there is no such path, resource or node; the path takes another method |
| 408 | the request's body did not arrive in time |
| 409 | the configuration has moved on since `base_epoch`: nothing has changed; edit the new one |
| 413 | the body is too large |
| 422 | refused, with findings: nothing has changed |
| 500 | a fault of the daemon; its log has the details under the number in the text |
| 503 | no quorum, or too many clients: nothing has changed |
| 504 | no outcome in time: the change may still be made; see `/v1/log` |
"""

_EVENTS = """\
`GET /v1/events` is a stream of server-sent events, each an `Event` as JSON. The first is a `hello` with the index
applied so far. A client that does not read is dropped, after an event `dropped` if it still takes that: ask for the
status and listen again. A comment line comes every 15 seconds, so that a client sees whether the daemon lives.
"""


def reference() -> str:
    """The whole page."""
    return "\n".join(_page()).rstrip("\n") + "\n"


_NEEDS = {
    Right.READ: "Needs the right to read",
    Right.WRITE: "Needs the right to write",
    Right.OWN: "Only for root",
}


def _page() -> Iterator[str]:
    yield _HEAD
    yield "## Paths\n"
    for route in ROUTES:
        yield from _route(route)
    yield _EVENTS
    yield "## Documents\n"
    for struct in _structs():
        yield from _struct(struct)


def _route(route: Route) -> Iterator[str]:
    yield f"### {route.method} {route.path}\n"
    yield f"{route.summary}. {_NEEDS[route.needs]}.\n"
    if route.parameters:
        yield "| parameter | meaning |"
        yield "|---|---|"
        for parameter in route.parameters:
            yield f"| `{parameter.name}`{' (needed)' if parameter.required else ''} | {parameter.what} |"
        yield ""
    if route.body is not None:
        yield f"Body: `{route.body.__name__}`.\n"
    if route.answer is not None:
        yield f"Answer: {'a stream of ' if route.streams else ''}`{route.answer.__name__}`.\n"


_PARTS = (status, quorum, edits, keys, evidence, agents, view)
"""of the schema, in the order of reading"""


def _structs() -> Iterator[type]:
    for part in _PARTS:
        for value in vars(part).values():
            if isinstance(value, type) and issubclass(value, msgspec.Struct) and value.__module__ == part.__name__:
                yield value
    yield findings.Finding


def _struct(struct: type) -> Iterator[str]:
    yield f"### {struct.__name__}\n"
    if struct.__doc__ and not struct.__doc__.startswith(f"{struct.__name__}("):
        yield f"{inspect.cleandoc(struct.__doc__)}\n"
    yield "| field | type | meaning |"
    yield "|---|---|---|"
    told = field_texts(struct)
    for name, hint in typing.get_type_hints(struct).items():
        yield f"| `{name}` | {_type(hint)} | {told.get(name, '')} |"
    yield ""


def _type(hint: object) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in {typing.Union, types.UnionType}:
        return " or ".join(_type(argument) for argument in arguments)
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"object of {_type(arguments[1])}"
    simple = {str: "string", int: "integer", bool: "boolean", type(None): "null", msgspec.Raw: "any JSON"}
    if hint in simple:
        return simple[hint]
    return f"`{hint.__name__}`" if isinstance(hint, type) and hint is not typing.Any else "any JSON"


if __name__ == "__main__":
    sys.stdout.write(reference())
