"""What each route answers: functions from the backend and a checked question to a document, without HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

import msgspec
from pydantic import ValidationError

from daemon.cluster.enrolment.desk import TTL_NS_MAX, TTL_NS_MIN, USES_MAX
from daemon.control import explain as explanations
from daemon.control import metrics, quorumdoc, viewdoc
from daemon.control import openapi as description
from daemon.control import who as ownership
from daemon.control.asked import AUTHOR_CHARACTERS_MAX, ApiError, Asked
from daemon.control.backend import (
    AgentNotAsked,
    Backend,
    Committed,
    Conflict,
    NoQuorum,
    NoSuchAgent,
    Outcome,
    Refused,
    Unknown,
)
from daemon.control.routes import BODY_BYTES_MAX, LOG_ENTRIES_MAX
from daemon.control.schema import (
    Accepted,
    CleanupRequest,
    ConfirmFencedRequest,
    DrainRequest,
    EditRequest,
    EntriesDocument,
    LogDocument,
    RemoveNodeRequest,
    ResourceStatus,
    RotateRequest,
    SnapshotDocument,
    StatusDocument,
    TokenRequest,
)
from daemon.model.configuration import Configuration
from daemon.model.findings import Finding, error, errors_of
from daemon.model.validation import validate
from daemon.state.commands import Cleanup, Drain, Edit, Refresh, RemoveNode, StateCommand

PROPOSAL_TIMEOUT_MS = 10_000
"""an election takes well under a second: who has no outcome by then has no quorum"""
LOG_ENTRIES_DEFAULT = 200
ENTRIES_BYTES = 1 << 20
"""an answer of /v1/entries ends with the entry that reaches it"""
COMMENT_CHARACTERS_MAX = 4096
CONFIGURATION_BYTES_MAX = BODY_BYTES_MAX - 4 * (COMMENT_CHARACTERS_MAX + AUTHOR_CHARACTERS_MAX) - 1024
"""what is left for it in an entry of the log, beside author, comment (in UTF-8) and the entry's own parts"""
NS_PER_MS = 1_000_000


async def get_status(backend: Backend, asked: Asked) -> object:
    asked.refuse_unknown_words()
    return backend.status()


async def get_quorum(backend: Backend, asked: Asked) -> object:
    """Facts are taken at once; a plan for each node takes its time beside the loop."""
    asked.refuse_unknown_words()
    return await asyncio.to_thread(quorumdoc.build, backend.quorum())


async def get_configuration(backend: Backend, asked: Asked) -> object:
    asked.refuse_unknown_words()
    return backend.configuration()


async def post_configuration(backend: Backend, asked: Asked) -> object:
    """Check the new tree as a whole, then bring it into the log."""
    asked.refuse_unknown_words()
    edit = asked.decoded(EditRequest)
    epoch = backend.configuration().epoch
    if edit.base_epoch is not None and edit.base_epoch < epoch:
        raise _moved_on(epoch)  # epochs only rise: the log need not be asked
    # Thousands of resources take longer to check than a heartbeat may wait: in a thread they share the time.
    body, findings = await asyncio.to_thread(_checked, bytes(edit.configuration))
    comment = "".join(c for c in edit.comment if c.isprintable())[:COMMENT_CHARACTERS_MAX]
    command = Edit(edit.base_epoch, body, asked.author(edit.author), comment)
    return await _propose(backend, command, findings)


def _checked(document: bytes) -> tuple[bytes, tuple[Finding, ...]]:
    """A configuration as the log will carry it, and its warnings.  Raises ApiError with all that is wrong."""
    try:
        configuration = Configuration.model_validate_json(document)
    except ValidationError as problem:
        wrong = tuple(_shape_finding(details["loc"], details["msg"]) for details in problem.errors())
        raise ApiError(422, "refused", "this is not a configuration; nothing has changed", wrong) from problem
    except RecursionError as problem:
        raise ApiError(400, "bad-request", "the configuration is nested too deeply") from problem
    body = configuration.model_dump_json().encode()
    if len(body) > CONFIGURATION_BYTES_MAX:
        sentence = f"the configuration has {len(body)} bytes as JSON, the log takes {CONFIGURATION_BYTES_MAX}"
        raise ApiError(413, "too-large", sentence)
    findings = tuple(validate(configuration))
    if errors_of(findings):
        raise ApiError(422, "refused", "the configuration has errors; nothing has changed", findings)
    return body, findings


