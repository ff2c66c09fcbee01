"""The token survives being pasted, and says what happened to it when it did not."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.cluster.enrolment.token import SECRET_BYTES, Token, TokenError, parse

TOKEN = Token(IPv4Address("239.192.110.1"), IPv4Address("192.0.2.11"), 5405, bytes(range(SECRET_BYTES)))
secrets = st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES)


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(0, 65535), secrets)
def test_a_token_comes_back_from_its_line(
    group: IPv4Address, address: IPv4Address, port: int, secret: bytes
) -> None:
    token = Token(group, address, port, secret)
    assert parse(str(token)) == token


def test_it_is_one_word_of_plain_letters_and_digits() -> None:
    line = str(TOKEN)
    assert line.isascii()
    assert line.replace("-", "").isalnum()
    assert len(line) < 64


@pytest.mark.parametrize("mangle", ["  {0} \n", "{1}", "{2}"])
def test_blanks_line_breaks_and_capitals_do_not_matter(mangle: str) -> None:
    line = str(TOKEN)
    assert parse(mangle.format(line, line.upper(), f"{line[:20]}\n  {line[20:]}")) == TOKEN


@given(st.integers(8, len(str(TOKEN)) - 1), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_every_wrong_character_is_called_a_miscopy(place: int, character: str) -> None:
    line = str(TOKEN)
    changed = line[:place] + character + line[place + 1 :]
    if parse_or_none(changed) == TOKEN:  # the same character, or unused bits of the last one
        return
    with pytest.raises(TokenError, match="miscopied"):
        parse(changed)


def parse_or_none(line: str) -> Token | None:
    try:
        return parse(line)
    except TokenError:
        return None


@given(st.text(max_size=80))
def test_whatever_is_typed_is_a_token_error(text: str) -> None:
    with pytest.raises(TokenError):
        parse(text)
    with pytest.raises(TokenError):
        parse("vipcast-" + text)


def test_a_token_that_was_cut_off_is_told_from_one_with_a_typing_error() -> None:
    with pytest.raises(TokenError, match="cut off"):
        parse(str(TOKEN)[:-1])
    with pytest.raises(TokenError, match="longer"):
        parse(str(TOKEN) + "a")


def test_the_secret_does_not_reach_a_log_by_accident() -> None:
    assert TOKEN.secret.hex() not in repr(TOKEN)
    assert str(TOKEN) not in repr(TOKEN)
