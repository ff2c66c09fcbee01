"""`vipcast key rotate`, `key status` and `keygen`: what they say, and what they leave behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daemon.cluster.keyring import OVERLAP_S, Keyring, RingKey, mark_of
from daemon.control.access import Access
from tests.unit.cli.conftest import Shell
from tests.unit.cli.console import vipcast
from tests.unit.control.living import STAMP_MS, living

OLD, NEW = bytes(32), bytes([1]) * 32
"""of the shell's cluster, and what it makes for a new one"""
OLD_MARK, NEW_MARK = mark_of(OLD).hex(), mark_of(NEW).hex()
NOW_S = STAMP_MS // 1000


def test_one_key_is_active_and_nobody_was_heard_to_have_it_yet(shell: Shell) -> None:
    assert shell.done("key status") == [
        f"{OLD_MARK}  active: seals and opens; not known to be on a2, a3, a4",
    ]


def test_a_rotation_tells_the_new_key_s_mark_and_who_is_waited_for(shell: Shell) -> None:
    ran = shell("key rotate")
    assert ran.code == 0
    assert ran.lines == [f"Key {NEW_MARK} is on a1's disk and goes to every node that runs."]
    assert "comes back within a day" in ran.stderr
    assert "vipcast key rotate --revoke" in ran.stderr, "what to do about a leak"
    shell.cluster.backend.rotation.heard("a2", (mark_of(OLD), mark_of(NEW)))
    assert shell.done("key status") == [
        f"{OLD_MARK}  active: seals and opens; not known to be on a3, a4",
        f"{NEW_MARK}  to follow: opens, and seals once all have it; not known to be on a3, a4",
    ]


def test_the_command_again_goes_on_with_the_same_key(shell: Shell) -> None:
    assert shell.done("key rotate") == shell.done("key rotate")


def test_a_revocation_says_what_becomes_of_who_is_away(shell: Shell) -> None:
    ran = shell("key rotate --revoke")
    assert ran.code == 0
    assert "vipcast cluster join --force TOKEN" in ran.stderr
    assert "within a day" not in ran.stderr
    assert "the ones before it are worth nothing then" in shell.done("key status")[1]
    assert shell.cluster.backend.rotation.ring.pending == RingKey(NEW, revokes=True)


@pytest.mark.parametrize(
    ("until_s", "told"),
    [
        (
            NOW_S + OVERLAP_S,
            f"{OLD_MARK}  retired: opens until 2023-11-14 22:14 UTC; not known to be on a2, a3, a4",
        ),
        (
            NOW_S,
            f"{OLD_MARK}  replaced: opens nothing; a node that was away and has it is given the active one until"
            " 2023-11-15 22:13 UTC",
        ),
    ],
)
def test_a_key_that_was_replaced_says_until_when_it_is_good_for_what(shell: Shell, until_s: int, told: str) -> None:
    shell.cluster.backend.rotation.ring = Keyring((RingKey(NEW), RingKey(OLD, until_s)))
    assert shell.done("key status")[1] == told


def test_programs_get_marks_and_roles_and_never_a_key(shell: Shell) -> None:
    shell.cluster.backend.rotation.ring = Keyring((RingKey(NEW), RingKey(OLD, NOW_S)))
    ran = shell("key status --json")
    assert [(one["mark"], one["role"]) for one in ran.json["keys"]] == [
        (NEW_MARK, "active"),
        (OLD_MARK, "way-back"),
    ]
    assert NEW.hex() not in ran.stdout
    assert shell("key rotate --json").json["keys"][0]["mark"] == NEW_MARK


def test_without_a_quorum_no_key_is_replaced(shell: Shell) -> None:
    shell.cluster.backend.quorate = False
    assert "no quorum" in shell.refused("key rotate")
    assert shell.cluster.backend.rotation.ring == Keyring.of(OLD)


@pytest.mark.parametrize("line", ["key rotate", "key status"])
def test_keys_are_for_root_alone(line: str) -> None:

    with living(access=Access(frozenset({54321}), os.getegid(), None)) as cluster:
        ran = vipcast(*line.split(), "--socket", str(cluster.path))
    assert ran.code == 1
    assert "only root may do it" in ran.stderr


def test_keygen_makes_a_key_that_is_closed_to_others_and_never_overwrites_one(tmp_path: Path) -> None:
    path = tmp_path / "authkey"
    ran = vipcast("keygen", str(path))
    assert ran.code == 0
    assert ran.lines == [f"{path}: new cluster key, 32 bytes, mode 0600"]
    assert f"scp -p {path}" in ran.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    again = vipcast("keygen", str(path))
    assert again.code == 1
    assert "it exists already and is left as it is" in again.stderr
    assert path.read_bytes() == before
    assert vipcast("keygen", str(tmp_path / "other"), "--json").json == {
        "file": str(tmp_path / "other"),
        "bytes": 32,
    }