async def post_cleanup(backend: Backend, asked: Asked) -> object:
    asked.refuse_unknown_words()
    request = asked.decoded(CleanupRequest)
    _known(backend, request)
    return await _propose(backend, Cleanup(request.resource, request.node, asked.author(request.author)))


async def post_refresh(backend: Backend, asked: Asked) -> object:
    asked.refuse_unknown_words()
    request = asked.decoded(CleanupRequest)
    _known(backend, request)
    return await _propose(backend, Refresh(request.resource, request.node, asked.author(request.author)))


async def post_remove_node(backend: Backend, asked: Asked) -> object:
    """An unknown node needs no entry in the log; the last one is refused by the state, which alone is sure."""
    asked.refuse_unknown_words()
    request = asked.decoded(RemoveNodeRequest)
    names = [node.name for node in backend.status().nodes]
    if request.node not in names:
        raise ApiError(422, "refused", _no_node(request.node, names))
    return await _propose(backend, RemoveNode(request.node, asked.author(request.author)))


async def post_drain(backend: Backend, asked: Asked) -> object:
    """What there is to be drained, and whether it may be, the state alone knows for sure."""
    asked.refuse_unknown_words()
    request = asked.decoded(DrainRequest)
    drain = Drain(request.node, request.address, request.slot, request.on, asked.author(request.author))
    return await _propose(backend, drain)


async def post_confirm_fenced(backend: Backend, asked: Asked) -> object:
    """A person's word about the power of a host; it needs no quorum, for it is what makes one."""
    asked.refuse_unknown_words()
    request = asked.decoded(ConfirmFencedRequest)
    names = [node.name for node in backend.status().nodes]
    if request.node not in names:
        raise ApiError(422, "refused", _no_node(request.node, names))
    answer = backend.confirm_fenced(request.node, asked.author(request.author))
    if isinstance(answer, Refused):
        raise ApiError(422, "refused", answer.sentence)
    return answer


async def get_who(backend: Backend, asked: Asked) -> object:
    asked.refuse_unknown_words()
    text = asked.text("client") or ""
    try:
        client = ip_address(text)
    except ValueError as problem:
        raise ApiError(
            400, "bad-request", f"client={text[:60]!r} is neither an IPv4 nor an IPv6 address"
        ) from problem
    try:
        return ownership.who(
            backend.status(), client, asked.port("port"), asked.text("address"), asked.port("destination_port")
        )
    except ownership.WhoError as problem:
        raise ApiError(422, "refused", str(problem)) from problem


async def get_log(backend: Backend, asked: Asked) -> object:
    """Newest entries when `since` is left out or negative, else from that index on."""
    asked.refuse_unknown_words()
    limit = asked.integer("limit")
    limit = LOG_ENTRIES_DEFAULT if limit is None else limit
    if not 1 <= limit <= LOG_ENTRIES_MAX:
        raise ApiError(400, "bad-request", f"limit={limit}: ask for 1 to {LOG_ENTRIES_MAX} entries at once")
    last = backend.status().applied_index
    first_kept = backend.log_first_index()
    since = asked.integer("since")
    since = -limit if since is None else since
    start = max(last + 1 + since if since < 0 else since, first_kept)
    return LogDocument(tuple(backend.log_lines(start, limit)), first_kept, last)


