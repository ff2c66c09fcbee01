"""Frames of `agents.protocol` on an asyncio stream: 4 bytes of length, then MessagePack."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

import msgspec

from agents.protocol import FRAME_BYTES_MAX, FromRunner, ToRunner

T = TypeVar("T")

_LENGTH_BYTES = 4
_encoder = msgspec.msgpack.Encoder()


class FrameError(Exception):
    """The other side does not speak this protocol; the connection is of no more use."""


class FrameReader(Generic[T]):
    """Reads frames of one direction."""

    def __init__(self, stream: asyncio.StreamReader, decoder: msgspec.msgpack.Decoder[T]) -> None:
        self._stream = stream
        self._decoder = decoder

    async def read(self) -> T | None:
        """The next message; None where the other side has closed.  Raises FrameError and OSError."""
        try:
            length = int.from_bytes(await self._stream.readexactly(_LENGTH_BYTES), "big")
            if length > FRAME_BYTES_MAX:
                raise FrameError(f"a frame of {length} bytes; {FRAME_BYTES_MAX} is the most")
            body = await self._stream.readexactly(length)
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise FrameError("the connection ended within a frame") from None
            return None
        try:
            return self._decoder.decode(body)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise FrameError(f"not a message of this protocol: {error}") from None


def frames_to_runner(stream: asyncio.StreamReader) -> FrameReader[ToRunner]:
    """What the runner reads."""
    return FrameReader(stream, msgspec.msgpack.Decoder(ToRunner))


def frames_from_runner(stream: asyncio.StreamReader) -> FrameReader[FromRunner]:
    """What the core reads."""
    return FrameReader(stream, msgspec.msgpack.Decoder(FromRunner))


def encode_frame(message: ToRunner | FromRunner) -> bytes:
    """Raises FrameError for a message that the other side would refuse for its length."""
    body = _encoder.encode(message)
    if len(body) > FRAME_BYTES_MAX:
        raise FrameError(f"a {type(message).__name__} of {len(body)} bytes; {FRAME_BYTES_MAX} is the most")
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body
