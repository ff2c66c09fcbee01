"""Of several attribute sets that say different things: which one counts, and what an edit does about it."""

from __future__ import annotations

from daemon.definition import meta_of, parameters_of
from daemon.model.configuration import AttributeSet, Configuration, Primitive, Rule
from daemon.model.edits.resources import set_meta
from daemon.model.precedence import merged


def stated(name: str, score: str | None = None, rule: Rule | None = None, **values: str) -> AttributeSet:
    return AttributeSet(
        id=name, score=score, rule=rule, values={key.replace("_", "-"): value for key, value in values.items()}
    )


def test_the_last_of_equal_sets_counts() -> None:
    assert merged((stated("one", a="1", b="1"), stated("two", a="2"))) == {"a": "2", "b": "1"}


def test_a_higher_score_comes_before_a_later_place() -> None:
    assert merged((stated("one", score="5", a="1"), stated("two", score="bad", a="2"))) == {"a": "1"}
    assert merged((stated("one", a="1"), stated("two", score="-INFINITY", a="2"))) == {"a": "1"}


def test_bootstrap_options_come_before_all_others() -> None:
    sets = (stated("cib-bootstrap-options", a="1"), stated("other", score="INFINITY", a="2"))
    assert merged(sets) == {"a": "1"}


def test_what_a_resource_says_itself_counts_more_than_its_template() -> None:
    template = Primitive(
        id="t", standard="ocf", provider="heartbeat", type="Dummy", instance=(stated("ti", state="t", fake="t"),)
    )
    one = Primitive(id="r", template="t", instance=(stated("ri", state="r"),), meta=(stated("rm", priority="1"),))
    configuration = Configuration(
        templates=(template,), resources=(one,), resource_defaults=(stated("d", score="9", priority="2"),)
    )
    assert parameters_of(configuration, one) == {"state": "r", "fake": "t"}
    assert meta_of(configuration, "r") == {"priority": "1"}


def configured(*meta: AttributeSet) -> Configuration:
    one = Primitive(id="r", standard="ocf", provider="heartbeat", type="Dummy", meta=meta)
    return Configuration(resources=(one,))


def test_an_edit_counts_although_a_later_set_said_otherwise() -> None:
    before = configured(stated("one", priority="1"), stated("two", priority="2", is_managed="false"))
    after = set_meta(before, resource="r", meta={"priority": "3"})
    assert merged(after.resources[0].meta) == {"priority": "3", "is-managed": "false"}


def test_what_is_taken_away_does_not_come_back_from_another_set() -> None:
    before = configured(stated("one", is_managed="false"), stated("two", priority="2"))
    after = set_meta(before, resource="r", meta={"priority": ""})
    assert merged(after.resources[0].meta) == {"is-managed": "false"}


def test_an_edit_does_not_go_into_a_set_that_counts_only_at_times() -> None:
    at_times = stated("one", rule=Rule(id="at-times"), priority="1")
    after = set_meta(configured(at_times), resource="r", meta={"priority": "3"})
    assert at_times in after.resources[0].meta
    assert merged(after.resources[0].meta) == {"priority": "3"}
