"""Scores, booleans and durations: what they mean, and that nonsense is named."""

import pytest

from daemon.model.configuration import INFINITY
from daemon.model.values import (
    BadValue,
    add_scores,
    format_score,
    parse_boolean,
    parse_duration_ms,
    parse_integer,
    parse_score,
    sum_scores,
)


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("INFINITY", INFINITY),
        ("+INFINITY", INFINITY),
        ("-INFINITY", -INFINITY),
        ("0", 0),
        ("-50", -50),
        ("+50", 50),
        ("1000001", INFINITY),
        ("-" + "9" * 5000, -INFINITY),
        ("0" * 30 + "7", 7),
        ("red", -INFINITY),
    ],
)
def test_a_score_is_read_and_saturates(text: str, score: int) -> None:
    assert parse_score(text) == score


@pytest.mark.parametrize("text", ["", "inf", "1.0", "5x", "--5", "٣", "INFINITYX"])
def test_what_is_no_score_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadValue, match="is not a score"):
        parse_score(text)


def test_minus_infinity_wins_against_infinity() -> None:
    assert add_scores(INFINITY, -INFINITY) == -INFINITY
    assert add_scores(INFINITY, -5) == INFINITY
    assert add_scores(INFINITY - 1, 5) == INFINITY
    assert sum_scores([10, INFINITY, -INFINITY, INFINITY]) == -INFINITY
    assert format_score(-INFINITY) == "-INFINITY"
    assert format_score(12) == "12"


@pytest.mark.parametrize("text", ["true", "TRUE", "on", "Yes", "y", "1"])
def test_words_for_true(text: str) -> None:
    assert parse_boolean(text) is True


@pytest.mark.parametrize("text", ["false", "off", "NO", "n", "0"])
def test_words_for_false(text: str) -> None:
    assert parse_boolean(text) is False


@pytest.mark.parametrize("text", ["", "maybe", "2", "tru"])
def test_other_words_are_no_booleans(text: str) -> None:
    with pytest.raises(BadValue, match="is not a boolean"):
        parse_boolean(text)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("10", 10_000),
        ("10s", 10_000),
        ("10 sec", 10_000),
        ("500ms", 500),
        ("1500us", 1),
        ("2min", 120_000),
        ("2m", 120_000),
        ("1h", 3_600_000),
        ("PT10S", 10_000),
        ("P10S", 10_000),
        ("PT1M30S", 90_000),
        ("P1DT1H", 90_000_000),
        ("P2W", 1_209_600_000),
        ("0", 0),
        ("INFINITY", 1_000_000_000),
    ],
)
def test_a_duration_is_read_in_milliseconds(text: str, ms: int) -> None:
    assert parse_duration_ms(text) == ms


@pytest.mark.parametrize("text", ["", "s", "10x", "-5s", "P", "PT", "1.5s", "10s10", "9" * 50, "bad"])
def test_what_is_no_duration_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadValue, match="is not a time"):
        parse_duration_ms(text)


def test_an_integer_has_at_most_18_digits_and_no_point() -> None:
    assert parse_integer("-12") == -12
    for text in ("1.5", "9" * 20, ""):
        with pytest.raises(BadValue, match="is not an integer"):
            parse_integer(text)
