"""The control server over a real unix socket: what it answers, and that nothing a client sends makes it stumble."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import socket
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.cluster.core.effects import CoreStatus
from daemon.cluster.records import LogEntry, Lost
from daemon.control import handlers
from daemon.control import server as server_module
from daemon.control.client import RefusalError
from daemon.control.openapi import openapi
from daemon.control.routes import BODY_BYTES_MAX, ROUTES
from daemon.control.schema import Accepted, CleanupRequest, EditRequest, Event
from daemon.model.configuration import Configuration, Order, Primitive
from daemon.state.commands import Edit, Result
from daemon.state.state import State
from tests.unit.control.living import HOSTS, Living, StateBackend, living


@pytest.fixture
def cluster() -> Iterator[Living]:
    with living() as running:
        yield running


def ask(
    cluster: Living, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """One request by hand: the status code and the decoded answer."""
    connection = http.client.HTTPConnection("localhost", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(30)
    connection.sock.connect(str(cluster.path))
    try:
        connection.request(method, target, body, headers or {})
        response = connection.getresponse()
        answer = response.read()
        is_document = response.getheader("Content-Type", "").startswith("application/json")
        return response.status, json.loads(answer) if is_document else answer
    finally:
        connection.close()


def edit_of(configuration: Configuration, base_epoch: int | None) -> EditRequest:
    return EditRequest(msgspec.Raw(configuration.model_dump_json().encode()), base_epoch, "alice", "as typed")


WEB = Primitive(id="web", standard="ocf", provider="heartbeat", type="apache")
SITE = Configuration(resources=(WEB,))


def test_the_status_is_that_of_the_state(cluster: Living) -> None:
    document = cluster.client.status()
    assert document.schema == 1
    assert document.cluster == "demo"
    assert [node.name for node in document.nodes] == list(HOSTS)
    assert all(node.online for node in document.nodes)
    assert document.nodes[0].lease_left_ms == 310
    assert document.nodes[1].last_heard_ms == 12
    assert document.applied_index == 4


def test_a_lost_node_is_not_online(cluster: Living) -> None:
    cluster.on_loop(lambda: cluster.backend.append(Lost("a3")))
    assert [node.name for node in cluster.client.status().nodes if not node.online] == ["a3"]


def test_an_edit_replaces_the_configuration_and_is_logged_with_its_author(cluster: Living) -> None:
    accepted = cluster.client.replace_configuration(edit_of(SITE, 0))
    document = cluster.client.configuration()
    assert document.epoch == accepted.epoch
    assert Configuration.model_validate_json(bytes(document.configuration)) == SITE
    texts = [entry.text for entry in cluster.client.log().entries]
    assert any("alice" in text and "changed the configuration: as typed" in text for text in texts)


def test_an_edit_from_an_old_epoch_is_a_conflict_that_names_the_new_one(cluster: Living) -> None:
    first = cluster.client.replace_configuration(edit_of(SITE, 0))
    with pytest.raises(RefusalError) as raised:
        cluster.client.replace_configuration(edit_of(Configuration(), 0))
    assert raised.value.status == 409
    assert raised.value.problem.code == "conflict"
    assert raised.value.problem.epoch == first.epoch
    assert cluster.backend.state.configuration == SITE


def test_an_edit_without_an_epoch_is_made_whatever_the_epoch_is(cluster: Living) -> None:
    cluster.client.replace_configuration(edit_of(SITE, 0))
    cluster.client.replace_configuration(edit_of(Configuration(), None))
    assert cluster.backend.state.configuration == Configuration()


def test_a_configuration_with_errors_is_refused_with_all_of_them(cluster: Living) -> None:
    orders = tuple(Order(id=f"o{k}", first="nobody", then=f"noone{k}") for k in range(2))
    before = len(cluster.backend.entries)
    with pytest.raises(RefusalError) as raised:
        cluster.client.replace_configuration(edit_of(Configuration(constraints=orders), 0))
    assert raised.value.status == 422
    wheres = " ".join(finding.where for finding in raised.value.problem.findings)
    assert "o0" in wheres
    assert "o1" in wheres
    assert len(cluster.backend.entries) == before


def test_something_that_is_no_configuration_is_refused_with_the_place(cluster: Living) -> None:
    body = {"configuration": {"resources": [{"kind": "primitive", "id": 7}]}, "base_epoch": 0}
    code, problem = ask(cluster, "POST", "/v1/configuration", json.dumps(body).encode())
    assert code == 422
    assert any(finding["where"].startswith("resources.0") for finding in problem["findings"])


def test_without_quorum_nothing_is_changed_and_reading_still_works(cluster: Living) -> None:
    cluster.backend.quorate = False
    writes: tuple[Callable[[], Accepted], ...] = (
        lambda: cluster.client.replace_configuration(edit_of(SITE, 0)),
        lambda: cluster.client.cleanup(CleanupRequest()),
        lambda: cluster.client.refresh(CleanupRequest()),
    )
    for write in writes:
        with pytest.raises(RefusalError) as raised:
            write()
        assert raised.value.status == 503
        assert raised.value.problem.code == "no-quorum"
    assert cluster.client.status().quorate is False
    assert cluster.backend.state.configuration == Configuration()


def fail_a_start(cluster: Living) -> None:
    def work() -> None:
        body = SITE.model_dump_json().encode()
        cluster.backend.request(Edit(None, body, "root", "site"))
        cluster.backend.request(Result("a1", 1, "web", "start", 0, 5, "done", "no apache2 here", 3, ""))

    cluster.on_loop(work)


def test_a_failed_action_is_shown_with_its_reason_until_it_is_cleaned_up(cluster: Living) -> None:
    fail_a_start(cluster)
    (failed,) = cluster.client.status().failed_actions
    assert (failed.instance, failed.node, failed.exit_code, failed.reason) == ("web", "a1", 5, "no apache2 here")
    assert failed.fail_count == 1_000_000
    cluster.client.cleanup(CleanupRequest("web", "a1"))
    assert cluster.client.status().failed_actions == ()


@pytest.mark.parametrize(
    ("request_", "told"),
    [(CleanupRequest("nothing"), "there is no resource 'nothing'"), (CleanupRequest(None, "a9"), "no node 'a9'")],
)
def test_a_cleanup_of_what_does_not_exist_is_refused(cluster: Living, request_: CleanupRequest, told: str) -> None:
    for send in (cluster.client.cleanup, cluster.client.refresh):
        with pytest.raises(RefusalError) as raised:
            send(request_)
        assert raised.value.status == 422
        assert told in str(raised.value)


def test_the_log_is_told_from_any_entry_on_or_from_the_end(cluster: Living) -> None:
    fail_a_start(cluster)
    everything = cluster.client.log(1, 1000)
    assert [entry.index for entry in everything.entries] == list(range(1, everything.last_index + 1))
    assert everything.entries[0].text == "a1 takes part (incarnation 1)"
    assert "start of web on a1 ended: not installed: no apache2 here" in everything.entries[-1].text
    assert cluster.client.log(-2).entries == everything.entries[-2:]
    assert cluster.client.log(3, 2).entries == everything.entries[2:4]
    assert cluster.client.log(10**9).entries == ()


def test_an_explanation_tells_every_node(cluster: Living) -> None:
    cluster.client.replace_configuration(edit_of(SITE, 0))
    (reason,) = cluster.client.explain("web").explanations
    assert reason.node in HOSTS
    with pytest.raises(RefusalError, match="there are: web") as raised:
        cluster.client.explain("nothing")
    assert raised.value.status == 404
    with pytest.raises(RefusalError, match="there is no node 'a9'"):
        cluster.client.explain("web", "a9")


class Flapping(StateBackend):
    """a3 is heard, and has to wait."""

    def core(self) -> CoreStatus:
        status = super().core()
        waits = {"held_ms": 8_000, "losses": 5, "lost_within_ms": 40_000}
        peers = tuple(replace(peer, **waits) if peer.name == "a3" else peer for peer in status.peers)
        return replace(status, peers=peers)


def test_an_explanation_says_of_a_host_that_comes_and_goes_that_it_is_held_down() -> None:
    backend = Flapping()
    with living(backend) as cluster:
        cluster.client.replace_configuration(edit_of(SITE, 0))
        cluster.on_loop(lambda: backend.append(Lost("a3")))
        (told,) = cluster.client.explain("web").explanations
    assert told.node != "a3"
    assert told.rejected["a3"] == "the host is held down for 8 s: lost 5 times in 40 s"


def test_events_begin_with_a_greeting_and_tell_every_entry(cluster: Living) -> None:
    events = cluster.client.events()
    assert next(events).kind == "hello"
    cluster.client.replace_configuration(edit_of(SITE, 0))
    seen = next(events)
    assert seen.kind == "state"
    assert "changed the configuration" in seen.data["text"]
    events.close()


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_client_that_leaves_its_events_is_no_fault(
    cluster: Living, caplog: pytest.LogCaptureFixture, at_once: int
) -> None:
    """What was on its way to it is written to nobody: `vipcast cluster log -f` ends that way each time."""
    event = Event("state", 1, {"text": "x" * 100_000})
    with caplog.at_level(logging.INFO):
        for _ in range(5):
            with contextlib.closing(socket.socket(socket.AF_UNIX)) as leaving:
                leaving.settimeout(10)
                leaving.connect(str(cluster.path))
                leaving.sendall(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
                assert leaving.recv(1)
                for _ in range(at_once):
                    cluster.on_loop(lambda: cluster.backend.hub.publish(event))
            deadline = time.monotonic() + 30
            while cluster.on_loop(lambda: cluster.backend.hub.listeners):
                assert time.monotonic() < deadline, "the client that left is still served"
                cluster.on_loop(lambda: cluster.backend.hub.publish(event))
    assert cluster.client.status().quorate
    assert not [record for record in caplog.records if record.levelno > logging.INFO or record.exc_info]


def test_a_client_that_does_not_read_is_dropped_and_told_so(
    cluster: Living, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The daemon never waits for it: publishing returns while the client's buffers are full."""
    monkeypatch.setattr(server_module, "STREAM_WRITE_TIMEOUT_S", 0.2)
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as slow, caplog.at_level(logging.WARNING):
        slow.settimeout(10)
        slow.connect(str(cluster.path))
        slow.sendall(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
        assert slow.recv(1)
        event = Event("state", 1, {"text": "x" * 100_000})
        for _ in range(40):
            cluster.on_loop(lambda: cluster.backend.hub.publish(event))
        deadline = time.monotonic() + 30
        while cluster.on_loop(lambda: cluster.backend.hub.listeners):
            assert time.monotonic() < deadline, "the slow client is still served"
            time.sleep(0.05)
    assert "dropped" in caplog.text
    assert cluster.client.status().quorate


def test_a_fault_of_the_daemon_is_numbered_and_told_to_the_log_only(
    cluster: Living, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.backend.failing = RuntimeError("secret detail")
    code, problem = ask(cluster, "GET", "/v1/status")
    assert code == 500
    assert "fault 1" in problem["error"]
    assert "secret" not in json.dumps(problem)
    assert "secret detail" in caplog.text


@pytest.mark.parametrize(
    ("method", "target", "body", "code", "told"),
    [
        ("GET", "/", None, 404, "there is no /; there are /metrics, /v1/"),
        ("GET", "/v1/nothing", None, 404, "there is no /v1/nothing"),
        ("DELETE", "/v1/status", None, 405, "/v1/status takes GET, not DELETE"),
        ("PUT", "/v1/configuration", b"{}", 405, "/v1/configuration takes GET, POST, not PUT"),
        ("GET", "/v1/status?verbose=1", None, 400, "does not know 'verbose'; it takes nothing"),
        ("GET", "/v1/who", None, 400, "/v1/who needs client="),
        ("GET", "/v1/who?client=nonsense", None, 400, "neither an IPv4 nor an IPv6 address"),
        ("GET", "/v1/who?client=10.0.0.7&port=x", None, 400, "port='x' is not a number"),
        ("GET", "/v1/who?client=10.0.0.7&port=65536", None, 400, "ports are 0 to 65535"),
        ("GET", "/v1/who?client=10.0.0.7", None, 422, "no address is shared"),
        ("GET", "/v1/log?limit=0", None, 400, "ask for 1 to 1000"),
        ("GET", "/v1/log?since=9999999999999999999", None, 400, "is not a number"),
        ("GET", "/v1/explain", None, 400, "/v1/explain needs resource="),
        ("POST", "/v1/configuration", b"", 400, "the request's body is wrong"),
        ("POST", "/v1/configuration", b"{", 400, "the request's body is wrong"),
        ("POST", "/v1/configuration", b"\xff\xfe", 400, "the request's body is wrong"),
        ("POST", "/v1/configuration", b"[]", 400, "Expected `object`, got `array`"),
        ("POST", "/v1/configuration", b"{}", 400, "missing required field `configuration`"),
        ("POST", "/v1/configuration", b'{"configuration":{},"now":1}', 400, "unknown field `now`"),
        ("POST", "/v1/configuration", b'{"configuration":{},"base_epoch":"1"}', 400, "$.base_epoch"),
        (
            "POST",
            "/v1/configuration",
            b'{"configuration":' + b"[" * 5000 + b"]" * 5000 + b"}",
            400,
            "body is wrong",
        ),
        ("POST", "/v1/cleanup", b'{"resource":1}', 400, "$.resource"),
    ],
)
def test_a_malformed_request_is_answered_with_a_sentence(
    cluster: Living, method: str, target: str, body: bytes | None, code: int, told: str
) -> None:
    before = len(cluster.backend.entries)
    answered, problem = ask(cluster, method, target, body)
    assert answered == code
    assert told in problem["error"]
    assert problem["schema"] == 1
    assert len(cluster.backend.entries) == before


def test_a_body_that_is_too_large_is_refused(cluster: Living) -> None:
    code, problem = ask(cluster, "POST", "/v1/configuration", b" " * (BODY_BYTES_MAX + 1))
    assert code == 413
    assert str(BODY_BYTES_MAX) in problem["error"]


def test_a_configuration_that_the_log_cannot_take_is_refused(cluster: Living) -> None:
    """The request is small enough; with every default spelled out it is not."""
    operation = {"id": "o", "name": "monitor"}
    resources = [{"kind": "primitive", "id": "r", "operations": [operation] * 100} for _ in range(800)]
    body = json.dumps({"configuration": {"resources": resources}}).encode()
    assert len(body) < BODY_BYTES_MAX
    code, problem = ask(cluster, "POST", "/v1/configuration", body)
    assert (code, problem["code"]) == (413, "too-large")
    assert len(cluster.backend.entries) == 4


@pytest.fixture(scope="module")
def shared() -> Iterator[Living]:
    with living() as running:
        yield running


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([route for route in ROUTES if not route.streams]), st.data())
def test_no_query_and_no_body_gives_a_fault(shared: Living, route: Any, data: st.DataObject) -> None:
    words = data.draw(
        st.dictionaries(
            st.sampled_from([p.name for p in route.parameters] or ["x"]),
            st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=20),
        )
    )
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in words.items())
    body = data.draw(
        st.one_of(
            st.binary(max_size=200),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.text(max_size=10),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(
                        st.sampled_from(
                            ["configuration", "base_epoch", "resources", "kind", "id", "node", "resource"]
                        ),
                        inner,
                        max_size=4,
                    )
                ),
                max_leaves=8,
            ).map(lambda document: json.dumps(document).encode()),
        )
    )
    code, answer = ask(shared, route.method, f"{route.path}?{query}", body if route.body else None)
    assert code < 500
    assert code == 200 or answer["error"]


