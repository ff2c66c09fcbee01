"""docs/reference/status.schema.json: `python -m daemon.control.schemafile > docs/…`."""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec

from daemon.control.schema import SCHEMA, StatusDocument


def status_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of what `vipcast status --json` and `GET /v1/status` answer."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:vipcast:status:{SCHEMA}",
        "title": f"vipcast status, version {SCHEMA}",
        "description": (
            "The version is the document's field `schema`. It rises when a field goes away or changes its meaning;"
            " new fields come without notice."
        ),
        **msgspec.json.schema(StatusDocument),
    }


def text() -> str:
    """The whole file."""
    return json.dumps(status_schema(), indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
