"""Whatever is edited in whatever order: nothing wrong gets in, nothing is lost at the border, refusals say why."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.model.changes import describe_change, digest
from daemon.model.cib import read_configuration, write_cib
from daemon.model.configuration import Configuration
from daemon.model.findings import Refused, errors_of
from daemon.model.validation import validate
from tests.property.model_edits import Edit, edits, populated


@settings(max_examples=150, deadline=None)
@given(st.lists(edits, min_size=1, max_size=25))
def test_any_sequence_of_edits_leaves_a_configuration_without_errors(steps: list[tuple[str, Edit]]) -> None:
    configuration = populated()
    for said, edit in steps:
        before = configuration.model_dump_json()
        try:
            changed = edit(configuration)
        except Refused as refused:
            if not errors_of(refused.findings) or not str(refused).startswith(("Error: ", "Warning: ")):
                raise
            changed = configuration
        assert configuration.model_dump_json() == before, f"{said} changed the tree that it was given"
        assert errors_of(validate(changed)) == (), said
        assert read_configuration(write_cib(changed, epoch=1)) == changed, said
        assert Configuration.model_validate_json(changed.model_dump_json()) == changed, said
        assert bool(describe_change(configuration, changed)) == (changed != configuration), said
        assert (digest(changed) == digest(configuration)) == (changed == configuration), said
        configuration = changed