async def get_entries(backend: Backend, asked: Asked) -> object:
    """Whoever computes with them does it in his own process: a replay takes longer than a heartbeat may wait."""
    asked.refuse_unknown_words()
    since, limit = asked.integer("since") or 0, asked.integer("limit")
    limit = LOG_ENTRIES_MAX if limit is None else limit
    if not 1 <= limit <= LOG_ENTRIES_MAX:
        raise ApiError(400, "bad-request", f"limit={limit}: ask for 1 to {LOG_ENTRIES_MAX} entries at once")
    entries, size = [], 0
    for entry in backend.log_entries(max(since, 1), limit):
        entries.append(msgspec.msgpack.encode(entry))
        size += len(entries[-1])
        if size >= ENTRIES_BYTES:
            break
    return EntriesDocument(tuple(entries), backend.log_first_index(), backend.status().applied_index)


async def get_snapshot(backend: Backend, asked: Asked) -> object:
    asked.refuse_unknown_words()
    at = asked.integer("at") or 0
    found = backend.snapshot_at(at)
    if found is None:
        oldest = backend.log_first_index() - 1
        raise ApiError(404, "not-found", f"nothing is kept of entry {at}; the oldest that can be shown is {oldest}")
    status = backend.status()
    return SnapshotDocument(found[0], found[1], status.cluster, status.node)


async def get_explain(backend: Backend, asked: Asked) -> object:
    asked.refuse_unknown_words()
    resource, node = asked.text("resource") or "", asked.text("node")
    status = backend.status()
    if node is not None and node not in {known.name for known in status.nodes}:
        raise ApiError(404, "not-found", _no_node(node, [known.name for known in status.nodes]))
    members = next((_primitives(found) for found in _walk(status.resources) if found.id == resource), frozenset())
    try:
        return explanations.explain(
            backend.plan(), backend.view().configuration, resource, node, members, _held_down(status)
        )
    except explanations.ExplainError as problem:
        raise ApiError(404, "not-found", str(problem)) from problem


async def get_agent(backend: Backend, asked: Asked) -> object:
    asked.refuse_unknown_words()
    answer = await backend.agent(asked.text("agent") or "")
    match answer:
        case NoSuchAgent(sentence=sentence):
            raise ApiError(404, "not-found", sentence)
        case AgentNotAsked(sentence=sentence):
            raise ApiError(503, "unavailable", sentence)
    return answer


async def get_keys(backend: Backend, asked: Asked) -> object:
    asked.refuse_unknown_words()
    return backend.keys()


async def post_rotate_key(backend: Backend, asked: Asked) -> object:
    asked.refuse_unknown_words()
    request = asked.decoded(RotateRequest) if asked.body else RotateRequest()
    answer = await backend.rotate_key(revokes=request.revoke)
    if isinstance(answer, Refused):
        raise ApiError(422, "refused", answer.sentence)
    return answer


async def post_reload(backend: Backend, asked: Asked) -> object:
    asked.refuse_unknown_words()
    answer = await backend.reload()
    if isinstance(answer, Refused):
        raise ApiError(422, "refused", answer.sentence)
    return answer


async def post_token(backend: Backend, asked: Asked) -> object:
    asked.refuse_unknown_words()
    request = asked.decoded(TokenRequest)
    least_ms, most_ms = TTL_NS_MIN // NS_PER_MS, TTL_NS_MAX // NS_PER_MS
    if not least_ms <= request.ttl_ms <= most_ms:
        raise ApiError(422, "refused", f"a token lasts from {least_ms // 1000} s to {most_ms // 3_600_000} h")
    if not 1 <= request.uses <= USES_MAX:
        raise ApiError(422, "refused", f"a token is for 1 to {USES_MAX} hosts, not {request.uses}")
    answer = backend.join_token(request.ttl_ms, request.uses, asked.author(request.author))
    if isinstance(answer, Refused):
        raise ApiError(422, "refused", answer.sentence)
    return answer


async def get_view(backend: Backend, asked: Asked) -> object:
    """A snapshot is taken at once; turning it into a document takes its time beside the loop."""
    asked.refuse_unknown_words()
    return await asyncio.to_thread(viewdoc.document, backend.view())


async def get_metrics(backend: Backend, asked: Asked) -> object:
    """Facts are taken at once; thousands of lines take their time beside the loop."""
    asked.refuse_unknown_words()
    return await asyncio.to_thread(metrics.exposition, backend.metrics())


