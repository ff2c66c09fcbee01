"""Who may do what on the socket: the rule itself, and the kernel's word about real peers."""

from __future__ import annotations

import os
import socket
import sys
import traceback
from collections.abc import Callable, Iterator

import msgspec
import pytest

from daemon.control.access import Access, Peer, Right, peer_of
from daemon.control.client import ControlClient, ControlError, RefusalError
from daemon.control.schema import CleanupRequest, EditRequest
from tests.unit.control.living import Living, living

WRITERS, READERS, NOBODY = 60001, 60002, 60003
"""numbers that no group of this machine needs to have"""
ACCESS = Access(frozenset((0,)), WRITERS, READERS)


@pytest.mark.parametrize(
    ("uid", "groups", "right"),
    [
        (0, (), Right.OWN),
        (1000, (WRITERS,), Right.WRITE),
        (1000, (NOBODY, WRITERS, READERS), Right.WRITE),
        (1000, (READERS,), Right.READ),
        (1000, (), Right.NONE),
        (1000, (0,), Right.NONE),
    ],
)
def test_root_and_writers_write_readers_read_and_others_do_nothing(
    uid: int, groups: tuple[int, ...], right: Right
) -> None:
    assert ACCESS.right_of(Peer(1, uid, frozenset(groups))) is right


def test_without_the_groups_nobody_is_taken_for_a_member() -> None:
    """A group that does not exist is None, and no peer has a group None."""
    access = Access(frozenset((0,)), None, None)
    assert access.right_of(Peer(1, 1000, frozenset((0, 1, 1000)))) is Right.NONE


def test_the_kernel_tells_this_process_about_itself() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = peer_of(ours)
    assert (peer.pid, peer.uid) == (os.getpid(), os.geteuid())
    assert {os.getegid(), *os.getgroups()} <= peer.groups


def as_user(uid: int, groups: list[int], work: Callable[[], str]) -> str:
    """Run `work` in a child that is somebody else: what it returns, or the words of its ControlError."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        answer = "the child failed"
        try:
            os.setgroups(groups)
            os.setgid(NOBODY)
            os.setuid(uid)
            answer = work()
        except RefusalError as refusal:
            answer = f"{refusal.status}: {refusal}"
        except ControlError as error:
            answer = f"error: {error}"
        except BaseException:
            traceback.print_exc(file=sys.stderr)
        finally:
            os.write(writing, answer.encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answers:
        told = answers.read().decode()
    os.waitpid(child, 0)
    return told


@pytest.fixture
def cluster() -> Iterator[Living]:
    with living(access=ACCESS) as running:
        running.path.parent.chmod(0o755)
        yield running


def reading(cluster: Living) -> Callable[[], str]:
    return lambda: f"read {ControlClient(str(cluster.path)).status().cluster}"


def writing(cluster: Living) -> Callable[[], str]:
    request = CleanupRequest(author="mallory")
    return lambda: f"wrote {ControlClient(str(cluster.path)).cleanup(request).index}"


@pytest.mark.root
def test_a_member_of_the_writers_group_reads_and_writes(cluster: Living) -> None:
    assert as_user(65533, [WRITERS], reading(cluster)) == "read demo"
    assert as_user(65533, [WRITERS], writing(cluster)) == "wrote 5"


@pytest.mark.root
def test_the_log_names_the_user_that_the_kernel_vouches_for(cluster: Living) -> None:
    as_user(65533, [WRITERS], writing(cluster))
    assert "mallory (uid 65533)" in cluster.client.log().entries[-1].text
    cluster.client.cleanup(CleanupRequest(author="alice"))
    assert "alice forgave" in cluster.client.log().entries[-1].text


@pytest.mark.root
def test_a_member_of_the_readers_group_reads_and_is_told_who_may_write(cluster: Living) -> None:
    assert as_user(65533, [READERS], reading(cluster)) == "read demo"
    told = as_user(65533, [READERS], writing(cluster))
    assert told.startswith("403: members of the group vipcast-ro may look, not change")

    def edit() -> str:
        request = EditRequest(msgspec.Raw(b"{}"))
        return f"wrote {ControlClient(str(cluster.path)).replace_configuration(request).index}"

    assert as_user(65533, [READERS], edit).startswith("403:")
    assert len(cluster.backend.entries) == 4


@pytest.mark.root
def test_others_cannot_even_connect_and_are_told_which_group_to_join(cluster: Living) -> None:
    told = as_user(65533, [NOBODY], reading(cluster))
    assert told.startswith(f"error: you may not use {cluster.path}")
    assert "join the group vipcast" in told


@pytest.mark.root
def test_others_who_reach_the_socket_all_the_same_are_refused_with_a_sentence(cluster: Living) -> None:
    cluster.path.chmod(0o666)
    for work in (reading(cluster), writing(cluster)):
        told = as_user(65533, [NOBODY], work)
        assert told.startswith("403: only root and members of the groups vipcast and vipcast-ro")
