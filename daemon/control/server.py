"""HTTP over the control socket: aiohttp in front, the daemon behind, limits and permissions between.

Handlers read from memory and return at once, or wait for the cluster (a proposal) without holding anything.  Every
answer that is not a success is a `Problem` with a sentence; what goes wrong inside is told to the log, and to the
client only by its number there.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from aiohttp import web

from daemon.control import handlers, socketfile
from daemon.control.access import Access, Peer, Right, peer_of
from daemon.control.asked import ApiError, Asked
from daemon.control.backend import Backend
from daemon.control.events import EventHub, TooManySubscribers
from daemon.control.routes import BODY_BYTES_MAX, ROUTES, Route
from daemon.control.schema import Event, Problem

logger = logging.getLogger("vipcast.control")

BODY_TIMEOUT_S = 10
"""a client has this long to send its body"""
STREAM_WRITE_TIMEOUT_S = 10
"""a listener that takes no bytes for this long is dropped"""
NOBODY_READS_THIS = 499
"""the status for the access log of a client that has left (nginx has the same)"""
STREAM_KEEPALIVE_S = 15
REQUESTS_MAX = 128
"""at the same time; one more is told to come back"""
SHUTDOWN_S = 1.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ControlServer:
    """Serves a backend on a unix socket until it is stopped."""

    def __init__(self, backend: Backend, hub: EventHub, path: Path, access: Access) -> None:
        self._backend = backend
        self._hub = hub
        self._path = path
        self._access = access
        self._requests = 0
        self._fault_numbers = itertools.count(1)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Make the socket and serve.  Raises SocketFileError."""
        listener = socketfile.listen(self._path, self._access)
        application = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[self._guard])
        for route in ROUTES:
            application.router.add_route(route.method, route.path, self._handler_of(route))
        self._runner = web.AppRunner(
            application, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_S
        )
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()

    async def stop(self) -> None:
        """Let every client go, close, and take the file away."""
        self._hub.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
            socketfile.remove(self._path)

    def _handler_of(self, route: Route) -> Handler:
        answer = handlers.HANDLERS.get((route.method, route.path))

        async def handle(request: web.Request) -> web.StreamResponse:
            self._require(request, route.needs)
            if route.streams:
                return await self._stream(request)
            assert answer is not None, f"no handler for {route.method} {route.path}"
            asked = Asked(route, dict(request.query), await _body_of(request, route), _peer(request))
            found = await answer(self._backend, asked)
            return _text(found, route) if isinstance(found, bytes) else _json(200, found)

        return handle

    def _require(self, request: web.Request, needed: Right) -> None:
        right = self._access.right_of(_peer(request))
        if right >= needed:
            return
        if right is Right.WRITE:
            raise ApiError(403, "forbidden", "this hands out the cluster's key: only root may do it")
        if right is Right.READ:
            raise ApiError(
                403,
                "forbidden",
                "members of the group vipcast-ro may look, not change; ask root or the group vipcast",
            )
        raise ApiError(
            403,
            "forbidden",
            "only root and members of the groups vipcast and vipcast-ro may use the control socket",
        )

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Whatever goes wrong becomes a Problem."""
        if self._requests >= REQUESTS_MAX:
            return _problem(ApiError(503, "busy", f"{REQUESTS_MAX} requests are being answered; try again"))
        self._requests += 1
        try:
            return await handler(request)
        except ApiError as error:
            return _problem(error)
        except web.HTTPException as error:
            return _problem(_translated(request, error))
        except asyncio.CancelledError:
            raise
        except ConnectionError:
            return web.Response(status=NOBODY_READS_THIS)
        except Exception:
            number = next(self._fault_numbers)
            logger.exception("control API fault %d: %s %s", number, request.method, request.path)
            sentence = (
                f"vipcastd failed to answer (fault {number}); its log has the details: journalctl -u vipcastd"
            )
            return _problem(ApiError(500, "internal", sentence))
        finally:
            self._requests -= 1

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events (WHATWG HTML, 9.2) until the client leaves, is too slow, or the server stops."""
        try:
            subscribed = contextlib.ExitStack()
            subscription = subscribed.enter_context(self._hub.subscribe())
        except TooManySubscribers as error:
            raise ApiError(503, "busy", f"{error}; try again later") from error
        with subscribed:
            response = web.StreamResponse(
                headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
            )
            await response.prepare(request)
            await response.write(_event(Event("hello", self._backend.status().applied_index)))
            while True:
                try:
                    event = await asyncio.wait_for(subscription.next(), STREAM_KEEPALIVE_S)
                    if event is None:
                        break
                    chunk = _event(event)
                except TimeoutError:
                    chunk = b": still here\n\n"
                try:
                    await asyncio.wait_for(response.write(chunk), STREAM_WRITE_TIMEOUT_S)
                except TimeoutError:
                    logger.warning("a client of /v1/events took nothing for %d s: dropped", STREAM_WRITE_TIMEOUT_S)
                    if request.transport is not None:
                        request.transport.abort()
                    break
            return response


def _peer(request: web.Request) -> Peer:
    connection: socket.socket | None = request.transport.get_extra_info("socket") if request.transport else None
    if connection is None:
        raise ConnectionResetError("the client left")
    return peer_of(connection)


async def _body_of(request: web.Request, route: Route) -> bytes:
    if route.body is None:
        return b""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except TimeoutError as error:
        raise ApiError(
            400, "bad-request", f"the request's body did not arrive within {BODY_TIMEOUT_S} s"
        ) from error


def _translated(request: web.Request, error: web.HTTPException) -> ApiError:
    if error.status == 404:
        paths = ", ".join(sorted({route.path for route in ROUTES}))
        return ApiError(404, "not-found", f"there is no {request.path}; there are {paths}")
    if error.status == 405:
        allowed = ", ".join(sorted(route.method for route in ROUTES if route.path == request.path))
        return ApiError(405, "bad-request", f"{request.path} takes {allowed}, not {request.method}")
    if error.status == 413:
        return ApiError(413, "too-large", f"a request may have {BODY_BYTES_MAX} bytes")
    return ApiError(error.status, "bad-request", error.reason)


def _event(event: Event) -> bytes:
    return b"event: " + event.kind.encode() + b"\ndata: " + msgspec.json.encode(event) + b"\n\n"


def _json(status: int, document: object) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(document), content_type="application/json")


def _text(body: bytes, route: Route) -> web.Response:
    return web.Response(body=body, headers={"Content-Type": route.media})


def _problem(error: ApiError) -> web.Response:
    return _json(error.status, Problem(error.sentence, error.code, error.findings, error.epoch))
