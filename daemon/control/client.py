"""The control socket from the other side: blocking, for the command line and for scripts.

Only http.client and msgspec: a command that is typed all day must start at once.
"""

from __future__ import annotations

import errno
import http.client
import os
import socket
from collections.abc import Generator, Mapping
from typing import TypeVar
from urllib.parse import urlencode

import msgspec

from daemon.control.schema import (
    Accepted,
    AgentDocument,
    CleanupRequest,
    ConfigurationDocument,
    ConfirmFencedRequest,
    DrainRequest,
    EditRequest,
    EntriesDocument,
    Event,
    ExplainDocument,
    FencingConfirmed,
    KeysDocument,
    LogDocument,
    Problem,
    QuorumDocument,
    ReloadDocument,
    RemoveNodeRequest,
    RotateRequest,
    SnapshotDocument,
    StatusDocument,
    TokenDocument,
    TokenRequest,
    ViewDocument,
    WhoDocument,
)

SOCKET_PATH = "/run/vipcast/control.sock"
SOCKET_VARIABLE = "VIPCAST_SOCKET"
TIMEOUT_S = 30.0
"""longer than the server waits for the cluster"""
ANSWER_BYTES_MAX = 64 << 20

_Document = TypeVar("_Document")


class ControlError(Exception):
    """The daemon cannot be asked; the text says why and what to do."""


class RefusalError(ControlError):
    """The daemon answered no: status code of HTTP and its reasons."""

    def __init__(self, status: int, problem: Problem) -> None:
        super().__init__(problem.error)
        self.status = status
        self.problem = problem


def default_socket_path() -> str:
    return os.environ.get(SOCKET_VARIABLE) or SOCKET_PATH


