"""The table of what the control socket serves: server, OpenAPI description and reference page are made from it."""

from __future__ import annotations

from dataclasses import dataclass

from daemon.cluster import messages
from daemon.control.access import Right
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

BODY_BYTES_MAX = messages.BODY_BYTES_MAX
"""of a request: more than the log takes in one entry needs not be read"""
LOG_ENTRIES_MAX = 1000
"""in one answer of /v1/log and /v1/entries"""
METRICS_MEDIA = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus' text format (prometheus.io/docs/instrumenting/exposition_formats)"""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One word of the query string."""

    name: str
    what: str
    required: bool = False
    integer: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str
    summary: str
    needs: Right
    answer: type | None
    """None: a JSON Schema of its own (OpenAPI)"""
    parameters: tuple[Parameter, ...] = ()
    body: type | None = None
    streams: bool = False
    """server-sent events instead of one document"""
    media: str = "application/json"
    """what the answer is, where it is no document: then `answer` is None"""
    problems: tuple[int, ...] = ()
    """status codes beyond 400, 403 and 500 that it may answer with"""


ROUTES: tuple[Route, ...] = (
    Route("GET", "/v1/status", "The cluster as this node sees it", Right.READ, StatusDocument),
    Route(
        "GET",
        "/v1/quorum",
        "The votes, and what would follow if each node were lost next",
        Right.READ,
        QuorumDocument,
    ),
    Route(
        "GET",
        "/v1/configuration",
        "The configuration and its epoch",
        Right.READ,
        ConfigurationDocument,
    ),
    Route(
        "POST",
        "/v1/configuration",
        "Replace the configuration, if it still is what the edit was made from",
        Right.WRITE,
        Accepted,
        body=EditRequest,
        problems=(409, 413, 422, 503, 504),
    ),
    Route(
        "POST",
        "/v1/cleanup",
        "Forget failures, so that what failed is tried again",
        Right.WRITE,
        Accepted,
        body=CleanupRequest,
        problems=(413, 422, 503, 504),
    ),
    Route(
        "POST",
        "/v1/refresh",
        "Forget results of operations, so that everything is probed again",
        Right.WRITE,
        Accepted,
        body=CleanupRequest,
        problems=(413, 422, 503, 504),
    ),
    Route(
        "POST",
        "/v1/remove-node",
        "Have a node give everything away and leave the cluster for good",
        Right.WRITE,
        Accepted,
        body=RemoveNodeRequest,
        problems=(413, 422, 503, 504),
    ),
    Route(
        "POST",
        "/v1/drain",
        "Have slots leave a node, an address or their owner without breaking a connection, or take that back",
        Right.WRITE,
        Accepted,
        body=DrainRequest,
        problems=(413, 422, 503, 504),
    ),
    Route(
        "POST",
        "/v1/confirm-fenced",
        "Say that a node is without power, so that the other one of two counts its vote",
        Right.WRITE,
        FencingConfirmed,
        body=ConfirmFencedRequest,
        problems=(413, 422),
    ),
    Route(
        "GET",
        "/v1/who",
        "Which slot and host a client's packets belong to, and why",
        Right.READ,
        WhoDocument,
        parameters=(
            Parameter("client", "the client's IPv4 or IPv6 address", required=True),
            Parameter("port", "the client's port", integer=True),
            Parameter("address", "id of the address or of its clone, or the IP itself; all when left out"),
            Parameter("destination_port", "the service's port, where the hash has it", integer=True),
        ),
        problems=(422,),
    ),
    Route(
        "GET",
        "/v1/log",
        "Entries of the replicated log as sentences",
        Right.READ,
        LogDocument,
        parameters=(
            Parameter("since", "index of the first entry; negative: that many before the end", integer=True),
            Parameter("limit", f"how many entries at most, 1 to {LOG_ENTRIES_MAX}", integer=True),
        ),
    ),
    Route(
        "GET",
        "/v1/entries",
        "Entries of the replicated log as they are",
        Right.READ,
        EntriesDocument,
        parameters=(
            Parameter("since", "index of the first entry", required=True, integer=True),
            Parameter("limit", f"how many entries at most, 1 to {LOG_ENTRIES_MAX}", integer=True),
        ),
    ),
    Route(
        "GET",
        "/v1/snapshot",
        "The newest state that is kept and is not younger than an entry",
        Right.READ,
        SnapshotDocument,
        parameters=(Parameter("at", "index of that entry", required=True, integer=True),),
        problems=(404,),
    ),
    Route(
        "GET",
        "/v1/explain",
        "Why a resource is where it is, or nowhere",
        Right.READ,
        ExplainDocument,
        parameters=(
            Parameter("resource", "a resource, or an instance of one: `VIP:2`", required=True),
            Parameter("node", "only what concerns this node"),
        ),
        problems=(404,),
    ),
    Route(
        "GET",
        "/v1/agent",
        "What a resource agent of this host says about itself: its options and operations",
        Right.READ,
        AgentDocument,
        parameters=(Parameter("agent", "its full name: `ocf:heartbeat:apache`", required=True),),
        problems=(404, 503),
    ),
    Route(
        "POST",
        "/v1/token",
        "Make a token by which a host joins; it lives in this daemon's memory",
        Right.OWN,
        TokenDocument,
        body=TokenRequest,
        problems=(413, 422),
    ),
    Route("GET", "/v1/keys", "The cluster's keys by their marks, and who has them", Right.OWN, KeysDocument),
    Route(
        "POST",
        "/v1/rotate-key",
        "Begin to replace the cluster's key by a new one, or go on with it",
        Right.OWN,
        KeysDocument,
        body=RotateRequest,
        problems=(413, 422),
    ),
    Route(
        "POST",
        "/v1/reload",
        "Read this host's vipcast.toml again; a wrong one is refused and changes nothing",
        Right.WRITE,
        ReloadDocument,
        problems=(422,),
    ),
    Route("GET", "/v1/view", "All that the scheduler goes by: what-if is asked of it", Right.READ, ViewDocument),
    Route("GET", "/v1/events", "Changes as server-sent events", Right.READ, Event, streams=True, problems=(503,)),
    Route("GET", "/v1/openapi.json", "This description", Right.READ, None),
    Route(
        "GET",
        "/metrics",
        "All that is measured, for Prometheus",
        Right.READ,
        None,
        media=METRICS_MEDIA,
    ),
)