@pytest.mark.parametrize(
    "noise",
    [
        b"\x00" * 100,
        b"GET\r\n\r\n",
        b"GET /v1/status HTTP/9.9\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /v1/cleanup HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\n" + b"X: y\r\n" * 40_000 + b"\r\n",
    ],
)
def test_what_is_no_http_harms_nobody(cluster: Living, noise: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.settimeout(10)
        connection.connect(str(cluster.path))
        with contextlib.suppress(OSError):
            connection.sendall(noise)
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(OSError):
            while chunk := connection.recv(65536):
                answer += chunk
    assert b"Traceback" not in answer
    assert b" 500 " not in answer
    assert cluster.client.status().cluster == "demo"


def test_every_route_is_described_and_every_description_is_served(cluster: Living) -> None:
    code, document = ask(cluster, "GET", "/v1/openapi.json")
    assert code == 200
    assert document == json.loads(msgspec.json.encode(openapi()))
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == {(route.method, route.path) for route in ROUTES}
    references = {text.split('"')[0] for text in json.dumps(document).split('"$ref": "')[1:]}
    assert {ref.rpartition("/")[2] for ref in references} <= set(document["components"]["schemas"])


def test_the_socket_goes_with_the_server() -> None:
    with living() as running:
        path = running.path
        assert stat.S_ISSOCK(path.stat().st_mode)
    assert not path.exists()


def test_the_socket_belongs_to_its_owner_alone_where_there_is_no_group(cluster: Living) -> None:
    assert stat.S_IMODE(Path(cluster.path).stat().st_mode) == 0o600


def test_entries_and_a_kept_state_are_what_a_client_can_apply_himself(cluster: Living) -> None:
    snapshot = cluster.client.snapshot(3)
    state = State.thaw(snapshot.state)
    document = cluster.client.entries(snapshot.index + 1)
    for encoded in document.entries:
        state.apply(msgspec.msgpack.decode(encoded, type=LogEntry))
    assert state.digest() == cluster.backend.state.digest()
    assert (document.first_index, document.last_index) == (1, state.index)


def test_an_answer_with_entries_ends_before_it_is_too_big(cluster: Living, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "ENTRIES_BYTES", 40)
    document = cluster.client.entries(1)
    assert len(document.entries) < len(cluster.backend.entries)
    assert sum(map(len, document.entries[:-1])) < 40


def test_a_state_that_is_not_kept_any_more_is_refused_with_the_oldest(cluster: Living) -> None:
    cluster.on_loop(lambda: cluster.backend.cut(3))
    with pytest.raises(
        RefusalError, match="nothing is kept of entry 2; the oldest that can be shown is 3"
    ) as refused:
        cluster.client.snapshot(2)
    assert refused.value.status == 404
    assert cluster.client.snapshot(3).index == 3