class ControlClient:
    """One request, one connection: a daemon that restarts between two of them is no trouble."""

    def __init__(self, path: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self.path = path or default_socket_path()
        self._timeout_s = timeout_s

    def status(self) -> StatusDocument:
        return _decode(StatusDocument, self._exchange("GET", "/v1/status"))

    def status_json(self) -> bytes:
        """The document as the daemon sent it, with what a newer one knows and this client does not."""
        return self._exchange("GET", "/v1/status")

    def quorum(self) -> QuorumDocument:
        return _decode(QuorumDocument, self._exchange("GET", "/v1/quorum"))

    def configuration(self) -> ConfigurationDocument:
        return _decode(ConfigurationDocument, self._exchange("GET", "/v1/configuration"))

    def replace_configuration(self, request: EditRequest) -> Accepted:
        """Raises RefusalError: 409 when the epoch has moved on, 422 with findings, 503 without quorum."""
        return _decode(Accepted, self._exchange("POST", "/v1/configuration", msgspec.json.encode(request)))

    def cleanup(self, request: CleanupRequest) -> Accepted:
        return _decode(Accepted, self._exchange("POST", "/v1/cleanup", msgspec.json.encode(request)))

    def refresh(self, request: CleanupRequest) -> Accepted:
        return _decode(Accepted, self._exchange("POST", "/v1/refresh", msgspec.json.encode(request)))

    def remove_node(self, request: RemoveNodeRequest) -> Accepted:
        """Raises RefusalError: 422 for an unknown node or the last one, 503 without quorum."""
        return _decode(Accepted, self._exchange("POST", "/v1/remove-node", msgspec.json.encode(request)))

    def drain(self, request: DrainRequest) -> Accepted:
        """Raises RefusalError: 422 for what there is not and for the last host, 503 without quorum."""
        return _decode(Accepted, self._exchange("POST", "/v1/drain", msgspec.json.encode(request)))

    def confirm_fenced(self, request: ConfirmFencedRequest) -> FencingConfirmed:
        """Raises RefusalError: 422 for an unknown node, and where its vote would not count."""
        body = msgspec.json.encode(request)
        return _decode(FencingConfirmed, self._exchange("POST", "/v1/confirm-fenced", body))

    def who(
        self,
        client: str,
        port: int | None = None,
        address: str | None = None,
        destination_port: int | None = None,
    ) -> WhoDocument:
        query = {"client": client, "port": port, "address": address, "destination_port": destination_port}
        return _decode(WhoDocument, self._exchange("GET", _with_query("/v1/who", query)))

    def log(self, since: int | None = None, limit: int | None = None) -> LogDocument:
        return _decode(LogDocument, self._exchange("GET", _with_query("/v1/log", {"since": since, "limit": limit})))

    def entries(self, since: int) -> EntriesDocument:
        return _decode(EntriesDocument, self._exchange("GET", _with_query("/v1/entries", {"since": since})))

    def snapshot(self, at: int) -> SnapshotDocument:
        """Raises RefusalError: 404 when nothing so old is kept."""
        return _decode(SnapshotDocument, self._exchange("GET", _with_query("/v1/snapshot", {"at": at})))

    def explain(self, resource: str, node: str | None = None) -> ExplainDocument:
        query = {"resource": resource, "node": node}
        return _decode(ExplainDocument, self._exchange("GET", _with_query("/v1/explain", query)))

    def agent(self, name: str) -> AgentDocument:
        """Raises RefusalError: 404 when the agent is not there or does not describe itself, 503 when unasked."""
        return _decode(AgentDocument, self._exchange("GET", _with_query("/v1/agent", {"agent": name})))

    def keys(self) -> KeysDocument:
        return _decode(KeysDocument, self._exchange("GET", "/v1/keys"))

    def rotate_key(self, request: RotateRequest) -> KeysDocument:
        return _decode(KeysDocument, self._exchange("POST", "/v1/rotate-key", msgspec.json.encode(request)))

    def reload(self) -> ReloadDocument:
        """Raises RefusalError: 422 where the settings are wrong."""
        return _decode(ReloadDocument, self._exchange("POST", "/v1/reload"))

    def token(self, request: TokenRequest) -> TokenDocument:
        return _decode(TokenDocument, self._exchange("POST", "/v1/token", msgspec.json.encode(request)))

    def view(self) -> ViewDocument:
        return _decode(ViewDocument, self._exchange("GET", "/v1/view"))

    def openapi(self) -> bytes:
        return self._exchange("GET", "/v1/openapi.json")

    def metrics(self) -> bytes:
        """In Prometheus' text format."""
        return self._exchange("GET", "/metrics")

    def events(self) -> Generator[Event, None, None]:
        """Changes as they happen; ends when the daemon closes the stream.

        The first call of `next` connects; what happens after it is not missed.
        """
        connection = self._connect()
        try:
            response = self._ask(connection, "GET", "/v1/events", None)
            if response.status != http.client.OK:
                raise _refusal(response.status, response.read(ANSWER_BYTES_MAX))
            data = b""
            while line := response.readline():
                if line.startswith(b"data: "):
                    data += line[6:].rstrip(b"\n")
                elif line == b"\n" and data:
                    yield _decode(Event, data)
                    data = b""
        except (OSError, http.client.HTTPException) as error:
            raise self._broken(error) from error
        finally:
            connection.close()

    def _exchange(self, method: str, target: str, body: bytes | None = None) -> bytes:
        connection = self._connect()
        try:
            response = self._ask(connection, method, target, body)
            answer = response.read(ANSWER_BYTES_MAX)
            if response.length:  # what should have followed; read(n) does not miss it
                raise http.client.IncompleteRead(answer, response.length)
        except (OSError, http.client.HTTPException) as error:
            raise self._broken(error) from error
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise _refusal(response.status, answer)
        return answer

    def _ask(
        self, connection: http.client.HTTPConnection, method: str, target: str, body: bytes | None
    ) -> http.client.HTTPResponse:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, target, body, headers)
        return connection.getresponse()

    def _connect(self) -> http.client.HTTPConnection:
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        channel.settimeout(self._timeout_s)
        try:
            channel.connect(self.path)
        except OSError as error:
            channel.close()
            raise ControlError(self._unreachable(error)) from error
        connection = http.client.HTTPConnection("localhost", timeout=self._timeout_s)
        connection.sock = channel
        return connection

    def _unreachable(self, error: OSError) -> str:
        if error.errno in {errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR}:
            return (
                f"vipcastd does not answer on {self.path}: is it running on this host? "
                f"(systemctl status vipcastd; another socket: --socket PATH or {SOCKET_VARIABLE})"
            )
        if error.errno in {errno.EACCES, errno.EPERM}:
            return (
                f"you may not use {self.path}: run this as root, or join the group vipcast (to change) "
                "or vipcast-ro (to look)"
            )
        return f"cannot connect to {self.path}: {error.strerror or error}"

    def _broken(self, error: Exception) -> ControlError:
        if isinstance(error, TimeoutError):
            return ControlError(f"vipcastd on {self.path} did not answer within {self._timeout_s:g} s")
        return ControlError(
            f"vipcastd on {self.path} broke the connection off ({error}): has it just been stopped?"
        )


def _with_query(path: str, query: Mapping[str, str | int | None]) -> str:
    return f"{path}?{urlencode({name: value for name, value in query.items() if value is not None})}"


def _decode(kind: type[_Document], answer: bytes) -> _Document:
    try:
        return msgspec.json.decode(answer, type=kind)
    except (ValueError, RecursionError) as error:
        raise ControlError(
            f"vipcastd answered something that this vipcast cannot read ({error}): are both of the same version?"
        ) from error


def _refusal(status: int, answer: bytes) -> ControlError:
    try:
        return RefusalError(status, msgspec.json.decode(answer, type=Problem))
    except (ValueError, RecursionError):
        return ControlError(f"vipcastd answered with HTTP status {status} and no explanation")
