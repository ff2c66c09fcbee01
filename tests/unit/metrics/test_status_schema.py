"""`vipcast status --json` keeps to the schema that the reference has."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from daemon.control.schema import SCHEMA
from daemon.control.schemafile import text
from tests.unit.control.living import StateBackend, living
from tests.unit.executor.cluster import shared
from tests.unit.metrics.test_exposition import backend_with

FILE = Path(__file__).parents[3] / "docs" / "reference" / "status.schema.json"


def test_the_file_is_up_to_date() -> None:
    assert FILE.read_text() == text(), "python -m daemon.control.schemafile > docs/reference/status.schema.json"


@pytest.mark.parametrize("backend", [StateBackend(), backend_with(shared(slots=8))], ids=["empty", "serving"])
def test_a_real_answer_is_valid(backend: StateBackend) -> None:
    with living(backend) as alive:
        answer = json.loads(alive.client.status_json())
    jsonschema.validate(answer, json.loads(FILE.read_text()))
    assert answer["schema"] == SCHEMA


def test_an_answer_without_its_leader_is_not() -> None:
    with living() as alive:
        answer = json.loads(alive.client.status_json())
    del answer["leader"]
    with pytest.raises(jsonschema.ValidationError, match="leader"):
        jsonschema.validate(answer, json.loads(FILE.read_text()))
