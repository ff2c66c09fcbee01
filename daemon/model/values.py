"""The notations of Pacemaker's option values: scores, booleans, durations.

The configuration keeps what the administrator wrote; these functions say what it means.  Each raises `BadValue`, a
`ValueError` whose text names the value and what was expected of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from daemon.model.configuration import INFINITY


class BadValue(ValueError):  # noqa: N818 - as `Refused`, it is what the reader is told
    """A value that is none; the text is fit for an administrator."""


TRUE_WORDS = frozenset({"true", "on", "yes", "y", "1"})
FALSE_WORDS = frozenset({"false", "off", "no", "n", "0"})

SCORE_COLOURS = {"red": -INFINITY, "yellow": 0, "green": 0}
"""Health scores by their old names; what yellow and green are worth, the cluster properties may change."""

_INTEGER = re.compile(r"[+-]?[0-9]+")
_DURATION = re.compile(r"([0-9]+)\s*([A-Za-z]*)")
_UNITS_US = {
    "us": 1,
    "usec": 1,
    "ms": 1_000,
    "msec": 1_000,
    "": 1_000_000,
    "s": 1_000_000,
    "sec": 1_000_000,
    "m": 60_000_000,
    "min": 60_000_000,
    "h": 3_600_000_000,
    "hr": 3_600_000_000,
}
_ISO_DURATION = re.compile(
    r"P(?=.)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?"
    r"(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?|(?:(\d+)H)?(?:(\d+)S)?)"
)
# Months and years have no fixed length; where only a span is asked for, they count 30 and 365 days.
# Pacemaker also takes hours and seconds without the T (P10S), hence the last two.
_ISO_SECONDS = (365 * 86_400, 30 * 86_400, 7 * 86_400, 86_400, 3_600, 60, 1, 3_600, 1)


def parse_score(text: str) -> int:
    """A score from -INFINITY to +INFINITY; integers beyond saturate.

    Accepts `INFINITY`, `+INFINITY`, `-INFINITY`, integers, and Pacemaker's `red`, `yellow`, `green`.
    """
    word = text.strip()
    if word in {"INFINITY", "+INFINITY"}:
        return INFINITY
    if word == "-INFINITY":
        return -INFINITY
    if word in SCORE_COLOURS:
        return SCORE_COLOURS[word]
    if not _INTEGER.fullmatch(word):
        raise BadValue(f"'{text}' is not a score, use an integer or INFINITY or -INFINITY")
    if len(word) > len("-1000000"):  # spares the conversion of a number of a million digits
        digits = word.lstrip("+-").lstrip("0") or "0"
        if len(digits) > len("1000000"):
            return -INFINITY if word.startswith("-") else INFINITY
    return clamp_score(int(word))


def parse_written_score(text: str) -> int:
    """As `parse_score`, for what is being written now: an integer beyond ±1,000,000 is out of range."""
    score = parse_score(text)
    word = text.strip()
    if abs(score) >= INFINITY and _INTEGER.fullmatch(word) and (word.lstrip("+-").lstrip("0") != str(INFINITY)):
        raise BadValue(f"'{text}' is out of range, scores go from -{INFINITY} to {INFINITY}")
    return score


def clamp_score(score: int) -> int:
    return max(-INFINITY, min(INFINITY, score))


def add_scores(left: int, right: int) -> int:
    """Saturating sum: -INFINITY wins against everything, then INFINITY against every finite score."""
    if left <= -INFINITY or right <= -INFINITY:
        return -INFINITY
    if left >= INFINITY or right >= INFINITY:
        return INFINITY
    return clamp_score(left + right)


def sum_scores(scores: Iterable[int]) -> int:
    total = 0
    for score in scores:
        total = add_scores(total, score)
    return total


def format_score(score: int) -> str:
    """`INFINITY`, `-INFINITY` or the integer, as the CIB writes it."""
    if score >= INFINITY:
        return "INFINITY"
    if score <= -INFINITY:
        return "-INFINITY"
    return str(score)


def parse_boolean(text: str) -> bool:
    """Pacemaker's booleans, in any case: true, on, yes, y, 1 and false, off, no, n, 0."""
    word = text.strip().lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise BadValue(f"'{text}' is not a boolean, use true or false")


def parse_integer(text: str) -> int:
    """A decimal integer of at most 18 digits."""
    word = text.strip()
    if not _INTEGER.fullmatch(word) or len(word) > 19:
        raise BadValue(f"'{text}' is not an integer")
    return int(word)


def parse_duration_ms(text: str) -> int:
    """A time span in milliseconds, rounded down.

    `10s`, `500ms`, `2min`, `1h`, a plain number (seconds), or ISO 8601 as in `PT1M30S`.
    """
    word = text.strip()
    if word.upper() in {"INFINITY", "+INFINITY"}:
        return INFINITY * 1_000
    if len(word) <= 40:  # no time span that anybody means is longer
        if word.startswith("P") and (iso := _ISO_DURATION.fullmatch(word)):
            counts = [int(group or 0) for group in iso.groups()]
            return 1_000 * sum(n * seconds for n, seconds in zip(counts, _ISO_SECONDS, strict=True))
        plain = _DURATION.fullmatch(word)
        if plain and plain[2].lower() in _UNITS_US:
            return int(plain[1]) * _UNITS_US[plain[2].lower()] // 1_000
    raise BadValue(f"'{text}' is not a time, use a number with a unit (10s, 500ms, 2min, 1h) or ISO 8601 (PT10S)")
