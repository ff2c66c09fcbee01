"""The control API as an OpenAPI 3.1 document, made from the table of routes and the structs of the schema."""

from __future__ import annotations

from typing import Any

import msgspec

from daemon.control.routes import ROUTES, Parameter, Route
from daemon.control.schema import SCHEMA, Problem

_REFERENCES = "#/components/schemas/{name}"
_MEANING = {
    400: "The request is malformed",
    403: "The peer may not do this",
    404: "There is no such thing",
    409: "The configuration has moved on; nothing changed",
    413: "The body is too large",
    422: "Refused, with findings; nothing changed",
    500: "A fault of the daemon, which its log describes",
    503: "No quorum, or too many clients; nothing changed",
    504: "No outcome in time: the change may still be made",
}


def openapi() -> dict[str, Any]:
    """The whole description, a new dictionary each time."""
    types = {t for route in ROUTES for t in (route.answer, route.body) if t is not None} | {Problem}
    ordered = sorted(types, key=lambda t: t.__name__)
    schemas, components = msgspec.json.schema_components(ordered, ref_template=_REFERENCES)
    references = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, references)
    return {
        "openapi": "3.1.0",
        "info": {"title": "vipcast control API", "version": str(SCHEMA)},
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(route: Route, references: dict[type, dict[str, Any]]) -> dict[str, Any]:
    media = "text/event-stream" if route.streams else route.media.partition(";")[0]
    plain = {"type": "object" if media == "application/json" else "string"}
    schema: dict[str, Any] = references[route.answer] if route.answer else plain
    problem = {"application/json": {"schema": references[Problem]}}
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": f"{route.method.lower()}_{route.path.rpartition('/')[2].partition('.')[0]}",
        "parameters": [_parameter(parameter) for parameter in route.parameters],
        "responses": {
            "200": {"description": route.summary, "content": {media: {"schema": schema}}},
            **{
                str(code): {"description": _MEANING[code], "content": problem}
                for code in sorted({400, 403, 500, *route.problems})
            },
        },
    }
    if route.body is not None:
        content = {"application/json": {"schema": references[route.body]}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "description": parameter.what,
        "schema": {"type": "integer" if parameter.integer else "string"},
    }
