"""The join token: one line that a person copies from one host's terminal to another's.

    vipcast- ‖ base32( version (1) ‖ group (4) ‖ address (4) ‖ port (2) ‖ secret (16) ‖ checksum (4) )

in lower case.  It says where the cluster is to be found (the group of its first link, and the address there of the
daemon that printed it, for networks that swallow multicast) and has the secret that both sides prove to each other.
The checksum is for typing errors alone: a line that was miscopied is told apart from one that is no longer valid.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

PREFIX = "vipcast-"
VERSION = 1
SECRET_BYTES = 16

_BODY = struct.Struct(f"!B4s4sH{SECRET_BYTES}s")
_CHECKSUM_BYTES = 4
_CHARACTERS = len(base64.b32encode(bytes(_BODY.size + _CHECKSUM_BYTES)).rstrip(b"="))


class TokenError(ValueError):
    """The line is no token that this program can use; the text says what is wrong with it, and the remedy."""


@dataclass(frozen=True, slots=True)
class Token:
    group: IPv4Address
    """0.0.0.0: the first link has no multicast"""
    address: IPv4Address
    """of the daemon that printed it, on the first link; 0.0.0.0: not known"""
    port: int
    secret: bytes

    def __str__(self) -> str:
        body = _BODY.pack(VERSION, self.group.packed, self.address.packed, self.port, self.secret)
        return PREFIX + base64.b32encode(body + _checksum(body)).decode().rstrip("=").lower()

    def __repr__(self) -> str:
        return f"Token({self.group}, {self.address}, {self.port}, secret withheld)"


def parse(text: str) -> Token:
    """The token in a line, as it was pasted: blanks, line breaks and capitals do not matter.  Raises TokenError."""
    squeezed = "".join(text.split()).lower()
    if not squeezed.startswith(PREFIX):
        raise TokenError(
            f"this is no token: one begins with '{PREFIX}'; print one with 'vipcast cluster token' on a member"
        )
    characters = squeezed.removeprefix(PREFIX)
    if len(characters) != _CHARACTERS:
        amount = "cut off" if len(characters) < _CHARACTERS else "longer than it was printed"
        raise TokenError(
            f"the token is {amount}: {len(characters)} characters after '{PREFIX}' where {_CHARACTERS} belong;"
            " copy the whole line again"
        )
    try:
        raw = base64.b32decode(characters.upper() + "=" * (-len(characters) % 8))
    except binascii.Error:
        raise TokenError(
            "the token was miscopied: it has only letters and the digits 2 to 7; copy it again"
        ) from None
    body, checksum = raw[: _BODY.size], raw[_BODY.size :]
    if checksum != _checksum(body):
        raise TokenError(
            "the token was miscopied: its checksum does not fit; copy the line again, as it was printed"
        )
    version, group, address, port, secret = _BODY.unpack(body)
    if version != VERSION:
        raise TokenError(
            f"the token has format {version}, this vipcast knows format {VERSION}: install the cluster's version here"
        )
    return Token(IPv4Address(group), IPv4Address(address), port, secret)


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(b"vipcast token" + body).digest()[:_CHECKSUM_BYTES]