async def get_openapi(backend: Backend, asked: Asked) -> object:
    asked.refuse_unknown_words()
    return description.openapi()


AnswerFunction = Callable[[Backend, Asked], Awaitable[object]]

HANDLERS: dict[tuple[str, str], AnswerFunction] = {
    ("GET", "/v1/status"): get_status,
    ("GET", "/v1/quorum"): get_quorum,
    ("GET", "/v1/configuration"): get_configuration,
    ("POST", "/v1/configuration"): post_configuration,
    ("POST", "/v1/cleanup"): post_cleanup,
    ("POST", "/v1/refresh"): post_refresh,
    ("POST", "/v1/remove-node"): post_remove_node,
    ("POST", "/v1/drain"): post_drain,
    ("POST", "/v1/confirm-fenced"): post_confirm_fenced,
    ("GET", "/v1/who"): get_who,
    ("GET", "/v1/log"): get_log,
    ("GET", "/v1/entries"): get_entries,
    ("GET", "/v1/snapshot"): get_snapshot,
    ("GET", "/v1/explain"): get_explain,
    ("GET", "/v1/agent"): get_agent,
    ("POST", "/v1/token"): post_token,
    ("GET", "/v1/keys"): get_keys,
    ("POST", "/v1/rotate-key"): post_rotate_key,
    ("POST", "/v1/reload"): post_reload,
    ("GET", "/v1/view"): get_view,
    ("GET", "/v1/openapi.json"): get_openapi,
    ("GET", "/metrics"): get_metrics,
}
"""Every route that does not stream."""


async def _propose(backend: Backend, command: StateCommand, findings: tuple[Finding, ...] = ()) -> Accepted:
    outcome: Outcome = await backend.propose(command, PROPOSAL_TIMEOUT_MS)
    match outcome:
        case Committed(index=index, epoch=epoch):
            return Accepted(index, epoch, findings)
        case Conflict(epoch=epoch):
            raise _moved_on(epoch)
        case Refused(sentence=sentence, findings=reasons):
            raise ApiError(422, "refused", sentence, reasons)
        case NoQuorum(sentence=sentence):
            raise ApiError(503, "no-quorum", sentence)
        case Unknown(sentence=sentence):
            raise ApiError(504, "timeout", sentence)


def _moved_on(epoch: int) -> ApiError:
    sentence = f"the configuration has moved on to epoch {epoch}; nothing has changed, edit that one"
    return ApiError(409, "conflict", sentence, epoch=epoch)


def _known(backend: Backend, request: CleanupRequest) -> None:
    """Raise ApiError where the request names a resource or node that does not exist."""
    status = backend.status()
    names = [node.name for node in status.nodes]
    if request.node is not None and request.node not in names:
        raise ApiError(422, "refused", _no_node(request.node, names))
    if request.resource is not None:
        known = [resource.id for resource in _walk(status.resources)]
        base = request.resource.rpartition(":")[0]
        if request.resource not in known and base not in known:
            listed = ", ".join(known) or "none"
            raise ApiError(422, "refused", f"there is no resource '{request.resource}'; there are: {listed}")


def _held_down(status: StatusDocument) -> dict[str, str]:
    """Hosts that are heard and have to wait, for they come and go: what the status says of each."""
    return {node.name: node.note for node in status.nodes if node.pending and node.note}


def _no_node(node: str, names: list[str]) -> str:
    return f"there is no node '{node}'; there are: {', '.join(names)}"


def _walk(resources: tuple[ResourceStatus, ...]) -> list[ResourceStatus]:
    found: list[ResourceStatus] = []
    for resource in resources:
        found += [resource, *_walk(resource.members)]
    return found


def _primitives(resource: ResourceStatus) -> frozenset[str]:
    return frozenset(found.id for found in _walk((resource,)) if found.kind == "primitive")


def _shape_finding(location: tuple[int | str, ...], message: str) -> Finding:
    return error("bad-shape", ".".join(str(part) for part in location) or "configuration", message)
