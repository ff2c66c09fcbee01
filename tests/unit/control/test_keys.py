"""The routes of the keys: what a program may ask for, and what it is answered."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from daemon.cluster.keyring import RETURN_S, Keyring, RingKey, mark_of
from daemon.cluster.rotation import Rotation
from daemon.control import keysdoc
from daemon.control.client import RefusalError
from daemon.control.schema import KeysDocument, RotateRequest
from tests.unit.control.living import Living, living
from tests.unit.control.test_server import ask

OLD, NEW, OTHER = bytes(32), bytes([1]) * 32, bytes([2]) * 32
NOW_S = 1_700_000_000


@pytest.fixture
def cluster() -> Iterator[Living]:
    with living() as running:
        yield running


def test_the_ring_is_told_by_marks_and_the_answer_to_a_rotation_is_the_ring(cluster: Living) -> None:
    assert [one.role for one in cluster.client.keys().keys] == ["active"]
    document = cluster.client.rotate_key(RotateRequest())
    assert [(one.mark, one.role, one.revokes) for one in document.keys] == [
        (mark_of(OLD).hex(), "active", False),
        (mark_of(NEW).hex(), "follows", False),
    ]
    assert cluster.client.keys() == document


def test_a_rotation_without_a_body_revokes_nothing_as_before_there_was_one(cluster: Living) -> None:
    status, answer = ask(cluster, "POST", "/v1/rotate-key")
    assert status == 200
    assert not msgspec.convert(answer, KeysDocument).keys[1].revokes


def test_a_revocation_is_in_the_document(cluster: Living) -> None:
    assert cluster.client.rotate_key(RotateRequest(revoke=True)).keys[1].revokes


@pytest.mark.parametrize("body", [b"{", b'{"revoke": "yes"}', b'{"revokes": true}', b"[]"])
def test_a_wrong_body_changes_nothing(cluster: Living, body: bytes) -> None:
    status, answer = ask(cluster, "POST", "/v1/rotate-key", body)
    assert status == 400
    assert answer["error"].startswith("the request's body is wrong")
    assert cluster.backend.rotation.ring == Keyring.of(OLD)


def test_what_the_daemon_refuses_is_a_refusal(cluster: Living) -> None:
    cluster.backend.quorate = False
    with pytest.raises(RefusalError, match="no quorum"):
        cluster.client.rotate_key(RotateRequest())
    assert ask(cluster, "POST", "/v1/rotate-key")[0] == 422


def test_each_key_has_the_role_that_the_time_gives_it() -> None:
    rotation = Rotation(Keyring((RingKey(NEW), RingKey(OTHER), RingKey(OLD, NOW_S + 10))))
    rotation.heard("a2", (mark_of(OLD),))

    def roles(now_s: int) -> list[str]:
        return [one.role for one in keysdoc.keys(rotation, {"a2"}, now_s)]

    assert roles(NOW_S) == ["active", "follows", "retired"]
    assert roles(NOW_S + 10) == ["active", "follows", "way-back"]
    assert roles(NOW_S + 10 + RETURN_S) == ["active", "follows"]
    assert keysdoc.keys(rotation, {"a2"}, NOW_S)[2].used_by == ("a2",)


def test_a_key_that_a_revocation_has_replaced_ends_with_its_overlap() -> None:
    rotation = Rotation(Keyring((RingKey(NEW, revokes=True), RingKey(OLD, NOW_S + 5))))
    document = keysdoc.keys(rotation, (), NOW_S)
    assert [(one.role, one.until) for one in document] == [("active", ""), ("retired", "2023-11-14 22:13 UTC")]
    assert [one.role for one in keysdoc.keys(rotation, (), NOW_S + 5)] == ["active"]
